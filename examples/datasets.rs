//! The data of the examples, from `data/`: where it comes from is told in `data/PROVENANCE.md`.
#![allow(dead_code, reason = "each example uses some of these")]

use eggrad::formats::{Array, Table, gunzip, read_idx, read_npz, read_text};
use eggrad::ndarray::ArrayViewD;
use std::error::Error;

/// Most bytes that a file of the examples unpacks to.
const LIMIT: usize = 1 << 26;

/// Rows of numbers, with what is to be told from them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rows {
    /// Sizes of the numbers, rows first.
    pub(crate) shape: Vec<usize>,
    /// The numbers, row-major.
    pub(crate) features: Vec<f32>,
    /// One for each row; several in a row for labels that do not exclude each other.
    pub(crate) labels: Vec<i32>,
}

impl Rows {
    fn new(features: &Array, labels: &Array) -> Result<Rows, Box<dyn Error>> {
        let (shape, features) = (features.shape.clone(), features.to_f32());
        let labels = labels.to_i32().ok_or("labels that are no whole numbers")?;
        Ok(Rows { shape, features, labels })
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.shape[0]
    }

    /// The first `count` rows, or all if there are fewer.
    pub(crate) fn first(mut self, count: usize) -> Rows {
        let (rows, count) = (self.rows(), count.min(self.rows()));
        self.features.truncate(self.features.len() / rows * count);
        self.labels.truncate(self.labels.len() / rows * count);
        self.shape[0] = count;
        self
    }

    /// The numbers as an array, rows first: what a model is given.
    pub(crate) fn x(&self) -> ArrayViewD<'_, f32> {
        let array = ArrayViewD::from_shape(self.shape.as_slice(), &self.features);
        array.expect("as many numbers as the shape says")
    }

    /// The labels as an array: one for each row, or several in a row.
    pub(crate) fn y(&self) -> ArrayViewD<'_, i32> {
        let several = self.labels.len() / self.rows();
        let shape = if several == 1 { vec![self.rows()] } else { vec![self.rows(), several] };
        let array = ArrayViewD::from_shape(shape, &self.labels);
        array.expect("as many labels for each row")
    }
}

/// Handwritten digits of 28 by 28 pixels from 0 to 1: 8,000 to train on, 2,000 to test on; labels 0 to 9.
pub(crate) fn mnist() -> Result<(Rows, Rows), Box<dyn Error>> {
    let part = |images: &[u8], labels: &[u8]| -> Result<Rows, Box<dyn Error>> {
        let images = read_idx(&gunzip(images, LIMIT)?)?;
        let labels = read_idx(&gunzip(labels, LIMIT)?)?;
        let mut rows = Rows::new(&images, &labels)?;
        rows.features.iter_mut().for_each(|pixel| *pixel /= 255.0);
        Ok(rows)
    };
    let train = part(
        include_bytes!("../data/mnist10k-train-images-idx3-ubyte.gz"),
        include_bytes!("../data/mnist10k-train-labels-idx1-ubyte.gz"),
    )?;
    let test = part(
        include_bytes!("../data/mnist10k-test-images-idx3-ubyte.gz"),
        include_bytes!("../data/mnist10k-test-labels-idx1-ubyte.gz"),
    )?;
    Ok((train, test))
}

/// Heartbeats of 100 steps: 600 to train on, 400 to test on; label 1 where the beat is not normal.
pub(crate) fn ecg() -> Result<(Rows, Rows), Box<dyn Error>> {
    parts(include_bytes!("../data/ecg_synthetic_100.npz"))
}

/// 103 numbers of each gene of a yeast, and 14 labels of which several are 1: 1,500 to train on, 917 to test on.
pub(crate) fn yeast() -> Result<(Rows, Rows), Box<dyn Error>> {
    parts(include_bytes!("../data/yeast_multilabel.npz"))
}

/// Arrays `x_train`, `y_train`, `x_test`, `y_test` of an archive.
fn parts(archive: &[u8]) -> Result<(Rows, Rows), Box<dyn Error>> {
    let arrays = read_npz(archive, LIMIT)?;
    let find = |name: &str| {
        let array = arrays.iter().find(|(other, _)| other == name);
        array.map(|(_, array)| array).ok_or_else(|| format!("no array `{name}`"))
    };
    let train = Rows::new(find("x_train")?, find("y_train")?)?;
    Ok((train, Rows::new(find("x_test")?, find("y_test")?)?))
}

/// 200 roasts of coffee: degrees Celsius and minutes; label 1 where it is good.
pub(crate) fn coffee() -> Result<Rows, Box<dyn Error>> {
    let table = Table::read(&gunzip(include_bytes!("../data/coffee_roasting.csv.gz"), LIMIT)?)?;
    let features = table.numbers(&["temperature_c", "duration_min"])?;
    Ok(Rows { shape: vec![table.rows(), 2], features, labels: table.classes("good")? })
}

/// What is known of 442 people with diabetes, and how far it had come a year later.
pub(crate) struct Diabetes {
    /// Names of the ten features.
    pub(crate) columns: Vec<String>,
    /// `[442, 10]`, in their own units.
    pub(crate) features: Vec<f32>,
    /// One for each person, 25 to 346.
    pub(crate) targets: Vec<f32>,
}

/// See [`Diabetes`].
pub(crate) fn diabetes() -> Result<Diabetes, Box<dyn Error>> {
    let table = Table::read(&gunzip(include_bytes!("../data/diabetes.csv.gz"), LIMIT)?)?;
    let columns: Vec<&str> = table.columns().filter(|&column| column != "target").collect();
    let (features, targets) = (table.numbers(&columns)?, table.numbers(&["target"])?);
    Ok(Diabetes { columns: columns.iter().map(|c| c.to_string()).collect(), features, targets })
}

/// 5,163 first names in small letters, sorted.
pub(crate) fn first_names() -> Result<Vec<String>, Box<dyn Error>> {
    let text = read_text(&gunzip(include_bytes!("../data/first_names.txt.gz"), LIMIT)?)?;
    Ok(text.lines().map(str::to_string).collect())
}

/// The first 199,989 characters of Moby Dick.
pub(crate) fn moby_dick() -> Result<String, Box<dyn Error>> {
    Ok(read_text(&gunzip(include_bytes!("../data/moby_dick_200k.txt.gz"), LIMIT)?)?)
}
