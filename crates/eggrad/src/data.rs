//! Labelled data, checked once before training.

use eggrad_ir::{At, DType, Operand, TensorType, TypeError};
use ndarray::{ArrayView1, ArrayView2};

/// Rows of features with a class label each.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    features: Vec<f32>,
    labels: Vec<i32>,
    columns: usize,
    classes: usize,
}

impl Dataset {
    /// Copies `features`, one row per sample, and `labels`, one class below `classes` per row.
    ///
    /// # Errors
    /// No rows, another number of labels than rows, a feature that is not finite, or a label out of range: the error
    /// names the caller's line, both shapes, and the row at fault.
    #[track_caller]
    pub fn new(
        features: ArrayView2<'_, f32>,
        labels: ArrayView1<'_, i32>,
        classes: usize,
    ) -> Result<Dataset, TypeError> {
        let at = At::here();
        let (rows, columns) = features.dim();
        let fail = |message: String, help: &str| {
            let mut error = TypeError::new("Dataset", at, message, help);
            let operand = |name: &str, ty| Operand { name: name.to_string(), ty, at: At::Unknown };
            error.operands = vec![
                operand("features", TensorType::new(DType::F32, [rows, columns])),
                operand("labels", TensorType::new(DType::I32, [labels.len()])),
            ];
            Err(error)
        };
        if labels.len() != rows {
            let message = format!("has {rows} rows of features but {} labels", labels.len());
            return fail(message, "give one label per row");
        }
        if rows == 0 || columns == 0 {
            let what = if rows == 0 { "rows" } else { "columns" };
            return fail(format!("has no {what}"), "load the data before making a dataset of it");
        }
        for ((row, column), value) in features.indexed_iter() {
            if !value.is_finite() {
                return fail(
                    format!("holds {value} at row {row}, column {column}"),
                    "drop the row or fill the gap before training",
                );
            }
        }
        for (row, &label) in labels.iter().enumerate() {
            if label < 0 || label as usize >= classes {
                return fail(
                    format!("has label {label} at row {row}, but {classes} classes"),
                    "number the classes from 0, or name more of them",
                );
            }
        }
        Ok(Dataset {
            features: features.iter().copied().collect(),
            labels: labels.to_vec(),
            columns,
            classes,
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// Number of features of a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// All features, `[rows, columns]`: what a model is given.
    pub fn x(&self) -> ArrayView2<'_, f32> {
        ArrayView2::from_shape((self.rows(), self.columns), &self.features)
            .expect("internal error: a dataset is rows times columns")
    }

    /// All labels, `[rows]`: what a model is to give.
    pub fn y(&self) -> ArrayView1<'_, i32> {
        ArrayView1::from(&self.labels)
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// All features, row-major.
    pub fn features(&self) -> &[f32] {
        &self.features
    }

    /// All labels.
    pub fn labels(&self) -> &[i32] {
        &self.labels
    }

    /// Rows whose number satisfies `keep`, and the others.
    pub fn split(&self, keep: impl Fn(usize) -> bool) -> (Dataset, Dataset) {
        let (yes, no): (Vec<usize>, Vec<usize>) = (0..self.rows()).partition(|&row| keep(row));
        (self.take(&yes), self.take(&no))
    }

    /// The features of one row.
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.features[row * self.columns..][..self.columns]
    }

    fn take(&self, rows: &[usize]) -> Dataset {
        Dataset {
            features: rows.iter().flat_map(|&row| self.row(row)).copied().collect(),
            labels: rows.iter().map(|&row| self.labels[row]).collect(),
            ..*self
        }
    }
}
