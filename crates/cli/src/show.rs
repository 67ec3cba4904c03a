//! Values as text and as JSON.

use eggrad::interp::{Data, Tensor};
use serde_json::{Value, json};

/// Elements of a value that a text shows.
const SHOWN: usize = 1000;

/// A number with the digits that tell it from its neighbours; very large and very small ones with an exponent.
pub fn number(value: f64) -> String {
    // No reader asks for the sign of a zero.
    let value = value + 0.0;
    if value.is_nan() {
        "nan".to_string()
    } else if value != 0.0 && value.is_finite() && !(1e-5..1e16).contains(&value.abs()) {
        format!("{value:e}")
    } else {
        format!("{value}")
    }
}

/// A number of at most `digits` digits.
pub fn short(value: f64, digits: usize) -> String {
    let text = format!("{:.*e}", digits.saturating_sub(1), value);
    number(text.parse().unwrap_or(value))
}

/// A number as JSON, which has no names for infinities and NaN: these are strings.
pub fn json_number(value: f64) -> Value {
    if value.is_finite() { json!(value + 0.0) } else { json!(number(value)) }
}

/// An element as text.
fn element(data: &Data, i: usize) -> String {
    match data {
        Data::F32(v) => narrow(v[i]),
        Data::F64(v) => number(v[i]),
        Data::I32(v) => v[i].to_string(),
        Data::I64(v) => v[i].to_string(),
        Data::U8(v) => v[i].to_string(),
        Data::Bool(v) => v[i].to_string(),
    }
}

/// A single-precision number in its own digits.
fn narrow(value: f32) -> String {
    let value = value + 0.0;
    if value.is_finite() && value != 0.0 && !(1e-5..1e16).contains(&value.abs()) {
        format!("{value:e}")
    } else if value.is_finite() {
        format!("{value}")
    } else {
        number(f64::from(value))
    }
}

fn element_json(data: &Data, i: usize) -> Value {
    match data {
        Data::F32(v) => json_number(f64::from(v[i])),
        Data::F64(v) => json_number(v[i]),
        Data::I32(v) => json!(v[i]),
        Data::I64(v) => json!(v[i]),
        Data::U8(v) => json!(v[i]),
        Data::Bool(v) => json!(v[i]),
    }
}

/// A value: a number, or lists of numbers; of large ones the type.
pub fn text(value: &Tensor) -> String {
    if value.data.len() > SHOWN {
        return format!("{} (--json shows all elements)", value.ty);
    }
    let whole = nested(value.ty.shape.dims(), 0, &mut |i| element(&value.data, i));
    whole.join()
}

/// A value: a number, or lists of numbers.
pub fn json(value: &Tensor) -> Value {
    nested(value.ty.shape.dims(), 0, &mut |i| element_json(&value.data, i)).json()
}

/// Lists inside lists; at most 64 deep, as types have at most 64 axes.
enum Nested<T> {
    One(T),
    Many(Vec<Nested<T>>),
}

fn nested<T>(dims: &[usize], first: usize, element: &mut dyn FnMut(usize) -> T) -> Nested<T> {
    match dims {
        [] => Nested::One(element(first)),
        [size, inner @ ..] => {
            let step: usize = inner.iter().product();
            Nested::Many((0..*size).map(|i| nested(inner, first + i * step, element)).collect())
        }
    }
}

impl Nested<String> {
    fn join(self) -> String {
        match self {
            Nested::One(text) => text,
            Nested::Many(list) => {
                let list: Vec<String> = list.into_iter().map(Nested::join).collect();
                format!("[{}]", list.join(", "))
            }
        }
    }
}

impl Nested<Value> {
    fn json(self) -> Value {
        match self {
            Nested::One(value) => value,
            Nested::Many(list) => Value::Array(list.into_iter().map(Nested::json).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_exact() {
        let cases = [(12.0, "12"), (-0.25, "-0.25"), (-0.0, "0"), (1e300, "1e300"), (2e-7, "2e-7")];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
        assert_eq!(number(f64::NAN), "nan");
        assert_eq!(json_number(f64::NEG_INFINITY), json!("-inf"));
        let value = Tensor::new([2, 2], Data::F32(vec![0.1, 1.0, 2.0, 3e-9]));
        assert_eq!(text(&value), "[[0.1, 1], [2, 3e-9]]");
        // A program gets the number that was computed.
        assert_eq!(json(&value)[0], json!([0.10000000149011612, 1.0]));
        assert_eq!(short(0.1 + 0.2, 10), "0.3");
        assert_eq!(short(f64::INFINITY, 6), "inf");
    }
}
