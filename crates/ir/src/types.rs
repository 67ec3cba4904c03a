//! Element types, shapes, literals, and where in the user's code something was written.

use std::fmt;
use std::panic::Location;

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// 32-bit float, the default.
    F32,
    /// 64-bit float, for gradient checks and exactness.
    F64,
    /// 32-bit signed integer: labels, indices, counters.
    I32,
    /// 64-bit signed integer.
    I64,
    /// 8-bit unsigned integer: raw pixels, small labels.
    U8,
    /// True or false, one byte.
    Bool,
}

impl DType {
    /// Every element type.
    pub const ALL: [DType; 6] =
        [DType::F32, DType::F64, DType::I32, DType::I64, DType::U8, DType::Bool];

    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            DType::F32 | DType::I32 => 4,
            DType::F64 | DType::I64 => 8,
            DType::U8 | DType::Bool => 1,
        }
    }

    /// Whether elements are floating-point numbers.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }

    /// Whether elements are integers.
    pub fn is_int(self) -> bool {
        matches!(self, DType::I32 | DType::I64 | DType::U8)
    }

    /// Name in the text form.
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::U8 => "u8",
            DType::Bool => "bool",
        }
    }

    /// The type called `name` in the text form.
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|t| t.name() == name)
    }
}

/// Sizes of a tensor's axes, outermost first; empty for a scalar.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Shape(Box<[usize]>);

impl Shape {
    /// The shape of a single number.
    pub fn scalar() -> Shape {
        Shape::default()
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Sizes, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// Number of elements; `None` when the product does not fit.
    pub fn checked_elements(&self) -> Option<usize> {
        self.0.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
    }

    /// Number of elements of a verified shape.
    pub fn elements(&self) -> usize {
        self.0.iter().product()
    }

    /// The shape without `axes`.
    pub fn without(&self, axes: &[usize]) -> Shape {
        let kept = self.0.iter().enumerate().filter(|(i, _)| !axes.contains(i));
        kept.map(|(_, &d)| d).collect()
    }

    /// Elements between neighbours along each axis when stored row-major without gaps.
    pub fn strides(&self) -> Vec<usize> {
        let mut strides = vec![1; self.rank()];
        for i in (1..self.rank()).rev() {
            strides[i - 1] = strides[i] * self.0[i];
        }
        strides
    }
}

impl<T: Into<Box<[usize]>>> From<T> for Shape {
    fn from(dims: T) -> Shape {
        Shape(dims.into())
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(dims: I) -> Shape {
        Shape(dims.into_iter().collect())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.0.iter().map(usize::to_string).collect();
        write!(f, "[{}]", dims.join(", "))
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Element type and shape: the complete static type of every node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Sizes of the axes.
    pub shape: Shape,
}

impl TensorType {
    /// A tensor of `dtype` and `shape`.
    pub fn new(dtype: DType, shape: impl Into<Shape>) -> TensorType {
        TensorType { dtype, shape: shape.into() }
    }

    /// A single number of `dtype`.
    pub fn scalar(dtype: DType) -> TensorType {
        TensorType { dtype, shape: Shape::scalar() }
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.shape.rank()
    }

    /// Bytes of the elements.
    pub fn bytes(&self) -> usize {
        self.shape.elements() * self.dtype.bytes()
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype.name(), self.shape)
    }
}

/// A number written into a graph. A float keeps all its 53 bits and is rounded to the node's type where it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Literal {
    /// Bits of an `f64`.
    Float(u64),
    /// An integer.
    Int(i64),
    /// A truth value.
    Bool(bool),
}

impl Literal {
    /// `value` as a constant of type `dtype`; `None` when `dtype` is an integer type that cannot hold it.
    pub fn of(dtype: DType, value: f64) -> Option<Literal> {
        match dtype {
            DType::F32 | DType::F64 => Some(Literal::Float(value.to_bits())),
            DType::Bool => (value == 0.0 || value == 1.0).then_some(Literal::Bool(value != 0.0)),
            DType::I32 | DType::I64 | DType::U8 => {
                let (low, high) = match dtype {
                    DType::U8 => (0.0, 255.0),
                    DType::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
                    _ => (-(2f64.powi(53)), 2f64.powi(53)),
                };
                let fits = value.fract() == 0.0 && value >= low && value <= high;
                fits.then_some(Literal::Int(value as i64))
            }
        }
    }

    /// The number; true is 1.
    pub fn as_f64(self) -> f64 {
        match self {
            Literal::Float(bits) => f64::from_bits(bits),
            Literal::Int(i) => i as f64,
            Literal::Bool(b) => f64::from(u8::from(b)),
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Literal::Float(bits) => write!(f, "{:?}", f64::from_bits(bits)),
            Literal::Int(i) => write!(f, "{i}"),
            Literal::Bool(b) => write!(f, "{b}"),
        }
    }
}

/// Where in the user's code, or in a text form, something was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum At {
    /// Made by a pass, not by the user.
    #[default]
    Unknown,
    /// A line of Rust.
    Source(&'static Location<'static>),
    /// A line and column of a text form, both from 1.
    Text {
        /// Line.
        line: u32,
        /// Column.
        column: u32,
    },
}

impl At {
    /// The line of the caller; functions that use it are `#[track_caller]`.
    #[track_caller]
    pub fn here() -> At {
        At::Source(Location::caller())
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Unknown => f.write_str("an unknown place"),
            At::Source(place) => write!(f, "{}:{}", place.file(), place.line()),
            At::Text { line, column } => write!(f, "line {line}, column {column}"),
        }
    }
}
