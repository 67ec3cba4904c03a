//! Reads case files; whatever is not understood is an error.

use eggrad::interp::{self, Data};
use eggrad::ir::{DType, TensorType};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// An array: sizes and elements, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f64>,
    /// Whether the elements are integers, such as labels.
    pub(crate) integer: bool,
}

impl Array {
    /// One number.
    pub(crate) fn scalar(value: f64) -> Array {
        Array { shape: vec![], data: vec![value], integer: false }
    }

    /// A vector of numbers.
    pub(crate) fn vector(data: Vec<f64>) -> Array {
        Array { shape: vec![data.len()], data, integer: false }
    }

    /// As an operand of a run, of type `ty`.
    pub(crate) fn value(&self, ty: &TensorType) -> Result<interp::Tensor, String> {
        if ty.shape.dims() != self.shape {
            return Err(format!("an array of shape {:?} stands for {ty}", self.shape));
        }
        Ok(interp::Tensor::from_values(ty.clone(), &self.data))
    }

    /// The elements of a result.
    pub(crate) fn from_value(value: &interp::Tensor) -> Array {
        let integer = !value.ty.dtype.is_float();
        Array { shape: value.ty.shape.dims().to_vec(), data: value.to_f64s(), integer }
    }
}

/// An empty place for a result of type `ty`.
pub(crate) fn zeros(ty: &TensorType) -> Data {
    let n = ty.shape.elements();
    match ty.dtype {
        DType::F32 => Data::F32(vec![0.0; n]),
        DType::F64 => Data::F64(vec![0.0; n]),
        DType::I32 => Data::I32(vec![0; n]),
        DType::I64 => Data::I64(vec![0; n]),
        DType::U8 => Data::U8(vec![0; n]),
        DType::Bool => Data::Bool(vec![false; n]),
    }
}

/// The fields of an object, of which each must be asked for.
pub(crate) struct Fields<'a> {
    map: &'a Map<String, Value>,
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(value: &'a Value) -> Result<Fields<'a>, String> {
        let map = value.as_object().ok_or("not an object")?;
        Ok(Fields { map, asked: RefCell::default() })
    }

    /// The field called `name`, which may be missing.
    pub(crate) fn maybe(&self, name: &str) -> Option<&'a Value> {
        self.asked.borrow_mut().insert(name.to_string());
        self.map.get(name)
    }

    pub(crate) fn get(&self, name: &str) -> Result<&'a Value, String> {
        self.maybe(name).ok_or(format!("no field `{name}`"))
    }

    pub(crate) fn text(&self, name: &str) -> Result<&'a str, String> {
        self.get(name)?.as_str().ok_or(format!("`{name}` is no text"))
    }

    /// A text that may be missing.
    pub(crate) fn maybe_text(&self, name: &str) -> Result<Option<&'a str>, String> {
        match self.maybe(name) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or(format!("`{name}` is no text")),
        }
    }

    pub(crate) fn number(&self, name: &str) -> Result<f64, String> {
        number(self.get(name)?).map_err(|e| format!("`{name}`: {e}"))
    }

    /// A number that may be missing.
    pub(crate) fn maybe_number(&self, name: &str) -> Result<Option<f64>, String> {
        self.maybe(name).map(number).transpose().map_err(|e| format!("`{name}`: {e}"))
    }

    pub(crate) fn array(&self, name: &str) -> Result<Array, String> {
        array(self.get(name)?).map_err(|e| format!("`{name}`: {e}"))
    }

    /// An object of arrays.
    pub(crate) fn arrays(&self, name: &str) -> Result<Vec<(String, Array)>, String> {
        let map = self.get(name)?.as_object().ok_or(format!("`{name}` is no object"))?;
        let one = |(key, value): (&String, &Value)| {
            Ok((key.clone(), array(value).map_err(|e| format!("`{name}.{key}`: {e}"))?))
        };
        map.iter().map(one).collect()
    }

    /// A list of texts.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        let list = self.get(name)?.as_array().ok_or(format!("`{name}` is no list"))?;
        let texts = list.iter().map(|v| v.as_str().map(str::to_string));
        texts.collect::<Option<_>>().ok_or(format!("`{name}` holds no texts"))
    }

    /// A list of counts, or one count `repeated` times.
    pub(crate) fn maybe_counts(
        &self,
        name: &str,
        repeated: usize,
    ) -> Result<Option<Vec<usize>>, String> {
        let Some(value) = self.maybe(name) else { return Ok(None) };
        let list = match value {
            Value::Array(list) => list.iter().map(count).collect::<Result<Vec<usize>, _>>(),
            one => count(one).map(|n| vec![n; repeated]),
        };
        let list = list.map_err(|e| format!("`{name}`: {e}"))?;
        match list.len() == repeated {
            true => Ok(Some(list)),
            false => Err(format!("`{name}` has {} counts, not {repeated}", list.len())),
        }
    }

    /// Refuses fields that nobody asked for; `information` is for people.
    pub(crate) fn finish(&self, information: &[&str]) -> Result<(), String> {
        let asked = self.asked.borrow();
        let known = |name: &String| asked.contains(name) || information.contains(&name.as_str());
        match self.map.keys().find(|name| !known(name)) {
            Some(name) => Err(format!("unknown field `{name}`")),
            None => Ok(()),
        }
    }
}

/// A count, of at most 2³².
pub(crate) fn count(value: &Value) -> Result<usize, String> {
    let count = value.as_u64().filter(|&n| n <= u64::from(u32::MAX));
    count.map(|n| n as usize).ok_or(format!("{value} is no count"))
}

/// A number; infinities and NaN are texts.
pub(crate) fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Number(n) => n.as_f64().ok_or(format!("{n} is no number")),
        Value::String(s) => match s.as_str() {
            "inf" => Ok(f64::INFINITY),
            "-inf" => Ok(f64::NEG_INFINITY),
            "nan" => Ok(f64::NAN),
            other => Err(format!("unknown number `{other}`")),
        },
        other => Err(format!("{other} is no number")),
    }
}

/// A list of numbers.
pub(crate) fn numbers(value: &Value) -> Result<Vec<f64>, String> {
    value.as_array().ok_or("not a list")?.iter().map(number).collect()
}

/// An array as `{shape, data}`, with `dtype` for integers.
pub(crate) fn array(value: &Value) -> Result<Array, String> {
    let fields = Fields::of(value)?;
    let shape = fields.get("shape")?.as_array().ok_or("`shape` is no list")?;
    let shape: Vec<usize> = shape.iter().map(count).collect::<Result<_, _>>()?;
    let data = numbers(fields.get("data")?)?;
    let integer = match fields.maybe_text("dtype")? {
        None | Some("float" | "f64" | "float64") => false,
        Some("int" | "int32" | "int64") => true,
        Some(other) => return Err(format!("unknown dtype `{other}`")),
    };
    fields.finish(&[])?;
    let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if elements != Some(data.len()) {
        return Err(format!("{} elements for shape {shape:?}", data.len()));
    }
    if integer && data.iter().any(|x| x.fract() != 0.0) {
        return Err("holds numbers that are no integers".into());
    }
    Ok(Array { shape, data, integer })
}

/// An array as lists of lists.
pub(crate) fn nested(value: &Value) -> Result<Array, String> {
    let Value::Array(items) = value else { return Ok(Array::scalar(number(value)?)) };
    let parts: Vec<Array> = items.iter().map(nested).collect::<Result<_, _>>()?;
    let inner = parts.first().map(|p| p.shape.clone()).unwrap_or_default();
    if parts.iter().any(|p| p.shape != inner) {
        return Err("rows of different lengths".into());
    }
    let shape = [parts.len()].into_iter().chain(inner).collect();
    Ok(Array { shape, data: parts.into_iter().flat_map(|p| p.data).collect(), integer: false })
}
