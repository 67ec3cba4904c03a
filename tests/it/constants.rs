//! Conversions, comparisons and choices of constants, for every pair of element types.

use crate::run::{Value, outputs_of};
use eggrad::prelude::*;

#[test]
fn constants_of_any_type_are_converted_compared_and_chosen() {
    for float in [DType::F32, DType::F64] {
        for to in DType::ALL {
            for n in [0, 1, 5] {
                let write = |g: &Graph| {
                    let shape = if n == 0 { vec![] } else { vec![n] };
                    let two = g.constant(2.0).broadcast_to(shape.clone());
                    let converted = two.cast(to);
                    g.output("converted", converted);
                    g.output("back", converted.cast(DType::F64));
                    g.output("less", two.lt(3.0).select(two, 0.0));
                    g.output("kept", two.lt(3.0));
                    let given = g.input_of("x", to, shape);
                    g.output("chosen", two.gt(1.0).select(given, given));
                    g.output("equal", given.cast(DType::F64).equal(converted.cast(DType::F64)));
                };
                let shape: Vec<usize> = if n == 0 { vec![] } else { vec![n] };
                let x = Value::full(TensorType::new(to, shape), 1.0);
                let expected = if to == DType::Bool { 1.0 } else { 2.0 };
                let equal = f64::from(u8::from(to == DType::Bool));
                for (how, found) in outputs_of(float, &write, &[x]) {
                    for (name, value) in found {
                        let wanted = match name.as_str() {
                            "converted" | "back" => expected,
                            "less" => 2.0,
                            "equal" => equal,
                            _ => 1.0,
                        };
                        let right = value.to_f64s().iter().all(|v| *v == wanted);
                        assert!(right, "`{name}` of {to:?} in {float:?}, {how}: {value:?}");
                    }
                }
            }
        }
    }
}
