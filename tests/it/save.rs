//! What is saved comes back bit for bit, goes on training as if nothing had been, and is refused by another model.

use eggrad::formats::{NamedView, write_safetensors};
use eggrad::prelude::*;
use eggrad::{Difference, Differences, SaveError};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// A train step with an optimizer that remembers, and random numbers.
fn step(width: usize) -> Arc<Program> {
    let g = Graph::new();
    let x = g.input("x", [4, 3]);
    let labels = g.labels("labels", [4], 2);
    let noise = g.random().uniform([4, 3]);
    let hidden = dense("hidden", x + noise * 0.1, width).tanh();
    let logits = dense("out", hidden, 2);
    let loss = -(labels.one_hot(2) * logits.softmax(1).log()).sum(1).mean();
    g.output("loss", loss);
    Adam::new(0.05).minimize(loss);
    Arc::new(Program::compile(&g, &Options::default()).expect("compiles"))
}

fn predict(width: usize) -> Arc<Program> {
    let g = Graph::new();
    let hidden = dense("hidden", g.input("x", [4, 3]), width).tanh();
    g.output("p", dense("out", hidden, 2).softmax(1));
    Arc::new(Program::compile(&g, &Options::default()).expect("compiles"))
}

const ROWS: [f32; 12] = [0.1, 0.9, 0.3, 0.8, 0.2, 0.7, 0.4, 0.6, 0.1, 0.9, 0.5, 0.5];

/// Losses of some steps, as bits.
fn train(session: &mut Session, store: &mut Store, steps: usize) -> Vec<u32> {
    let run = |_| {
        let mut loss = [0.0f32];
        let inputs = [ArrayRef::F32(&ROWS), ArrayRef::I32(&[0, 1, 0, 1])];
        session.run(store, &inputs, &mut [ArrayMut::F32(&mut loss)]).expect("runs");
        loss[0].to_bits()
    };
    (0..steps).map(run).collect()
}

fn answers(program: &Arc<Program>, store: &mut Store) -> Vec<u32> {
    let mut answers = [0.0f32; 8];
    let mut session = Session::new(program, store).expect("a session");
    let outputs = &mut [ArrayMut::F32(&mut answers)];
    session.run(store, &[ArrayRef::F32(&ROWS)], outputs).expect("runs");
    answers.map(f32::to_bits).to_vec()
}

/// A store after five steps.
fn trained() -> Store {
    let program = step(5);
    let mut store = Store::new(7);
    let mut session = Session::new(&program, &mut store).expect("a session");
    train(&mut session, &mut store, 5);
    store
}

/// Paths, kinds, types and values.
fn content(store: &Store) -> Vec<String> {
    let bits = |array: ArrayRef<'_>| match array {
        ArrayRef::F32(list) => {
            format!("{:?}", list.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    };
    let state = |(name, kind, ty): (&str, StateKind, &TensorType)| {
        let values = store.get(name).map(bits).expect("a state");
        format!("{name} {} {ty} {values}", kind.name())
    };
    store.states().map(state).collect()
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let name = |e: fs::DirEntry| e.file_name().into_string().expect("a name");
    let mut names: Vec<String> = entries.map(|e| name(e.expect("an entry"))).collect();
    names.sort();
    names
}

#[test]
fn a_loaded_store_is_the_saved_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("all.safetensors");
    let mut store = trained();
    if let Some(ArrayMut::F32(bias)) = store.get_mut("out.bias") {
        bias[0] = f32::from_bits(0x7fc0_1234);
        bias[1] = -0.0;
    }
    store.save(&path, Saved::All).expect("saves");
    let loaded = Store::load(&path).expect("loads");
    assert_eq!(content(&loaded), content(&store));
    assert!(content(&loaded).iter().any(|s| s.starts_with("random.seed counter")));
    loaded.check(&step(5)).expect("the same model");
    loaded.check(&predict(5)).expect("the same layers");
    let first = fs::read(&path).expect("a file");
    loaded.save(&path, Saved::All).expect("saves");
    assert_eq!(fs::read(&path).expect("a file"), first);
    assert_eq!(files(folder.path()), ["all.safetensors"]);
}

#[test]
fn training_goes_on_as_if_nothing_had_been() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.json");
    let program = step(5);
    let mut store = Store::new(7);
    let mut session = Session::new(&program, &mut store).expect("a session");
    train(&mut session, &mut store, 5);
    let position = Position { epoch: 1, batch: 5, shuffle_seed: u64::MAX, ..Position::default() };
    let checkpoint = Checkpoint {
        model: serde_json::json!({"layers": [{"kind": "dense", "units": 5, "gain": 0.1}]}),
        training: Some(position),
    };
    checkpoint.save(&path, &store, Saved::All).expect("saves");
    let expected = train(&mut session, &mut store, 6);

    let (back, mut resumed) = Checkpoint::load(&path).expect("loads");
    assert_eq!(back, checkpoint);
    resumed.check(&program).expect("the same model");
    let mut session = Session::new(&program, &mut resumed).expect("a session");
    assert_eq!(train(&mut session, &mut resumed, 6), expected);
    assert_eq!(content(&resumed), content(&store));

    // Over a store in use, so that its sessions stay valid.
    let (_, saved) = Checkpoint::load(&path).expect("loads");
    resumed.assign(&saved).expect("the same model");
    assert_eq!(train(&mut session, &mut resumed, 6), expected);
}

#[test]
fn weights_alone_predict_the_same_bits() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weights.safetensors");
    let mut store = trained();
    let expected = answers(&predict(5), &mut store);
    store.save(&path, Saved::Weights).expect("saves");
    let mut loaded = Store::load(&path).expect("loads");
    let names: Vec<&str> = loaded.states().map(|s| s.0).collect();
    assert_eq!(names, ["hidden.weight", "hidden.bias", "out.weight", "out.bias"]);
    loaded.check(&step(5)).expect("optimizers begin anew");
    assert_eq!(answers(&predict(5), &mut loaded), expected);
    // What is not in the file stays.
    let mut other = trained();
    let before = content(&other);
    other.assign(&loaded).expect("the same layers");
    assert_eq!(content(&other), before);
}

#[test]
fn every_difference_is_listed_at_once() {
    let store = trained();
    let g = Graph::new();
    let hidden = dense("hidden", g.input("x", [4, 3]), 6).tanh();
    let middle = dense("middle", hidden, 2);
    g.output("p", g.frozen("out.weight", [5, 2], Init::Zeros).sum(0) + middle.softmax(1));
    let program = Program::compile(&g, &Options::default()).expect("compiles");
    let error = store.check(&program).expect_err("another model");
    let message = error.to_string();
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(lines[0], "what was saved is not of this model: 5 differences");
    assert!(lines[1].starts_with("  hidden.weight: f32[3, 6] in the model at "), "{message}");
    assert!(lines[1].ends_with(", f32[3, 5] as saved"), "{message}");
    assert!(lines[2].starts_with("  hidden.bias:   f32[6] in the model at "), "{message}");
    assert!(lines[3].starts_with("  middle.weight: f32[6, 2] in the model at "), "{message}");
    assert!(lines[3].ends_with(", was not saved"), "{message}");
    assert_eq!(lines[5], "  out.bias:      f32[2] as saved, not in the model");
    assert!(lines[6].starts_with("help: "));

    let mut other = Store::new(0);
    Session::new(&step(6), &mut other).expect("a session");
    let before = content(&other);
    let error = other.assign(&store).expect_err("another width");
    let Error::Save(SaveError::Differences(Differences(list))) = &error else { panic!("{error}") };
    // Two weights, one bias, and two memories of Adam for each of the three.
    assert_eq!(list.len(), 9, "{error}");
    assert!(matches!(&list[0], Difference { model: Some(_), store: Some(_), .. }));
    assert_eq!(content(&other), before);
}

#[test]
fn kinds_differ_too() {
    let program = |kind| {
        let g = Graph::new();
        let ty = TensorType::new(eggrad::ir::DType::F32, [3]);
        g.output("y", g.input("x", [3]) + g.state("s", kind, ty, Init::Zeros));
        Program::compile(&g, &Options::default()).expect("compiles")
    };
    let mut store = Store::new(0);
    Session::new(&Arc::new(program(StateKind::Param)), &mut store).expect("a session");
    store.check(&program(StateKind::Frozen)).expect("frozen is trained elsewhere");
    let message = store.check(&program(StateKind::Stat)).expect_err("a statistic").to_string();
    assert!(message.contains("s: stat f32[3] in the model"), "{message}");
    assert!(message.contains(", param f32[3] as saved"), "{message}");
}

#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, model) = (folder.path().join("a.safetensors"), folder.path().join("m.json"));
    let store = trained();
    store.save(&file, Saved::All).expect("saves");
    Checkpoint::default().save(&model, &store, Saved::All).expect("saves");
    assert_eq!(files(folder.path()), ["a.safetensors", "m.json", "m.json.0.safetensors"]);
    let beside = folder.path().join("m.json.0.safetensors");
    let (bytes, text, weights) = (
        fs::read(&file).expect("a file"),
        fs::read_to_string(&model).expect("a file"),
        fs::read(&beside).expect("a file"),
    );
    for end in (0..bytes.len()).step_by(7) {
        fs::write(&file, &bytes[..end]).expect("writes");
        let message = Store::load(&file).expect_err("cut").to_string();
        assert!(message.starts_with("cannot load `"), "{message}");
        fs::write(&beside, &bytes[..end]).expect("writes");
        let message = Checkpoint::load(&model).expect_err("cut").to_string();
        assert!(message.contains("it is not what was saved with `"), "{message}");
    }
    // One bit of a weight: only the checksum sees it.
    let mut changed = weights.clone();
    *changed.last_mut().expect("bytes") ^= 1;
    fs::write(&beside, &changed).expect("writes");
    assert!(Checkpoint::load(&model).is_err());
    fs::write(&beside, &weights).expect("writes");
    Checkpoint::load(&model).expect("whole again");

    let whole = text.trim_end();
    for end in (0..whole.len()).filter(|&end| whole.is_char_boundary(end)) {
        fs::write(&model, &whole[..end]).expect("writes");
        assert!(Checkpoint::load(&model).is_err(), "{end} bytes");
    }
    let check = |from: &str, to: &str, expected: &str| {
        assert!(text.contains(from), "{text}");
        fs::write(&model, text.replace(from, to)).expect("writes");
        let message = Checkpoint::load(&model).expect_err(to).to_string();
        assert!(message.contains(expected), "{message}");
    };
    check("eggrad-model", "keras", "its format is `keras`, not `eggrad-model`");
    check("\"version\": 1", "\"version\": 2", "it is of version 2, this library reads up to 1");
    check("m.json.0", "../m.json.0", "is no file beside it");
    check("m.json.0", "m.json.7", "cannot read `");
    let note = String::from_utf8_lossy(&bytes).replace("\\\"version\\\":1", "\\\"version\\\":9");
    assert!(note.contains("version\\\":9"));
    let later: Vec<u8> =
        bytes.windows(14).position(|w| w == b"\\\"version\\\":1,").map_or(vec![], |at| {
            let mut later = bytes.clone();
            later[at + 12] = b'9';
            later
        });
    fs::write(&file, later).expect("writes");
    let message = Store::load(&file).expect_err("later").to_string();
    assert!(message.contains("it is of version 9"), "{message}");
    assert!(
        Store::load(folder.path().join("none")).expect_err("none").to_string().contains("none")
    );
}

#[test]
fn two_files_take_turns() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.json");
    let store = trained();
    for turn in ["m.json.0.safetensors", "m.json.1.safetensors", "m.json.0.safetensors"] {
        Checkpoint::default().save(&path, &store, Saved::Weights).expect("saves");
        assert_eq!(files(folder.path()), ["m.json", turn]);
        Checkpoint::load(&path).expect("loads");
    }
    // A copy under another name reads what the original names, until it is saved itself.
    let copy = folder.path().join("copy.json");
    fs::copy(&path, &copy).expect("copies");
    let (checkpoint, loaded) = Checkpoint::load(&copy).expect("loads");
    checkpoint.save(&copy, &loaded, Saved::Weights).expect("saves");
    Checkpoint::load(&path).expect("the original stays");
    Checkpoint::load(&copy).expect("loads");
}

#[test]
fn what_could_not_be_read_is_not_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.json");
    let store = trained();
    Checkpoint::default().save(&path, &store, Saved::Weights).expect("saves");
    let deep = (0..200).fold(serde_json::Value::Null, |inner, _| vec![inner].into());
    let checkpoint = Checkpoint { model: deep, training: None };
    let message = checkpoint.save(&path, &store, Saved::Weights).expect_err("deep").to_string();
    assert!(message.contains("recursion limit"), "{message}");
    assert_eq!(Checkpoint::load(&path).expect("the old one").0, Checkpoint::default());
    // Each of the two readers names the other.
    let message = Store::load(&path).expect_err("a description").to_string();
    assert!(message.ends_with("it is a description; `Model::load` reads it"), "{message}");
    let weights = folder.path().join("m.json.0.safetensors");
    let message = Checkpoint::load(&weights).expect_err("weights").to_string();
    assert!(message.contains("`Store::load` read weights alone"), "{message}");
    let nowhere = folder.path().join("none").join("m.json");
    let message = checkpoint.save(&nowhere, &store, Saved::All).expect_err("no folder").to_string();
    assert!(message.contains("m.json`"), "{message}");
}

#[test]
fn files_of_other_libraries_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("other.safetensors");
    let mut bytes = vec![];
    let views = [
        NamedView { name: "w", shape: &[2], elements: [1.0f32, 2.0][..].into() },
        NamedView { name: "seen", shape: &[], elements: [3i64][..].into() },
    ];
    write_safetensors(&mut bytes, &views, &BTreeMap::new()).expect("writes");
    fs::write(&path, bytes).expect("writes");
    let store = Store::load(&path).expect("loads");
    let kinds: Vec<_> = store.states().map(|(name, kind, _)| (name, kind)).collect();
    assert_eq!(kinds, [("seen", StateKind::Stat), ("w", StateKind::Param)]);
    assert_eq!(store.get("w"), Some(ArrayRef::F32(&[1.0, 2.0])));
}
