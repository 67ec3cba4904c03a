//! Values while a graph runs: three lanes wide enough for every element type.

use crate::tensor::{Data, Tensor};
use eggrad_ir::{DType, TensorType};

/// Elements, row-major, of the lane that fits the element type. Between nodes they are numbers of that type.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Float(Vec<f64>),
    Int(Vec<i64>),
    Bool(Vec<bool>),
}

impl Value {
    pub(crate) fn of(tensor: &Tensor) -> Value {
        match &tensor.data {
            Data::F32(v) => Value::Float(v.iter().map(|&x| f64::from(x)).collect()),
            Data::F64(v) => Value::Float(v.clone()),
            Data::I32(v) => Value::Int(v.iter().map(|&x| i64::from(x)).collect()),
            Data::I64(v) => Value::Int(v.clone()),
            Data::U8(v) => Value::Int(v.iter().map(|&x| i64::from(x)).collect()),
            Data::Bool(v) => Value::Bool(v.clone()),
        }
    }

    pub(crate) fn into_tensor(self, ty: &TensorType) -> Tensor {
        let data = match (self, ty.dtype) {
            (Value::Float(v), DType::F32) => Data::F32(v.iter().map(|&x| x as f32).collect()),
            (Value::Float(v), DType::F64) => Data::F64(v),
            (Value::Int(v), DType::I32) => Data::I32(v.iter().map(|&x| x as i32).collect()),
            (Value::Int(v), DType::I64) => Data::I64(v),
            (Value::Int(v), DType::U8) => Data::U8(v.iter().map(|&x| x as u8).collect()),
            (Value::Bool(v), DType::Bool) => Data::Bool(v),
            (value, dtype) => panic!("internal error: {value:?} is not of type {}", dtype.name()),
        };
        Tensor { ty: ty.clone(), data }
    }

    /// No element of type `dtype`.
    pub(crate) fn empty(dtype: DType) -> Value {
        Value::Float(vec![]).cast(dtype)
    }

    /// `count` elements from number `first` on.
    pub(crate) fn slice(&self, first: usize, count: usize) -> Value {
        match self {
            Value::Float(v) => Value::Float(v[first..first + count].to_vec()),
            Value::Int(v) => Value::Int(v[first..first + count].to_vec()),
            Value::Bool(v) => Value::Bool(v[first..first + count].to_vec()),
        }
    }

    /// Puts the elements of `other`, of the same lane, behind.
    pub(crate) fn append(&mut self, other: &Value) {
        match self {
            Value::Float(v) => v.extend_from_slice(other.floats()),
            Value::Int(v) => v.extend_from_slice(other.ints()),
            Value::Bool(v) => v.extend_from_slice(other.bools()),
        }
    }

    /// Blocks of `size` elements in the opposite order.
    pub(crate) fn reverse_blocks(&mut self, size: usize) {
        fn all<T: Copy>(v: &[T], size: usize) -> Vec<T> {
            v.rchunks(size.max(1)).flatten().copied().collect()
        }
        match self {
            Value::Float(v) => *v = all(v, size),
            Value::Int(v) => *v = all(v, size),
            Value::Bool(v) => *v = all(v, size),
        }
    }

    pub(crate) fn floats(&self) -> &[f64] {
        match self {
            Value::Float(v) => v,
            Value::Int(_) | Value::Bool(_) => panic!("internal error: floats expected"),
        }
    }

    pub(crate) fn ints(&self) -> &[i64] {
        match self {
            Value::Int(v) => v,
            Value::Float(_) | Value::Bool(_) => panic!("internal error: integers expected"),
        }
    }

    pub(crate) fn bools(&self) -> &[bool] {
        match self {
            Value::Bool(v) => v,
            Value::Float(_) | Value::Int(_) => panic!("internal error: bools expected"),
        }
    }

    /// The elements at `places`; where there is none, NaN, 0 or false.
    pub(crate) fn pick(&self, places: impl Iterator<Item = Option<usize>>) -> Value {
        match self {
            Value::Float(v) => Value::Float(places.map(|p| p.map_or(f64::NAN, |p| v[p])).collect()),
            Value::Int(v) => Value::Int(places.map(|p| p.map_or(0, |p| v[p])).collect()),
            Value::Bool(v) => Value::Bool(places.map(|p| p.is_some_and(|p| v[p])).collect()),
        }
    }

    /// The numbers rounded or wrapped to `dtype`.
    pub(crate) fn fit(self, dtype: DType) -> Value {
        match (self, dtype) {
            (Value::Float(v), DType::F32) => {
                Value::Float(v.into_iter().map(|x| f64::from(x as f32)).collect())
            }
            (Value::Int(v), DType::I32) => {
                Value::Int(v.into_iter().map(|x| i64::from(x as i32)).collect())
            }
            (Value::Int(v), DType::U8) => {
                Value::Int(v.into_iter().map(|x| i64::from(x as u8)).collect())
            }
            (value, _) => value,
        }
    }

    /// Conversion by value: floats to integers truncate and saturate (NaN gives 0), integers wrap, anything to bool
    /// by `!= 0`. The result still needs [`Value::fit`] when it is an integer made of an integer or an `f32`.
    pub(crate) fn cast(&self, dtype: DType) -> Value {
        match self {
            Value::Float(v) => match dtype {
                DType::F32 | DType::F64 => self.clone(),
                DType::I32 => Value::Int(v.iter().map(|&x| i64::from(x as i32)).collect()),
                DType::I64 => Value::Int(v.iter().map(|&x| x as i64).collect()),
                DType::U8 => Value::Int(v.iter().map(|&x| i64::from(x as u8)).collect()),
                DType::Bool => Value::Bool(v.iter().map(|&x| x != 0.0).collect()),
            },
            Value::Int(v) => match dtype {
                // Straight to `f32`: through `f64` a large integer would be rounded twice.
                DType::F32 if v.iter().any(|x| x.unsigned_abs() > 1 << 53) => {
                    Value::Float(v.iter().map(|&x| f64::from(x as f32)).collect())
                }
                DType::F32 | DType::F64 => Value::Float(v.iter().map(|&x| x as f64).collect()),
                DType::I32 | DType::I64 | DType::U8 => self.clone(),
                DType::Bool => Value::Bool(v.iter().map(|&x| x != 0).collect()),
            },
            Value::Bool(v) => match dtype {
                DType::F32 | DType::F64 => {
                    Value::Float(v.iter().map(|&x| f64::from(u8::from(x))).collect())
                }
                DType::I32 | DType::I64 | DType::U8 => {
                    Value::Int(v.iter().map(|&x| i64::from(x)).collect())
                }
                DType::Bool => self.clone(),
            },
        }
    }
}
