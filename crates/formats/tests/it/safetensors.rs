//! Named arrays keep every bit, and a wrong header is an error that says why.

use eggrad_formats::{
    Array, Elements, NamedArrays, NamedView, SafetensorsError, read_safetensors, write_safetensors,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

pub(crate) fn write(file: &NamedArrays) -> Result<Vec<u8>, SafetensorsError> {
    let view =
        |(name, array): &'_ (String, Array)| -> (String, Array) { (name.clone(), array.clone()) };
    let arrays: Vec<(String, Array)> = file.arrays.iter().map(view).collect();
    let views: Vec<NamedView<'_>> = arrays
        .iter()
        .map(|(name, a)| NamedView { name, shape: &a.shape, elements: a.elements.view() })
        .collect();
    let mut bytes = vec![];
    write_safetensors(&mut bytes, &views, &file.notes)?;
    Ok(bytes)
}

/// One array of every type, with values that are easily lost.
pub(crate) fn sample() -> NamedArrays {
    let array = |shape: &[usize], elements: Elements| Array { shape: shape.to_vec(), elements };
    let nan = f32::from_bits(0x7f80_0001);
    let arrays = [
        ("w64", array(&[2], Elements::F64(vec![f64::MIN_POSITIVE / 2.0, f64::NAN]))),
        ("long", array(&[1, 2], Elements::I64(vec![i64::MIN, i64::MAX]))),
        ("w", array(&[2, 2], Elements::F32(vec![-0.0, nan, f32::INFINITY, 1e-45]))),
        ("whole", array(&[], Elements::I32(vec![-7]))),
        ("none", array(&[0, 3], Elements::F32(vec![]))),
        ("byte", array(&[3], Elements::U8(vec![0, 128, 255]))),
        ("truth", array(&[2], Elements::Bool(vec![true, false]))),
    ];
    let arrays = arrays.map(|(name, array)| (name.to_string(), array)).into();
    let notes = BTreeMap::from([("a".into(), "1".into()), ("b \"é\"".into(), "\n".into())]);
    NamedArrays { arrays, notes }
}

/// The bits of each array by name.
fn bits(file: &NamedArrays) -> BTreeMap<String, (Vec<usize>, Vec<u64>)> {
    let bits = |elements: &Elements| match elements {
        Elements::F32(list) => list.iter().map(|v| u64::from(v.to_bits())).collect(),
        Elements::F64(list) => list.iter().map(|v| v.to_bits()).collect(),
        Elements::I32(list) => list.iter().map(|&v| v as u64).collect(),
        Elements::I64(list) => list.iter().map(|&v| v as u64).collect(),
        Elements::U8(list) => list.iter().map(|&v| u64::from(v)).collect(),
        Elements::Bool(list) => list.iter().map(|&v| u64::from(v)).collect(),
    };
    file.arrays.iter().map(|(n, a)| (n.clone(), (a.shape.clone(), bits(&a.elements)))).collect()
}

/// A file with this header and this many zeros after it.
fn file(header: &str, zeros: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + zeros, 0);
    bytes
}

#[test]
fn arrays_come_back_with_every_bit() {
    let sample = sample();
    let bytes = write(&sample).expect("writes");
    let back = read_safetensors(&bytes).expect("reads");
    assert_eq!(bits(&back), bits(&sample));
    assert_eq!(back.notes, sample.notes);
    let dtypes = |f: &NamedArrays| -> BTreeMap<String, &'static str> {
        f.arrays.iter().map(|(n, a)| (n.clone(), a.elements.view().dtype().name())).collect()
    };
    assert_eq!(dtypes(&back), dtypes(&sample));
    // Elements begin at multiples of their size.
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    assert_eq!(start % 8, 0);
    assert_eq!(back.arrays[0].1.elements.view().dtype().bytes(), 8);
}

#[test]
fn the_order_of_arrays_does_not_change_the_bytes() {
    let mut sample = sample();
    let bytes = write(&sample).expect("writes");
    sample.arrays.reverse();
    assert_eq!(write(&sample).expect("writes"), bytes);
}

#[test]
fn the_library_reads_what_is_written() {
    let bytes = write(&sample()).expect("writes");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("reads");
    let w = file.tensor("w").expect("an array");
    assert_eq!(
        (w.shape(), w.data()[..4].to_vec()),
        (&[2, 2][..], (-0.0f32).to_le_bytes().to_vec())
    );
}

#[test]
fn every_cut_is_an_error() {
    let bytes = write(&sample()).expect("writes");
    for end in 0..bytes.len() {
        assert!(read_safetensors(&bytes[..end]).is_err(), "cut to {end} bytes");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(read_safetensors(&longer).is_err());
}

#[test]
fn wrong_headers_say_what_is_wrong() {
    let check = |header: &str, zeros: usize, expected: &str| {
        let message = read_safetensors(&file(header, zeros)).expect_err(header).to_string();
        assert!(message.contains(expected), "{header}: {message}");
    };
    let f32s = |name: &str, from: usize, to: usize| {
        let count = (to - from) / 4;
        format!(r#""{name}":{{"dtype":"F32","shape":[{count}],"data_offsets":[{from},{to}]}}"#)
    };
    check(&format!("{{{}}}", f32s("a", 0, 8)), 4, "not fully covered");
    check(&format!("{{{},{}}}", f32s("a", 0, 8), f32s("b", 8, 16)), 8, "not fully covered");
    // Overlapping, with a gap, backwards, out of the file.
    check(&format!("{{{},{}}}", f32s("a", 0, 8), f32s("b", 4, 12)), 12, "offset for tensor `b`");
    check(&format!("{{{},{}}}", f32s("a", 0, 8), f32s("b", 12, 16)), 16, "offset for tensor `b`");
    check(r#"{"a":{"dtype":"F32","shape":[],"data_offsets":[4,0]}}"#, 4, "offset for tensor `a`");
    check(
        r#"{"a":{"dtype":"F64","shape":[2305843009213693952,8],"data_offsets":[0,8]}}"#,
        8,
        "overflow",
    );
    check(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4, "invalid shape");
    check(r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4, "invalid JSON");
    check(r#"{"a":{"dtype":"X7","shape":[1],"data_offsets":[0,4]}}"#, 4, "invalid JSON");
    check(r#"{"a":"#, 0, "invalid JSON");
    check(&"[".repeat(100_000), 0, "invalid JSON");
    let half = r#"{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}"#;
    check(half, 2, "`a` holds elements F16; F32, F64, I32, I64, U8 and BOOL can be read");
    // Keys that occur twice, wherever they stand.
    check(&format!("{{{},{}}}", f32s("a", 0, 4), f32s("a", 0, 4)), 4, "key `a` occurs twice");
    check(&format!("{{{},{}}}", f32s("a", 0, 4), f32s("\\u0061", 4, 8)), 8, "`a` occurs twice");
    check(r#"{"__metadata__":{"k":"1","k":"2"}}"#, 0, "key `k` occurs twice");
    check(r#"{"__metadata__":{},"__metadata__":{}}"#, 0, "key `__metadata__` occurs twice");
    let shapes = r#"{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}"#;
    check(shapes, 4, "key `shape` occurs twice");

    let truth = r#"{"a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}}"#;
    let mut bytes = file(truth, 1);
    *bytes.last_mut().expect("a byte") = 2;
    let message = read_safetensors(&bytes).expect_err("2").to_string();
    assert_eq!(message, "safetensors: `a` holds 2 for a truth value, which is 0 or 1");
}

#[test]
fn a_header_that_claims_all_memory_is_refused() {
    for length in [u64::MAX, u64::MAX - 7, 1 << 62, 100_000_001, 1000] {
        let bytes = [&length.to_le_bytes()[..], b"{}"].concat();
        assert!(read_safetensors(&bytes).is_err(), "a header of {length} bytes");
    }
}

#[test]
fn arrays_that_cannot_be_written() {
    let message = |arrays: &[(&str, &[usize], &[f32])]| {
        let views = arrays.iter().map(|(name, shape, list)| NamedView {
            name,
            shape,
            elements: (*list).into(),
        });
        let views: Vec<NamedView<'_>> = views.collect();
        let result = write_safetensors(&mut vec![], &views, &BTreeMap::new());
        result.expect_err("an error").to_string()
    };
    let twice = message(&[("a", &[1], &[0.0]), ("b", &[1], &[0.0]), ("a", &[1], &[0.0])]);
    assert_eq!(twice, "safetensors: the key `a` occurs twice");
    assert_eq!(message(&[("a", &[2], &[0.0])]), "safetensors: `a` of shape [2] has 1 elements");
    assert!(message(&[("__metadata__", &[1], &[0.0])]).contains("cannot be the name"));
}

proptest! {
    #[test]
    fn random_files_come_back(
        lists in proptest::collection::btree_map(".{1,8}", proptest::collection::vec(any::<u32>(), 0..9), 0..6),
        notes in proptest::collection::btree_map(".{0,4}", ".{0,9}", 0..3),
    ) {
        let arrays = lists.into_iter().map(|(name, list)| {
            let floats: Vec<f32> = list.into_iter().map(f32::from_bits).collect();
            (name, Array { shape: vec![floats.len()], elements: floats.into() })
        });
        let file = NamedArrays { arrays: arrays.collect(), notes };
        let back = read_safetensors(&write(&file).expect("writes")).expect("reads");
        prop_assert_eq!(bits(&back), bits(&file));
        prop_assert_eq!(back.notes, file.notes);
    }
}
