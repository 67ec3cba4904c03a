//! Arrays in NumPy's `.npy` format, versions 1 to 3.
//!
//! The header is a Python dictionary in one fixed form, so it is read here; the libraries for this format bring a
//! parser for all of Python's literals, which needs an assembler to build.

use crate::array::{Array, Elements};
use std::fmt;

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NpyError(String);

impl fmt::Display for NpyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "npy: {}", self.0)
    }
}

impl std::error::Error for NpyError {}

const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads an array of 32- or 64-bit floats or integers, bytes or truth values, in either order of bytes and of axes.
///
/// # Errors
/// What is no such file, holds other elements, or is shorter or longer than its header says.
pub fn read_npy(bytes: &[u8]) -> Result<Array, NpyError> {
    let wrong = |what: &str| NpyError(what.to_string());
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| wrong("does not begin as such a file"))?;
    let cut = || wrong("ends within its header");
    let (version, rest) = rest.split_at_checked(2).ok_or_else(cut)?;
    let (length, rest) = match version[0] {
        1 => {
            let (length, rest) = rest.split_at_checked(2).ok_or_else(cut)?;
            (usize::from(u16::from_le_bytes([length[0], length[1]])), rest)
        }
        2 | 3 => {
            let (length, rest) = rest.split_at_checked(4).ok_or_else(cut)?;
            let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
            (length as usize, rest)
        }
        other => return Err(NpyError(format!("is of version {other}, which is not known"))),
    };
    let (header, elements) = rest.split_at_checked(length).ok_or_else(cut)?;
    let header = std::str::from_utf8(header).map_err(|_| wrong("has a header that is no text"))?;
    let descr = entry(header, "descr").and_then(|v| v.strip_prefix('\''));
    let descr = descr.and_then(|v| v.split_once('\'')).map(|v| v.0);
    let descr = descr.ok_or_else(|| wrong("has elements of several parts, or of no type"))?;
    let by_column = match entry(header, "fortran_order") {
        Some(value) if value.starts_with("False") => false,
        Some(value) if value.starts_with("True") => true,
        _ => return Err(wrong("does not say its order of axes")),
    };
    let shape = entry(header, "shape").and_then(|v| v.strip_prefix('('));
    let shape = shape.and_then(|v| v.split_once(')')).map(|v| v.0);
    let shape = shape.ok_or_else(|| wrong("does not say its shape"))?;
    let sizes = shape.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::parse);
    let shape: Vec<usize> =
        sizes.collect::<Result<_, _>>().map_err(|_| wrong("has a wrong shape"))?;
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let count = count.ok_or_else(|| wrong("is larger than memory"))?;

    let (swapped, kind) = match descr.split_at_checked(1) {
        Some(("<" | "|" | "=", kind)) => (false, kind),
        Some((">", kind)) => (true, kind),
        _ => (false, descr),
    };
    let places = Places { count, shape: &shape, by_column };
    let data = match kind {
        "f4" => Elements::F32(places.read(elements, swapped, f32::from_le_bytes)?),
        "f8" => Elements::F64(places.read(elements, swapped, f64::from_le_bytes)?),
        "i4" => Elements::I32(places.read(elements, swapped, i32::from_le_bytes)?),
        "i8" => Elements::I64(places.read(elements, swapped, i64::from_le_bytes)?),
        "u1" => Elements::U8(places.read(elements, swapped, u8::from_le_bytes)?),
        "b1" => Elements::Bool(places.read(elements, swapped, |[b]: [u8; 1]| b != 0)?),
        _ => {
            return Err(NpyError(format!(
                "holds elements `{descr}`; f4, f8, i4, i8, u1 and b1 can be read"
            )));
        }
    };
    Ok(Array { shape, elements: data })
}

/// What follows `'key':` in a header.
fn entry<'h>(header: &'h str, key: &str) -> Option<&'h str> {
    let (_, value) = header.split_once(&format!("'{key}':"))?;
    Some(value.trim_start())
}

/// Where elements stand.
struct Places<'s> {
    count: usize,
    shape: &'s [usize],
    by_column: bool,
}

impl Places<'_> {
    /// Elements of `N` bytes, in row-major order.
    fn read<T: Copy, const N: usize>(
        &self,
        bytes: &[u8],
        swapped: bool,
        make: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>, NpyError> {
        if self.count.checked_mul(N) != Some(bytes.len()) {
            let (count, length) = (self.count, bytes.len());
            return Err(NpyError(format!(
                "says {count} elements of {N} bytes, but has {length} bytes"
            )));
        }
        let (chunks, _) = bytes.as_chunks::<N>();
        let list = chunks.iter().map(|&chunk| {
            let mut chunk = chunk;
            if swapped {
                chunk.reverse();
            }
            make(chunk)
        });
        let list: Vec<T> = list.collect();
        if !self.by_column || self.shape.len() < 2 {
            return Ok(list);
        }
        let mut strides = vec![1; self.shape.len()];
        for i in 1..self.shape.len() {
            strides[i] = strides[i - 1] * self.shape[i - 1];
        }
        let place = |mut row_major: usize| {
            let mut place = 0;
            for (size, stride) in self.shape.iter().zip(&strides).rev() {
                place += row_major % size * stride;
                row_major /= size;
            }
            place
        };
        Ok((0..self.count).map(|i| list[place(i)]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, elements: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(elements);
        bytes
    }

    fn floats(list: &[f64]) -> Vec<u8> {
        list.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn arrays_are_read_in_either_order() {
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }   \n";
        let rows = read_npy(&file(header, &floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))).unwrap();
        let header = "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }";
        let columns = read_npy(&file(header, &floats(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]))).unwrap();
        assert_eq!(rows, columns);
        assert_eq!(rows.shape, [2, 3]);
        assert_eq!(rows.elements, Elements::F64(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        let header = "{'descr': '>i4', 'fortran_order': False, 'shape': (2,), }";
        let swapped = read_npy(&file(header, &[0, 0, 0, 7, 255, 255, 255, 254])).unwrap();
        assert_eq!(swapped.elements, Elements::I32(vec![7, -2]));
        let header = "{'descr': '|b1', 'fortran_order': False, 'shape': (), }";
        assert_eq!(read_npy(&file(header, &[1])).unwrap().elements, Elements::Bool(vec![true]));
    }

    #[test]
    fn wrong_files_are_refused() {
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }";
        let right = file(header, &floats(&[1.0, 2.0, 3.0]));
        for end in 0..right.len() {
            assert!(read_npy(&right[..end]).is_err(), "{end} bytes");
        }
        let message = |header: &str| read_npy(&file(header, &[])).unwrap_err().to_string();
        let huge =
            "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 99999999999), }";
        assert_eq!(message(huge), "npy: is larger than memory");
        let other = "{'descr': '<c16', 'fortran_order': False, 'shape': (), }";
        assert!(message(other).contains("`<c16`"));
        assert!(message("{'descr': [('a', '<f8')], 'shape': ()}").contains("several parts"));
    }
}
