//! Files to arrays: bytes in, numbers out. Nothing runs here, and nothing is read from a path.
#![forbid(unsafe_code)]

mod csv;
mod gzip;
mod npy;

pub use csv::{CsvError, LabelledTable, read_labelled_csv};
pub use gzip::{GzipError, gunzip};
pub use npy::{NpyArray, NpyData, NpyError, read_npy};
