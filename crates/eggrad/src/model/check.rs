//! What data must be before anything is run on it.

use super::{Model, TargetRow};
use crate::error::Error;
use crate::values::{Numbers, Values};
use eggrad_ir::{At, DType, Operand, TensorType, TypeError};
use eggrad_nn::loss::Task;
use eggrad_nn::{Graph, Mode};

/// An error of `what` with every array given.
fn wrong(
    what: &str,
    at: At,
    message: String,
    help: &str,
    arrays: &[(&str, TensorType)],
) -> TypeError {
    let mut error = TypeError::new(what, at, message, help);
    let operand = |(name, ty): &(&str, TensorType)| Operand {
        name: (*name).to_string(),
        ty: ty.clone(),
        at: At::Unknown,
    };
    error.operands = arrays.iter().map(operand).collect();
    error
}

impl Model {
    /// Types of a row of each input, and the number of rows of `x`.
    ///
    /// # Errors
    /// Another number of arrays or of rows, rows of another shape than the model takes, and, where data is `learnt`
    /// from, no rows and numbers that are not finite.
    pub(super) fn check_inputs(
        &self,
        what: &str,
        x: &[Values<'_>],
        learnt: bool,
        at: At,
    ) -> Result<(Vec<TensorType>, usize), Error> {
        let rows = x.first().map_or(0, Values::rows);
        for values in x {
            let ty = values.ty();
            if values.shape().is_empty() {
                let message = "takes arrays whose first axis counts rows".to_string();
                let help = "pass at least `[rows]`";
                return Err(wrong(what, at, message, help, &[("inputs", ty)]).into());
            }
            if values.rows() != rows {
                let message = format!("has inputs of {rows} and of {} rows", values.rows());
                let help = "give all inputs the same rows";
                return Err(wrong(what, at, message, help, &[("inputs", ty)]).into());
            }
        }
        if learnt && rows == 0 {
            let message = "is given no rows".to_string();
            return Err(wrong(what, at, message, "load the data first", &[]).into());
        }
        if let Some(values) = x.iter().find(|values| learnt && values.width() == 0) {
            let message = "is given rows of no numbers".to_string();
            let help = "give each row at least one feature";
            return Err(wrong(what, at, message, help, &[("inputs", values.ty())]).into());
        }
        let given: Vec<TensorType> = x
            .iter()
            .map(|values| TensorType::new(values.ty().dtype, &values.shape()[1..]))
            .collect();
        let known = match &self.inputs {
            Some(known) => known.clone(),
            None => self.settled(&given),
        };
        let first_layer = || {
            let written = self.written(Mode::Predict, 2, None).ok()?;
            written.layers.into_iter().find(|l| l.trainable + l.fixed > 0).map(|l| l.path)
        };
        if known.len() != given.len() {
            let message = format!("is given {} inputs, not {}", given.len(), known.len());
            let help = "pass a tuple with one array for each input";
            return Err(wrong(what, at, message, help, &[]).into());
        }
        for (i, (known, given)) in known.iter().zip(&given).enumerate() {
            let types = [("takes rows of", known.clone()), ("is given rows of", given.clone())];
            let fits = known.dtype == given.dtype || known.dtype == DType::F32;
            if known.shape == given.shape && fits {
                continue;
            }
            let message = if known.shape == given.shape {
                format!("takes integers as input {i}, not {}", given.dtype.name())
            } else {
                format!("takes rows of shape {} as input {i}, not {}", known.shape, given.shape)
            };
            let help = if x[i].shape() == known.shape.dims() {
                "the first axis counts rows: one row is `&[row]`, or `row.insert_axis(Axis(0))`"
            } else {
                "give each row as many features as the model was made for"
            };
            let mut error = wrong(what, at, message, help, &types);
            error.layer = first_layer();
            return Err(error.into());
        }
        for (i, values) in x.iter().enumerate().filter(|_| learnt) {
            if let Some((row, column, value)) = values.first_not_finite() {
                let message = format!("holds {value} at row {row}, column {column} of input {i}");
                let help = "drop the row or fill the gap before training";
                return Err(wrong(what, at, message, help, &[("input", values.ty())]).into());
            }
        }
        Ok((known, rows))
    }

    /// Types of inputs that are like these: integers are floats where layers take floats.
    fn settled(&self, given: &[TensorType]) -> Vec<TensorType> {
        let builds = |inputs: &[TensorType]| {
            let graph = Graph::new();
            self.write(&graph, inputs, Mode::Predict, 2, None);
            graph.build().is_ok()
        };
        let integers = given.iter().any(|ty| ty.dtype == DType::I32);
        let float = |ty: &TensorType| TensorType::new(DType::F32, ty.shape.clone());
        let floats: Vec<TensorType> = given.iter().map(float).collect();
        if integers && !builds(given) && builds(&floats) { floats } else { given.to_vec() }
    }

    /// Whether integers are those that the model takes, such as the tokens of an embedding.
    ///
    /// # Errors
    /// The first that is not, by row.
    pub(super) fn check_ranges(&self, what: &str, x: &[Values<'_>], at: At) -> Result<(), Error> {
        let inputs = self.known_inputs(what, at)?;
        if inputs.iter().all(|ty| ty.dtype != DType::I32) {
            return Ok(());
        }
        let ranges = match self.ranges.get() {
            Some(ranges) => ranges,
            None => {
                let graph = self.written(Mode::Predict, 2, None)?.graph.build()?.graph;
                let ranges = graph.inputs().iter().map(|input| input.range).collect();
                self.ranges.get_or_init(|| ranges)
            }
        };
        for (i, (values, range)) in x.iter().zip(ranges).enumerate() {
            let (Numbers::I32(v), Some((low, high))) = (values.numbers(), *range) else { continue };
            let outside = |v: &i32| !(low..=high).contains(&f64::from(*v));
            if let Some(place) = v.iter().position(outside) {
                let (row, value) = (place / values.width().max(1), v[place]);
                let message =
                    format!("holds {value} at row {row} of input {i}, outside {low} to {high}");
                let help = "number what there is from 0, or make the layer's table longer";
                return Err(wrong(what, at, message, help, &[("input", values.ty())]).into());
            }
        }
        Ok(())
    }

    /// What a row of each target is; mistakes of the model are told for a batch of `rows`.
    pub(super) fn target_rows(&self, rows: usize) -> Result<&[TargetRow], Error> {
        if let Some(known) = self.targets.get() {
            return Ok(known);
        }
        let inputs = self.known_inputs("fit", At::Unknown)?.len();
        let targets = self.written(Mode::Evaluate, rows, None)?.graph.build()?.graph;
        let outputs = self.written(Mode::Predict, rows, None)?.graph.build()?.graph;
        let found = targets.inputs().iter().skip(inputs).zip(outputs.outputs());
        let found = found.map(|(target, output)| TargetRow {
            ty: TensorType::new(target.ty.dtype, &target.ty.shape.dims()[1..]),
            classes: outputs.ty(output.node).shape.dims().last().copied().unwrap_or(1),
        });
        let found = found.collect();
        Ok(self.targets.get_or_init(|| found))
    }

    /// Targets as the losses take them.
    ///
    /// # Errors
    /// Another number of arrays or of rows, targets of another shape than the predictions, and labels that are no class
    /// numbers.
    pub(super) fn check_targets<'a>(
        &self,
        what: &str,
        y: Vec<Values<'a>>,
        rows: usize,
        at: At,
    ) -> Result<Vec<Values<'a>>, Error> {
        let goal = self.known_goal(what, at)?;
        let types = self.target_rows(rows.max(1))?;
        if y.len() != goal.losses.len() || types.len() != y.len() {
            let message = format!("is given {} targets for {} losses", y.len(), goal.losses.len());
            let help = "pass a tuple with one array for each loss";
            return Err(wrong(what, at, message, help, &[]).into());
        }
        let mut checked = vec![];
        for ((values, loss), row) in y.into_iter().zip(&goal.losses).zip(types) {
            let ty = &row.ty;
            let task = loss.task();
            let given = values.ty();
            let fail = |message: String, help: &str| {
                let expected = TensorType::new(ty.dtype, [&[rows], ty.shape.dims()].concat());
                let arrays = [("targets", given.clone()), ("the loss takes", expected)];
                Err(Error::from(wrong(what, at, message, help, &arrays)))
            };
            if values.rows() != rows {
                let message = format!("has {rows} rows of inputs and {} of targets", values.rows());
                return fail(message, "give one target for each row");
            }
            // Axes of size 1 say nothing: `[n]` is `[n, 1]`.
            let dims =
                |dims: &[usize]| dims.iter().copied().filter(|d| *d != 1).collect::<Vec<_>>();
            let inner = values.shape().get(1..).unwrap_or(&[]);
            if dims(inner) != dims(ty.shape.dims()) {
                let message = format!(
                    "takes targets of shape {} in each row for `{}`, not {:?}",
                    ty.shape,
                    loss.name(),
                    inner
                );
                let help = match task {
                    Task::Classes { .. } => {
                        "pass one class number for each prediction; rows of ones and zeros go with `CategoricalCrossentropy`"
                    }
                    Task::Shares => {
                        "pass a number for each class; class numbers go with `SparseCategoricalCrossentropy`"
                    }
                    Task::Binary | Task::Numbers => "pass a number for each prediction",
                };
                return fail(message, help);
            }
            checked.push(match task {
                Task::Classes { ignored } => match labels(&values, row.classes, ignored) {
                    Ok(labels) => labels,
                    Err((message, help)) => return fail(message, help),
                },
                Task::Shares | Task::Binary => {
                    if let Some((row, value)) = outside(&values) {
                        let message = format!("has the target {value} at row {row}");
                        return fail(message, "targets of probabilities lie between 0 and 1");
                    }
                    if let (Task::Shares, Some((row, sum))) = (task, incomplete(&values, row.classes))
                    {
                        let message = format!("has targets that add up to {sum} at row {row}");
                        let help = "shares of classes add up to 1; labels that do not exclude each other go with `BinaryCrossentropy`";
                        return fail(message, help);
                    }
                    values
                }
                Task::Numbers => {
                    if let Some((row, column, value)) = values.first_not_finite() {
                        let message =
                            format!("holds {value} at row {row}, column {column} of the targets");
                        return fail(message, "drop the row before training");
                    }
                    values
                }
            });
        }
        Ok(checked)
    }
}

/// Labels as integers.
///
/// # Errors
/// A label that is no class: what is wrong, and what to do.
fn labels<'a>(
    values: &Values<'a>,
    classes: usize,
    ignored: Option<i32>,
) -> Result<Values<'a>, (String, &'static str)> {
    let width = values.width().max(1);
    let range = |value: f64| {
        let allowed =
            (value >= 0.0 && value < classes as f64) || ignored.map(f64::from) == Some(value);
        !allowed
    };
    let wrong = |i: usize, value: f64| {
        let row = i / width;
        if value.fract() != 0.0 {
            let help = "class numbers are whole; numbers to approach go with a loss such as `MeanSquaredError`";
            return (format!("has the fractional label {value} at row {row}"), help);
        }
        let help =
            "number the classes from 0, give the last layer a unit for each, or `ignore` a label";
        (format!("has the label {value} at row {row}, but {classes} classes"), help)
    };
    let bad = |value: f64| value.fract() != 0.0 || !value.is_finite() || range(value);
    let found = match values.numbers() {
        Numbers::I32(v) => v.iter().map(|&v| f64::from(v)).enumerate().find(|(_, v)| bad(*v)),
        Numbers::F32(v) => v.iter().map(|&v| f64::from(v)).enumerate().find(|(_, v)| bad(*v)),
    };
    match found {
        Some((i, value)) => Err(wrong(i, value)),
        None => Ok(values.integers()),
    }
}

/// The row and value of the first number that is no probability.
fn outside(values: &Values<'_>) -> Option<(usize, f64)> {
    let width = values.width().max(1);
    let find = |numbers: &mut dyn Iterator<Item = f64>| {
        numbers.enumerate().find(|(_, v)| !(0.0..=1.0).contains(v)).map(|(i, v)| (i / width, v))
    };
    match values.numbers() {
        Numbers::F32(v) => find(&mut v.iter().map(|&v| f64::from(v))),
        Numbers::I32(v) => find(&mut v.iter().map(|&v| f64::from(v))),
    }
}

/// The row and sum of the first shares of classes that do not add up to 1.
fn incomplete(values: &Values<'_>, classes: usize) -> Option<(usize, f64)> {
    let groups = values.width() / classes.max(1);
    let find = |sums: &mut dyn Iterator<Item = f64>| {
        let wrong = sums.enumerate().find(|(_, sum)| (sum - 1.0).abs() > 1e-3);
        wrong.map(|(i, sum)| (i / groups.max(1), sum))
    };
    match values.numbers() {
        Numbers::F32(v) => {
            find(&mut v.chunks(classes.max(1)).map(|c| c.iter().map(|&v| f64::from(v)).sum()))
        }
        Numbers::I32(v) => {
            find(&mut v.chunks(classes.max(1)).map(|c| c.iter().map(|&v| f64::from(v)).sum()))
        }
    }
}
