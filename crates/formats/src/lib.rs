//! Files to arrays and back: readers and writers of the formats that data and weights come in. Nothing runs here.
//!
//! Readers take bytes, whatever they came from; [`read_file`] gets them from a path. Every file may be wrong: what is
//! wrong with it is an error with its place, and no reader takes more memory than its caller allows or the bytes it
//! was given justify.
#![forbid(unsafe_code)]

mod array;
mod atomic;
mod csv;
mod csv_log;
mod gzip;
mod idx;
mod npy;
mod npz;
mod safetensors;
mod table;
mod text;

pub use array::{Array, Elements, ElementsRef};
pub use atomic::{FileError, read_file, write_atomic};
pub use csv::{CsvError, LabelledTable, read_labelled_csv};
pub use csv_log::{CsvLog, CsvLogError};
pub use gzip::{GzipError, gunzip};
pub use idx::{IdxError, read_idx};
pub use npy::{NpyError, read_npy};
pub use npz::{NpzError, read_npz};
pub use safetensors::{
    NamedArrays, NamedView, SafetensorsError, read_safetensors, write_safetensors,
};
pub use table::Table;
pub use text::{TextError, Vocabulary, read_text};
