//! Arrays with a type: what goes into a run and what comes out.

use eggrad_ir::{DType, Shape, TensorType};

/// Elements, row-major.
#[derive(Clone, Debug)]
pub enum Data {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit floats.
    F64(Vec<f64>),
    /// 32-bit integers.
    I32(Vec<i32>),
    /// 64-bit integers.
    I64(Vec<i64>),
    /// Bytes.
    U8(Vec<u8>),
    /// Truth values.
    Bool(Vec<bool>),
}

impl Data {
    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        match self {
            Data::F32(_) => DType::F32,
            Data::F64(_) => DType::F64,
            Data::I32(_) => DType::I32,
            Data::I64(_) => DType::I64,
            Data::U8(_) => DType::U8,
            Data::Bool(_) => DType::Bool,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Data::F32(v) => v.len(),
            Data::F64(v) => v.len(),
            Data::I32(v) => v.len(),
            Data::I64(v) => v.len(),
            Data::U8(v) => v.len(),
            Data::Bool(v) => v.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Equal types and equal bits, but every NaN equals every NaN.
impl PartialEq for Data {
    fn eq(&self, other: &Data) -> bool {
        match (self, other) {
            (Data::F32(a), Data::F32(b)) => {
                let same =
                    |(x, y): (&f32, &f32)| x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan());
                a.len() == b.len() && a.iter().zip(b).all(same)
            }
            (Data::F64(a), Data::F64(b)) => {
                let same =
                    |(x, y): (&f64, &f64)| x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan());
                a.len() == b.len() && a.iter().zip(b).all(same)
            }
            (Data::I32(a), Data::I32(b)) => a == b,
            (Data::I64(a), Data::I64(b)) => a == b,
            (Data::U8(a), Data::U8(b)) => a == b,
            (Data::Bool(a), Data::Bool(b)) => a == b,
            _ => false,
        }
    }
}

/// An array: as many elements as its shape says, of the element type its type says.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Element type and sizes.
    pub ty: TensorType,
    /// Elements, row-major.
    pub data: Data,
}

impl Tensor {
    /// An array of `shape` with the elements `data`.
    ///
    /// # Panics
    /// When there are not as many elements as `shape` says.
    pub fn new(shape: impl Into<Shape>, data: Data) -> Tensor {
        let ty = TensorType::new(data.dtype(), shape);
        check_count(&ty, data.len());
        Tensor { ty, data }
    }

    /// An array of type `ty` from numbers, which are rounded to its element type as a cast would: floats to the
    /// nearest, integers towards zero and saturating, bools by `!= 0`.
    ///
    /// # Panics
    /// When there are not as many values as the shape says.
    pub fn from_values(ty: TensorType, values: &[f64]) -> Tensor {
        check_count(&ty, values.len());
        let data = match ty.dtype {
            DType::F32 => Data::F32(values.iter().map(|&v| v as f32).collect()),
            DType::F64 => Data::F64(values.to_vec()),
            DType::I32 => Data::I32(values.iter().map(|&v| v as i32).collect()),
            DType::I64 => Data::I64(values.iter().map(|&v| v as i64).collect()),
            DType::U8 => Data::U8(values.iter().map(|&v| v as u8).collect()),
            DType::Bool => Data::Bool(values.iter().map(|&v| v != 0.0).collect()),
        };
        Tensor { ty, data }
    }

    /// One number of type `dtype`.
    pub fn scalar(dtype: DType, value: f64) -> Tensor {
        Tensor::from_values(TensorType::scalar(dtype), &[value])
    }

    /// `value` everywhere.
    pub fn full(ty: TensorType, value: f64) -> Tensor {
        let values = vec![value; ty.shape.elements()];
        Tensor::from_values(ty, &values)
    }

    /// The elements as numbers: true is 1; 64-bit integers beyond 2^53 are rounded.
    pub fn to_f64s(&self) -> Vec<f64> {
        match &self.data {
            Data::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::F64(v) => v.clone(),
            Data::I32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::I64(v) => v.iter().map(|&x| x as f64).collect(),
            Data::U8(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Data::Bool(v) => v.iter().map(|&x| f64::from(u8::from(x))).collect(),
        }
    }

    /// The only element, as a number.
    ///
    /// # Panics
    /// When there is not exactly one.
    pub fn item(&self) -> f64 {
        match self.to_f64s()[..] {
            [value] => value,
            _ => panic!("internal error: {} is not one number", self.ty),
        }
    }
}

fn check_count(ty: &TensorType, count: usize) {
    assert!(
        ty.shape.checked_elements() == Some(count),
        "internal error: {count} elements for {ty}"
    );
}
