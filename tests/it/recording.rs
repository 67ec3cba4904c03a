//! What training writes down: checkpoints to go on from, logs, plots, and a look inside.

use eggrad::prelude::*;
use std::path::Path;

const X: [[f32; 2]; 6] = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.5, 0.2], [0.1, 0.9]];
const Y: [i32; 6] = [0, 1, 1, 0, 0, 1];

fn model() -> Model {
    let mut model =
        Sequential::new((Dense::new(5).tanh(), Dropout::new(0.1), Dense::new(2).softmax()));
    model = model.input([2]).seed(3);
    model
        .compile(SparseCategoricalCrossentropy::new(), Adam::new(0.05), Accuracy)
        .expect("compiles");
    model
}

fn fit<'a>(epochs: usize) -> Fit<'a> {
    Fit::epochs(epochs).batch(2).seed(8)
}

/// Epochs of the rows of a log, and its header.
fn log(path: &Path) -> (String, Vec<String>) {
    let text = std::fs::read_to_string(path).expect("a log");
    let mut lines = text.lines();
    let header = lines.next().expect("a header").to_string();
    (header, lines.map(|line| line.split(',').next().unwrap_or("").to_string()).collect())
}

#[test]
fn a_training_goes_on_from_a_checkpoint_and_its_log() -> Result<(), Error> {
    let folder = tempfile::tempdir().expect("a folder");
    let (saved, rows) = (folder.path().join("model.json"), folder.path().join("log.csv"));
    let mut whole = model();
    whole.fit(&X, &Y, fit(9))?;

    // Stopped after epoch 5, of which the last checkpoint is of epoch 4.
    let checkpoint = ModelCheckpoint::every(&saved, 2);
    model().fit(&X, &Y, fit(5).callback(checkpoint).callback(CsvLogger::new(&rows)))?;
    let (header, epochs) = log(&rows);
    assert_eq!(header, "epoch,accuracy,learning_rate,loss");
    assert_eq!(epochs, ["1", "2", "3", "4", "5"]);

    let mut again = Sequential::load(&saved)?;
    assert_eq!(again.progress(), Progress { epoch: 4, step: 0, seed: 8 });
    let rest = Fit::epochs(9).batch(2).resume(again.progress());
    again.fit(&X, &Y, rest.callback(CsvLogger::new(&rows)))?;
    assert_eq!(again.weights(), whole.weights());
    assert_eq!(log(&rows).1, ["1", "2", "3", "4", "5", "6", "7", "8", "9"]);

    // A training from its beginning begins a new log, and a log of other columns is refused.
    again.fit(&X, &Y, fit(1).callback(CsvLogger::new(&rows)))?;
    assert_eq!(log(&rows).1, ["1"]);
    let from = fit(3).resume(Progress { epoch: 1, step: 0, seed: 8 }).validation(&X, &Y);
    let error = again.fit(&X, &Y, from.callback(CsvLogger::new(&rows))).expect_err("two headers");
    assert!(error.to_string().contains("give the log another file"), "{error}");
    Ok(())
}

#[test]
fn the_best_epoch_is_kept() -> Result<(), Error> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("best.json");
    let mut best = ModelCheckpoint::best(&path, "loss");
    let mut weights = vec![];
    let mut model = model();
    // A rate that makes the loss grow after some epochs.
    let rates = LearningRateSchedule(|done| if done < 4 { 0.01 } else { 0.7 });
    let keep = |model: &mut Model, _: &Epoch| {
        weights.push(model.weights());
        Ok(Next::Continue)
    };
    let history = model.fit(&X, &Y, fit(8).callback(rates).callback(&mut best).on_epoch(keep))?;
    let losses = history.get("loss");
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let place = losses.iter().position(|loss| *loss == least).expect("an epoch");
    assert!(place + 1 < losses.len(), "the last epoch is the best: {losses:?}");
    assert_eq!(best.best_value(), least);

    let (checkpoint, store) = Checkpoint::load(&path)?;
    let position = checkpoint.training.expect("a position");
    assert_eq!(position.epoch as usize, place + 1);
    assert_eq!(position.more["best"].as_f64(), Some(least));
    model.store_mut().assign(&store)?;
    assert_eq!(model.weights(), weights[place]);

    // A training that goes on from a worse place leaves it there; one from the beginning does not know it.
    let from = Progress { epoch: 7, ..Progress::default() };
    let rates = || LearningRateSchedule(|_| 0.7);
    model.fit(&X, &Y, fit(8).resume(from).callback(rates()).callback(&mut best))?;
    assert_eq!(best.best_value(), least);
    assert_eq!(Checkpoint::load(&path)?.0.training, Some(position));
    model.fit(&X, &Y, fit(1).callback(rates()).callback(&mut best))?;
    assert_ne!(best.best_value(), least);

    let unknown = ModelCheckpoint::best(&path, "val_loss");
    let error = model.fit(&X, &Y, fit(1).callback(unknown)).expect_err("no validation data");
    assert!(error.to_string().contains("watches `val_loss`"), "{error}");
    Ok(())
}

#[test]
fn a_history_is_drawn() -> Result<(), Error> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("curve.svg");
    model().fit(&X, &Y, fit(3).validation(&X, &Y))?.plot(&path)?;
    let svg = std::fs::read_to_string(&path).expect("a picture");
    let places = ["loss", "val_loss", "accuracy", "val_accuracy"].map(|name| svg.find(name));
    assert!(places.iter().all(Option::is_some), "{places:?}");
    assert!(places[0] < places[2], "the loss stands first");
    assert!(!svg.contains("learning_rate"), "it does not change");
    let rates = LearningRateSchedule(|done| 0.1 / (done + 1) as f64);
    model().fit(&X, &Y, fit(3).callback(rates))?.plot(&path)?;
    let svg = std::fs::read_to_string(&path).expect("a picture");
    assert!(svg.find("learning_rate") > svg.find("accuracy"), "it stands last");
    let error = History::default().plot(&path).expect_err("no epochs");
    assert!(error.to_string().contains("no point"), "{error}");
    Ok(())
}

#[test]
fn a_look_inside_is_in_the_notation_of_books() -> Result<(), Error> {
    let mut model = Sequential::new((
        Normalization::by([1.0, 1.0], [4.0, 4.0]),
        Dense::new(2).relu(),
        Stack::new((Dense::new(1),)).named("head"),
    ));
    model = model.input([2]);
    model.build()?;
    model.set_weight("dense_1.weight", ndarray::array![[1.0f32, -1.0], [2.0, 3.0]].view())?;
    model.set_weight("dense_1.bias", ndarray::array![0.5f32, -9.0].view())?;
    model.set_weight("head.dense_1.weight", ndarray::array![[4.0f32], [1.0]].view())?;
    let inside = model.inside(&[[3.0f32, 5.0], [0.0, 0.0]])?;
    // (3 - 1) / 2 and (5 - 1) / 2; 1 + 4 + 0.5 and -1 + 6 - 9; 4 · 5.5.
    let table = "
       layer            parameters                              makes  values
a^[0]  input                                                    [2]    3.000  5.000
       normalization_1  mean [2], variance [2]                  [2]    1.000  2.000
a^[1]  dense_1          W^[1] [2, 2], b^[1] [2]                 [2]    5.500  0.000
a^[2]  head             dense_1.bias [1], dense_1.weight [2, 1]  [1]    22.000";
    let words = |text: &str| text.split_whitespace().map(str::to_string).collect::<Vec<_>>();
    assert_eq!(words(&inside.to_string()), words(table), "{inside}");
    assert_eq!(inside.layers[2].made, ndarray::array![5.5f32, 0.0].into_dyn());
    let error = model.inside(&[[1.0f32; 3]]).expect_err("another number of features");
    assert!(error.to_string().contains('3'), "{error}");
    Ok(())
}
