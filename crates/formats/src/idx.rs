//! Arrays in the IDX format, in which MNIST comes.

use crate::array::{Array, Elements};

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdxError {
    /// It does not begin with two zeros, a type and a number of axes.
    #[error("idx: does not begin as such a file{}", if *packed { "; unpack it with `gunzip`" } else { "" })]
    Magic {
        /// Whether it begins as gzip data do.
        packed: bool,
    },
    /// Elements of a type that there is not.
    #[error("idx: has elements of type {0:#04x}, which is not known")]
    Elements(u8),
    /// It ends before its sizes do.
    #[error("idx: ends within its header")]
    Header,
    /// It has another number of bytes than its sizes say.
    #[error("idx: says {shape:?} elements of {size} bytes, but has {bytes} bytes of them")]
    Length {
        /// Sizes of the axes.
        shape: Vec<usize>,
        /// Bytes of an element.
        size: usize,
        /// Bytes there are.
        bytes: usize,
    },
}

/// Reads an array of bytes, integers or floats; those of 8 signed and of 16 bits become `i32`.
///
/// # Errors
/// What is no such file, holds elements of no known type, or is shorter or longer than its sizes say.
pub fn read_idx(bytes: &[u8]) -> Result<Array, IdxError> {
    let magic = || IdxError::Magic { packed: bytes.starts_with(&[0x1f, 0x8b]) };
    let Some(([0, 0, kind, axes], mut rest)) = bytes.split_first_chunk::<4>() else {
        return Err(magic());
    };
    let mut shape = vec![];
    for _ in 0..*axes {
        let (size, after) = rest.split_first_chunk::<4>().ok_or(IdxError::Header)?;
        shape.push(u32::from_be_bytes(*size) as usize);
        rest = after;
    }
    let source = Source { shape: &shape, bytes: rest };
    let elements = match kind {
        0x08 => Elements::U8(source.read(u8::from_be_bytes)?),
        0x09 => Elements::I32(source.read(|b| i32::from(i8::from_be_bytes(b)))?),
        0x0b => Elements::I32(source.read(|b| i32::from(i16::from_be_bytes(b)))?),
        0x0c => Elements::I32(source.read(i32::from_be_bytes)?),
        0x0d => Elements::F32(source.read(f32::from_be_bytes)?),
        0x0e => Elements::F64(source.read(f64::from_be_bytes)?),
        &other => return Err(IdxError::Elements(other)),
    };
    Ok(Array { shape, elements })
}

/// Elements one after the other.
struct Source<'a> {
    shape: &'a [usize],
    bytes: &'a [u8],
}

impl Source<'_> {
    fn read<T, const N: usize>(&self, make: impl Fn([u8; N]) -> T) -> Result<Vec<T>, IdxError> {
        let length = self.shape.iter().try_fold(N, |n, &d| n.checked_mul(d));
        if length != Some(self.bytes.len()) {
            let (shape, bytes) = (self.shape.to_vec(), self.bytes.len());
            return Err(IdxError::Length { shape, size: N, bytes });
        }
        Ok(self.bytes.as_chunks::<N>().0.iter().map(|&chunk| make(chunk)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_element_is_read() {
        let check = |kind: u8, element: &[u8], expected: Elements| {
            let bytes = [&[0, 0, kind, 2, 0, 0, 0, 1, 0, 0, 0, 2], element, element].concat();
            let array = read_idx(&bytes).unwrap();
            assert_eq!((array.shape, array.elements), (vec![1, 2], expected));
        };
        check(0x08, &[200], Elements::U8(vec![200; 2]));
        check(0x09, &[200], Elements::I32(vec![-56; 2]));
        check(0x0b, &[255, 254], Elements::I32(vec![-2; 2]));
        check(0x0c, &[0, 1, 0, 0], Elements::I32(vec![65536; 2]));
        check(0x0d, &1.5f32.to_be_bytes(), Elements::F32(vec![1.5; 2]));
        check(0x0e, &1.5f64.to_be_bytes(), Elements::F64(vec![1.5; 2]));
    }

    #[test]
    fn wrong_files_are_refused() {
        let right = [0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3];
        assert!(read_idx(&right).is_ok());
        for end in 0..right.len() {
            assert!(read_idx(&right[..end]).is_err(), "{end} bytes");
        }
        let message = |bytes: &[u8]| read_idx(bytes).unwrap_err().to_string();
        assert_eq!(message(&[0x1f, 0x8b, 8, 0]), {
            "idx: does not begin as such a file; unpack it with `gunzip`"
        });
        assert_eq!(message(&[0, 0, 10, 0]), "idx: has elements of type 0x0a, which is not known");
        let huge = [&[0, 0, 14, 3][..], &[255; 12]].concat();
        assert!(message(&huge).contains("but has 0 bytes"));
        let longer = [&right[..], &[4]].concat();
        assert_eq!(message(&longer), "idx: says [3] elements of 1 bytes, but has 4 bytes of them");
    }
}
