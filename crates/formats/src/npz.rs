//! Several arrays of NumPy's in one file, `.npz`: a zip archive of `.npy` files.

use crate::array::Array;
use crate::npy::{NpyError, read_npy};
use std::io::{Cursor, Read};
use zip::ZipArchive;
use zip::result::ZipError;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NpzError {
    /// The archive is damaged, cut short, or packed in a way that is not known.
    #[error("npz: {0}")]
    Archive(#[from] ZipError),
    /// A part of the archive cannot be unpacked.
    #[error("npz: `{name}` is damaged: {source}")]
    Part {
        /// Name of the part.
        name: String,
        /// What is wrong.
        source: std::io::Error,
    },
    /// A part of the archive is no array.
    #[error("npz: `{name}`: {source}")]
    Array {
        /// Name of the part.
        name: String,
        /// What is wrong.
        source: NpyError,
    },
    /// Two parts have one name, so that one would hide the other.
    #[error("npz: two arrays have the same name")]
    Duplicate,
    /// The content is larger than the caller allows.
    #[error("npz: unpacks to more than the {limit} bytes allowed")]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
    },
}

/// The arrays of an archive with their names (without `.npy`), in its order; at most `limit` bytes unpacked.
///
/// # Errors
/// When the archive or an array in it is damaged, two arrays have one name, or they unpack to more than `limit` bytes.
pub fn read_npz(bytes: &[u8], limit: usize) -> Result<Vec<(String, Array)>, NpzError> {
    let mut archive = ZipArchive::new(Cursor::new(bytes))?;
    if archive.has_duplicate_names() {
        return Err(NpzError::Duplicate);
    }
    let mut left = limit;
    let mut arrays: Vec<(String, Array)> = vec![];
    for i in 0..archive.len() {
        let part = archive.by_index(i)?;
        let name = part.name()?.into_owned();
        let mut content = vec![];
        let read = part.take((left as u64).saturating_add(1)).read_to_end(&mut content);
        read.map_err(|source| NpzError::Part { name: name.clone(), source })?;
        left = left.checked_sub(content.len()).ok_or(NpzError::TooLarge { limit })?;
        let array = read_npy(&content);
        let array = array.map_err(|source| NpzError::Array { name: name.clone(), source })?;
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_string();
        if arrays.iter().any(|(other, _)| *other == name) {
            return Err(NpzError::Duplicate);
        }
        arrays.push((name, array));
    }
    Ok(arrays)
}
