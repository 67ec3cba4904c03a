//! Arrays as users pass them: of any shape, rows first.

use eggrad_ir::{DType, TensorType};
use ndarray::{Array, ArrayView, Dimension};
use std::borrow::Cow;

/// Rows of numbers: what a model is given for one of its inputs or targets. The first axis counts rows.
///
/// Made from `ndarray` arrays and views of any rank, slices and vectors. Floats become `f32`, integers and truth values `i32`.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    numbers: Numbers<'a>,
    shape: Vec<usize>,
}

/// Numbers, row-major.
#[derive(Clone, Debug)]
pub(crate) enum Numbers<'a> {
    F32(Cow<'a, [f32]>),
    I32(Cow<'a, [i32]>),
}

impl<'a> Values<'a> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// Sizes of all axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Element type and sizes.
    pub fn ty(&self) -> TensorType {
        let dtype = match self.numbers {
            Numbers::F32(_) => DType::F32,
            Numbers::I32(_) => DType::I32,
        };
        TensorType::new(dtype, self.shape.as_slice())
    }

    pub(crate) fn numbers(&self) -> &Numbers<'a> {
        &self.numbers
    }

    /// Numbers of one row.
    pub(crate) fn width(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// The same numbers as integers.
    pub(crate) fn integers(&self) -> Values<'a> {
        let numbers = match &self.numbers {
            Numbers::F32(v) => v.iter().map(|&v| v as i32).collect::<Vec<_>>().into(),
            Numbers::I32(v) => v.clone(),
        };
        Values { numbers: Numbers::I32(numbers), shape: self.shape.clone() }
    }

    /// The rows from `from` on, `count` of them.
    pub(crate) fn slice(&self, from: usize, count: usize) -> Values<'_> {
        let range = from * self.width()..(from + count) * self.width();
        let numbers = match &self.numbers {
            Numbers::F32(v) => Numbers::F32(Cow::Borrowed(&v[range])),
            Numbers::I32(v) => Numbers::I32(Cow::Borrowed(&v[range])),
        };
        let mut shape = self.shape.clone();
        shape[0] = count;
        Values { numbers, shape }
    }

    /// The same with numbers of its own.
    pub(crate) fn into_owned(self) -> Values<'static> {
        let numbers = match self.numbers {
            Numbers::F32(v) => Numbers::F32(Cow::Owned(v.into_owned())),
            Numbers::I32(v) => Numbers::I32(Cow::Owned(v.into_owned())),
        };
        Values { numbers, shape: self.shape }
    }

    /// Row, position in the row, and value of the first float that is not finite.
    pub(crate) fn first_not_finite(&self) -> Option<(usize, usize, f32)> {
        let Numbers::F32(v) = &self.numbers else { return None };
        let width = self.width().max(1);
        let found = v.iter().enumerate().find(|(_, v)| !v.is_finite());
        found.map(|(i, v)| (i / width, i % width, *v))
    }
}

/// Numbers of an array one after the other, copied only if they are not or are of another type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no number that data is made of",
    note = "arrays hold floats, integers or truth values; rows are `&[[f32; 3]]`, `&Vec<[f32; 3]>` or an array of `ndarray`"
)]
trait Element: Sized + Copy {
    fn numbers<D: Dimension>(array: ArrayView<'_, Self, D>) -> Numbers<'_>;
}

/// Those of an array whose element type is kept.
fn kept<T: Copy, D: Dimension>(array: ArrayView<'_, T, D>) -> Cow<'_, [T]> {
    match array.to_slice() {
        Some(slice) => Cow::Borrowed(slice),
        None => Cow::Owned(array.iter().copied().collect()),
    }
}

impl Element for f32 {
    fn numbers<D: Dimension>(array: ArrayView<'_, f32, D>) -> Numbers<'_> {
        Numbers::F32(kept(array))
    }
}

impl Element for i32 {
    fn numbers<D: Dimension>(array: ArrayView<'_, i32, D>) -> Numbers<'_> {
        Numbers::I32(kept(array))
    }
}

macro_rules! converted {
    ($($Element:ty, $Variant:ident, $convert:expr;)*) => {$(
        impl Element for $Element {
            fn numbers<D: Dimension>(array: ArrayView<'_, $Element, D>) -> Numbers<'_> {
                Numbers::$Variant(array.iter().copied().map($convert).collect())
            }
        }
    )*};
}

// Integers that fit no `i32` become the nearest, which no range of labels allows.
converted! {
    f64, F32, |v| v as f32;
    bool, I32, i32::from;
    i8, I32, i32::from;
    u8, I32, i32::from;
    i16, I32, i32::from;
    u16, I32, i32::from;
    i64, I32, |v| i32::try_from(v).unwrap_or(if v < 0 { i32::MIN } else { i32::MAX });
    u32, I32, |v| i32::try_from(v).unwrap_or(i32::MAX);
    u64, I32, |v| i32::try_from(v).unwrap_or(i32::MAX);
    usize, I32, |v| i32::try_from(v).unwrap_or(i32::MAX);
}

impl<'a, T: Element, D: Dimension> From<ArrayView<'a, T, D>> for Values<'a> {
    fn from(array: ArrayView<'a, T, D>) -> Values<'a> {
        let shape = array.shape().to_vec();
        Values { numbers: T::numbers(array), shape }
    }
}

impl<'a, T: Element, D: Dimension> From<&'a ArrayView<'_, T, D>> for Values<'a> {
    fn from(array: &'a ArrayView<'_, T, D>) -> Values<'a> {
        array.view().into()
    }
}

impl<'a, T: Element, D: Dimension> From<&'a Array<T, D>> for Values<'a> {
    fn from(array: &'a Array<T, D>) -> Values<'a> {
        array.view().into()
    }
}

impl<T: Element, D: Dimension> From<Array<T, D>> for Values<'static> {
    fn from(array: Array<T, D>) -> Values<'static> {
        Values::from(array.view()).into_owned()
    }
}

impl<'a, T: Element> From<&'a [T]> for Values<'a> {
    fn from(slice: &'a [T]) -> Values<'a> {
        ndarray::ArrayView1::from(slice).into()
    }
}

impl<'a, T: Element> From<&'a Vec<T>> for Values<'a> {
    fn from(vector: &'a Vec<T>) -> Values<'a> {
        vector.as_slice().into()
    }
}

impl<T: Element> From<Vec<T>> for Values<'static> {
    fn from(vector: Vec<T>) -> Values<'static> {
        ndarray::Array1::from(vector).into()
    }
}

impl<'a, T: Element, const N: usize> From<&'a [T; N]> for Values<'a> {
    fn from(array: &'a [T; N]) -> Values<'a> {
        array.as_slice().into()
    }
}

impl<'a, T: Element, const N: usize> From<&'a [[T; N]]> for Values<'a> {
    fn from(rows: &'a [[T; N]]) -> Values<'a> {
        ndarray::ArrayView2::from(rows).into()
    }
}

impl<'a, T: Element, const N: usize, const M: usize> From<&'a [[T; N]; M]> for Values<'a> {
    fn from(rows: &'a [[T; N]; M]) -> Values<'a> {
        rows.as_slice().into()
    }
}

impl<'a, T: Element, const N: usize> From<&'a Vec<[T; N]>> for Values<'a> {
    fn from(rows: &'a Vec<[T; N]>) -> Values<'a> {
        rows.as_slice().into()
    }
}

/// What a model of one or several inputs is given: one array, or a tuple or `Vec` of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no array of numbers",
    note = "pass a view or a reference: `x.view()`, `&x`, `&[..]`; a tuple for several inputs"
)]
pub trait IntoValues<'a> {
    /// The arrays in the order of the inputs.
    fn into_values(self) -> Vec<Values<'a>>;
}

impl<'a, T: Into<Values<'a>>> IntoValues<'a> for T {
    fn into_values(self) -> Vec<Values<'a>> {
        vec![self.into()]
    }
}

impl<'a> IntoValues<'a> for Vec<Values<'a>> {
    fn into_values(self) -> Vec<Values<'a>> {
        self
    }
}

macro_rules! tuples {
    ($first:ident $($rest:ident)*) => {
        impl<'a, $first: Into<Values<'a>>, $($rest: Into<Values<'a>>),*> IntoValues<'a> for ($first, $($rest,)*) {
            #[expect(non_snake_case, reason = "values are named like their types")]
            fn into_values(self) -> Vec<Values<'a>> {
                let ($first, $($rest,)*) = self;
                vec![$first.into(), $($rest.into()),*]
            }
        }
        tuples! { $($rest)* }
    };
    () => {};
}

tuples! { A B C D E F }
