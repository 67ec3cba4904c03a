//! Damaged files: an error or an array that is whole, never a panic, never all memory.

use crate::safetensors;
use eggrad_formats::{
    Array, NpzError, Table, gunzip, read_idx, read_labelled_csv, read_npy, read_npz,
    read_safetensors, read_text,
};
use proptest::prelude::*;
use std::io::{Cursor, Write};

const LIMIT: usize = 1 << 20;

/// A `.npy` file of three `f32`.
fn npy() -> Vec<u8> {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend([1.0f32, 2.0, 3.0].map(f32::to_le_bytes).concat());
    bytes
}

fn npz(parts: &[(&str, &[u8])], packed: bool) -> Vec<u8> {
    let method =
        if packed { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    let mut archive = zip::ZipWriter::new(Cursor::new(vec![]));
    for (name, bytes) in parts {
        archive.start_file(*name, options).expect("a part");
        archive.write_all(bytes).expect("a part");
    }
    archive.finish().expect("an archive").into_inner()
}

fn idx() -> Vec<u8> {
    [&[0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3][..], &[1, 2, 3, 4, 5, 6]].concat()
}

const CSV: &[u8] = b"a,b,label\n1,2.5,0\n\"3\",4,1\n";

fn gz() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::best());
    encoder.write_all(&[7; 300]).expect("packs");
    encoder.finish().expect("packs")
}

/// Whether this is an array, with as many elements as its sizes say and as its bytes can hold.
fn whole<E>(array: Result<Array, E>, bytes: usize) -> bool {
    let check = |array: Array| {
        let count = array.elements.view().len();
        assert_eq!(array.shape.iter().product::<usize>(), count);
        assert!(count <= bytes, "{count} elements from {bytes} bytes");
    };
    array.map(check).is_ok()
}

/// Gives `bytes` to the reader numbered `which`; whether it took them.
fn read(which: usize, bytes: &[u8]) -> bool {
    match which {
        0 => whole(read_npy(bytes), bytes.len()),
        1 => {
            let arrays = read_npz(bytes, LIMIT).map(|all| all.into_iter().map(|a| a.1));
            arrays.is_ok_and(|all| all.into_iter().all(|a| whole(Ok::<_, ()>(a), LIMIT)))
        }
        2 => whole(read_idx(bytes), bytes.len()),
        3 => read_labelled_csv(bytes, "label").is_ok(),
        4 => Table::read(bytes).and_then(|t| t.numbers(&["a", "b"])).is_ok(),
        5 => gunzip(bytes, LIMIT).is_ok(),
        6 => read_text(bytes).is_ok(),
        _ => {
            let arrays = read_safetensors(bytes).map(|file| file.arrays);
            arrays.is_ok_and(|all| all.into_iter().all(|a| whole(Ok::<_, ()>(a.1), bytes.len())))
        }
    }
}

fn samples() -> [Vec<u8>; 8] {
    let npz = npz(&[("x.npy", &npy()), ("y.npy", &npy())], true);
    let safetensors = safetensors::write(&safetensors::sample()).expect("writes");
    [npy(), npz, idx(), CSV.to_vec(), CSV.to_vec(), gz(), "aé".into(), safetensors]
}

#[test]
fn whole_files_are_read() {
    for (which, sample) in samples().iter().enumerate() {
        assert!(read(which, sample), "reader {which}");
    }
    for packed in [false, true] {
        let arrays = read_npz(&npz(&[("x.npy", &npy()), ("y", &npy())], packed), LIMIT);
        let arrays = arrays.expect("reads");
        let names: Vec<&str> = arrays.iter().map(|a| a.0.as_str()).collect();
        assert_eq!(names, ["x", "y"]);
        assert_eq!(arrays[1].1.to_f32(), [1.0, 2.0, 3.0]);
    }
}

#[test]
fn every_cut_of_a_file_with_lengths_is_an_error() {
    let samples = samples();
    for which in [0, 1, 2, 7] {
        for end in 0..samples[which].len() {
            assert!(!read(which, &samples[which][..end]), "reader {which}, {end} bytes");
        }
    }
}

#[test]
fn archives_are_bounded_and_names_are_single() {
    let bytes = npz(&[("x.npy", &npy()), ("y.npy", &npy())], true);
    let both = 2 * npy().len();
    assert!(read_npz(&bytes, both).is_ok());
    assert!(matches!(read_npz(&bytes, both - 1), Err(NpzError::TooLarge { .. })));
    let twice = npz(&[("x.npy", &npy()), ("x", &npy())], false);
    assert!(matches!(read_npz(&twice, LIMIT), Err(NpzError::Duplicate)));
    // Two parts of the very same name: rename one behind the library's back.
    let mut bytes = npz(&[("x.npy", &npy()), ("y.npy", &npy())], false);
    for i in 0..bytes.len() - 5 {
        if &bytes[i..i + 5] == b"y.npy" {
            bytes[i] = b'x';
        }
    }
    assert!(matches!(read_npz(&bytes, LIMIT), Err(NpzError::Duplicate)));
    let message = read_npz(&npz(&[("notes.txt", b"hello")], false), LIMIT).expect_err("no array");
    assert_eq!(message.to_string(), "npz: `notes.txt`: npy: does not begin as such a file");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_bytes_do_no_harm(
        which in 0usize..8,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = samples()[which].clone();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if cut {
            bytes.truncate(end.index(bytes.len()));
        }
        read(which, &bytes);
    }

    #[test]
    fn any_bytes_do_no_harm(
        which in 0usize..8,
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        read(which, &bytes);
    }
}
