//! Named arrays in the safetensors format, read and written.
//!
//! The library checks lengths, offsets and sizes; what it lets pass is refused here: keys that occur twice, and
//! bytes that are no truth values.

use crate::array::{Array, Elements, ElementsRef};
use ::safetensors::tensor::{Metadata, TensorInfo};
use ::safetensors::{Dtype, SafeTensorError, SafeTensors};
use eggrad_ir::DType;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Write};

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct NamedArrays {
    /// The arrays with their names, in the order of the file.
    pub arrays: Vec<(String, Array)>,
    /// Texts that stand beside them.
    pub notes: BTreeMap<String, String>,
}

/// One array to write.
#[derive(Clone, Copy, Debug)]
pub struct NamedView<'a> {
    /// Its name; unique in a file.
    pub name: &'a str,
    /// Sizes of the axes, outermost first.
    pub shape: &'a [usize],
    /// As many elements as the sizes say.
    pub elements: ElementsRef<'a>,
}

/// What is wrong with a file, or with arrays to write.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SafetensorsError {
    /// It is cut short, or its header is no such header or does not fit what follows.
    #[error("safetensors: {0}")]
    Malformed(#[from] SafeTensorError),
    /// A key occurs twice in one place of the header, or a name twice among arrays to write.
    #[error("safetensors: the key `{0}` occurs twice")]
    Duplicate(String),
    /// The name is the one that notes have.
    #[error("safetensors: `{0}` cannot be the name of an array")]
    Reserved(String),
    /// Elements of a type that is not known here.
    #[error(
        "safetensors: `{name}` holds elements {dtype}; F32, F64, I32, I64, U8 and BOOL can be read"
    )]
    Elements {
        /// Name of the array.
        name: String,
        /// The type.
        dtype: Dtype,
    },
    /// A truth value that is neither 0 nor 1.
    #[error("safetensors: `{name}` holds {byte} for a truth value, which is 0 or 1")]
    Truth {
        /// Name of the array.
        name: String,
        /// What stands there.
        byte: u8,
    },
    /// Another number of elements than the sizes say.
    #[error("safetensors: `{name}` of shape {shape:?} has {count} elements")]
    Count {
        /// Name of the array.
        name: String,
        /// Sizes of its axes.
        shape: Vec<usize>,
        /// Number of its elements.
        count: usize,
    },
    /// The bytes could not be written.
    #[error(transparent)]
    Write(#[from] io::Error),
}

const NOTES: &str = "__metadata__";

/// Bytes that say how long the header is.
const LENGTH: usize = 8;

/// Reads all arrays of a file; takes memory in proportion to the file.
///
/// # Errors
/// What is no such file or is cut short, keys that occur twice, arrays that overlap or leave gaps, and elements of
/// another type than those of [`Elements`].
pub fn read_safetensors(bytes: &[u8]) -> Result<NamedArrays, SafetensorsError> {
    // First the header for what the library would not see: of two equal keys it keeps one.
    let twice = header(bytes).and_then(duplicate);
    let file = match (SafeTensors::read_metadata(bytes), twice) {
        (_, Some(key)) => return Err(SafetensorsError::Duplicate(key)),
        (result, None) => result?,
    };
    let (length, metadata) = file;
    let data = &bytes[LENGTH + length..];
    let mut arrays = vec![];
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let elements = elements(&name, info, &data[info.data_offsets.0..info.data_offsets.1])?;
        arrays.push((name, Array { shape: info.shape.clone(), elements }));
    }
    let notes = metadata.metadata().iter().flatten();
    let notes = notes.map(|(key, text)| (key.clone(), text.clone())).collect();
    Ok(NamedArrays { arrays, notes })
}

/// Writes arrays, those of wide elements first, then by name, so that equal arrays and notes give equal bytes.
///
/// # Errors
/// Two arrays of one name, another number of elements than the sizes say, a header of more than 100 MB, or a writer
/// that fails.
pub fn write_safetensors(
    to: &mut dyn Write,
    arrays: &[NamedView<'_>],
    notes: &BTreeMap<String, String>,
) -> Result<(), SafetensorsError> {
    let mut arrays = arrays.to_vec();
    arrays.sort_by_key(|a| (std::cmp::Reverse(a.elements.dtype().bytes()), a.name));
    let mut infos = vec![];
    let mut offset = 0;
    for array in &arrays {
        if array.name == NOTES {
            return Err(SafetensorsError::Reserved(NOTES.into()));
        }
        let (name, shape, count) = (array.name.to_string(), array.shape, array.elements.len());
        if shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) != Some(count) {
            return Err(SafetensorsError::Count { name, shape: shape.to_vec(), count });
        }
        let end = offset + count * array.elements.dtype().bytes();
        let info = TensorInfo {
            dtype: dtype(array.elements.dtype()),
            shape: shape.to_vec(),
            data_offsets: (offset, end),
        };
        infos.push((name, info));
        offset = end;
    }
    let names: BTreeSet<&str> = arrays.iter().map(|a| a.name).collect();
    if names.len() < arrays.len() {
        let twice =
            arrays.iter().enumerate().find(|(i, a)| arrays[..*i].iter().any(|b| a.name == b.name));
        let name = twice.map(|(_, a)| a.name.to_string()).unwrap_or_default();
        return Err(SafetensorsError::Duplicate(name));
    }
    // The library looks at what is to be written as it looks at what is read.
    Metadata::new(None, infos.clone())?;
    let header = Header { notes, infos: &infos };
    let mut header = serde_json::to_vec(&header).map_err(SafeTensorError::from)?;
    header.resize(header.len().next_multiple_of(LENGTH), b' ');
    if header.len() > HEADER_LIMIT {
        return Err(SafeTensorError::HeaderTooLarge.into());
    }
    to.write_all(&(header.len() as u64).to_le_bytes())?;
    to.write_all(&header)?;
    arrays.iter().try_for_each(|array| write_elements(to, array.elements))?;
    Ok(())
}

/// Largest header that readers take, in bytes.
const HEADER_LIMIT: usize = 100_000_000;

/// A header whose keys have an order.
struct Header<'a> {
    notes: &'a BTreeMap<String, String>,
    infos: &'a [(String, TensorInfo)],
}

impl Serialize for Header<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.notes.is_empty() {
            map.serialize_entry(NOTES, self.notes)?;
        }
        for (name, info) in self.infos {
            map.serialize_entry(name, info)?;
        }
        map.end()
    }
}

fn dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}

fn write_elements(to: &mut dyn Write, elements: ElementsRef<'_>) -> io::Result<()> {
    /// Writes in blocks, so that little memory is taken and the writer is called rarely.
    fn write<T: Copy, const N: usize>(
        to: &mut dyn Write,
        list: &[T],
        bytes: impl Fn(T) -> [u8; N],
    ) -> io::Result<()> {
        let mut block = Vec::with_capacity(list.len().min(1 << 14) * N);
        for part in list.chunks(1 << 14) {
            block.clear();
            part.iter().for_each(|&v| block.extend(bytes(v)));
            to.write_all(&block)?;
        }
        Ok(())
    }
    match elements {
        ElementsRef::F32(list) => write(to, list, f32::to_le_bytes),
        ElementsRef::F64(list) => write(to, list, f64::to_le_bytes),
        ElementsRef::I32(list) => write(to, list, i32::to_le_bytes),
        ElementsRef::I64(list) => write(to, list, i64::to_le_bytes),
        ElementsRef::U8(list) => to.write_all(list),
        ElementsRef::Bool(list) => write(to, list, |v| [u8::from(v)]),
    }
}

/// The elements of an array whose length the library has checked.
fn elements(name: &str, info: &TensorInfo, bytes: &[u8]) -> Result<Elements, SafetensorsError> {
    fn read<T, const N: usize>(bytes: &[u8], make: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|&chunk| make(chunk)).collect()
    }
    Ok(match info.dtype {
        Dtype::F32 => Elements::F32(read(bytes, f32::from_le_bytes)),
        Dtype::F64 => Elements::F64(read(bytes, f64::from_le_bytes)),
        Dtype::I32 => Elements::I32(read(bytes, i32::from_le_bytes)),
        Dtype::I64 => Elements::I64(read(bytes, i64::from_le_bytes)),
        Dtype::U8 => Elements::U8(bytes.to_vec()),
        Dtype::BOOL => match bytes.iter().find(|&&b| b > 1) {
            Some(&byte) => return Err(SafetensorsError::Truth { name: name.into(), byte }),
            None => Elements::Bool(bytes.iter().map(|&b| b == 1).collect()),
        },
        dtype => return Err(SafetensorsError::Elements { name: name.into(), dtype }),
    })
}

/// The text of the header, if the file is long enough to have it.
fn header(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    if length > HEADER_LIMIT { None } else { rest.get(..length) }
}

/// A key that occurs twice in one object of a JSON text.
fn duplicate(json: &[u8]) -> Option<String> {
    let mut found = None;
    let mut reader = serde_json::Deserializer::from_slice(json);
    // What is no JSON is the library's to name.
    let _ = Duplicates(&mut found).deserialize(&mut reader);
    found
}

/// Walks a value and notes the first key that occurs twice.
struct Duplicates<'f>(&'f mut Option<String>);

impl<'de> DeserializeSeed<'de> for Duplicates<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Duplicates<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a header")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if self.0.is_none() && keys.contains(&key) {
                *self.0 = Some(key.clone());
            }
            keys.insert(key);
            map.next_value_seed(Duplicates(self.0))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
