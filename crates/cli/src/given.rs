//! Values of variables: what `--set` says.

use crate::failure::Failure;
use eggrad::formats::{Elements, read_npy};
use eggrad::interp::{Data, Precision, Tensor, run};
use eggrad::ir::{Builder, DType, TensorType, expression_of, is_name};
use std::collections::BTreeMap;

/// Lists inside each other.
const DEEPEST: usize = 8;

/// Bytes of a file.
const MOST_BYTES: u64 = 1 << 30;

/// Values by the names of variables, in the order of names.
pub type Given = BTreeMap<String, Tensor>;

/// Reads every `name=value` of `texts`, where several may stand in one text between commas. Numbers become floats of
/// type `float` unless the name says another type, as in `labels:i32=[0, 2]`.
///
/// # Errors
/// What is no such text, a name that is given twice, or a file that cannot be read.
pub fn given(texts: &[String], float: DType) -> Result<Given, Failure> {
    let mut given = Given::new();
    for text in texts {
        for part in parts(text) {
            let (name, value) = one(part, float)?;
            if given.insert(name.clone(), value).is_some() {
                return Err(Failure::new(
                    format!("`--set` gives `{name}` twice"),
                    "give each variable one value",
                ));
            }
        }
    }
    Ok(given)
}

/// The parts of `text` between commas that stand in no brackets.
fn parts(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut list) = (0i32, 0, vec![]);
    for (i, c) in text.char_indices() {
        match c {
            '[' | '(' => depth += 1,
            ']' | ')' => depth -= 1,
            ',' if depth <= 0 => {
                list.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    list.push(&text[start..]);
    list
}

fn one(text: &str, float: DType) -> Result<(String, Tensor), Failure> {
    let help = "write it as `--set w=2`, `--set w=2,b=0.5`, `--set x=[1, 2]` or `--set x=file.npy`";
    let Some((name, value)) = text.split_once('=') else {
        return Err(Failure::new(format!("`--set {}` has no `=`", text.trim()), help));
    };
    let (name, dtype) = match name.split_once(':') {
        None => (name.trim(), None),
        Some((name, dtype)) => match DType::from_name(dtype.trim()) {
            Some(dtype) => (name.trim(), Some(dtype)),
            None => {
                let message = format!("`--set {}` names no element type", text.trim());
                return Err(Failure::new(message, "the types are f32, f64, i32, i64, u8 and bool"));
            }
        },
    };
    let value = value.trim();
    if !is_name(name) {
        return Err(Failure::new(format!("`--set {}` begins with no name", text.trim()), help));
    }
    if value.is_empty() {
        return Err(Failure::new(format!("`--set {name}=` gives no value"), help));
    }
    let tensor = if value.ends_with(".npy") {
        file(name, value, dtype, float)?
    } else {
        let (shape, numbers) = list(name, value)?;
        let dtype = dtype.unwrap_or(float);
        Tensor::from_values(TensorType::new(dtype, shape), &numbers)
    };
    Ok((name.to_string(), tensor))
}

/// An array from a file; floats get the type `float`, integers keep theirs.
fn file(name: &str, path: &str, dtype: Option<DType>, float: DType) -> Result<Tensor, Failure> {
    let cannot = |what: String| Failure::new(format!("`--set {name}={path}`: {what}"), "");
    let size = std::fs::metadata(path).map_err(|e| cannot(e.to_string()))?.len();
    if size > MOST_BYTES {
        return Err(cannot(format!("the file has {size} bytes; at most {MOST_BYTES} are read")));
    }
    let bytes = std::fs::read(path).map_err(|e| cannot(e.to_string()))?;
    let array = read_npy(&bytes).map_err(|e| cannot(e.to_string()))?;
    let data = match array.elements {
        Elements::F32(v) => Data::F32(v),
        Elements::F64(v) => Data::F64(v),
        Elements::I32(v) => Data::I32(v),
        Elements::I64(v) => Data::I64(v),
        Elements::U8(v) => Data::U8(v),
        Elements::Bool(v) => Data::Bool(v),
    };
    let own = data.dtype();
    let wanted = dtype.unwrap_or(if own.is_float() { float } else { own });
    let tensor = Tensor::new(array.shape.clone(), data);
    if wanted == own {
        return Ok(tensor);
    }
    Ok(Tensor::from_values(TensorType::new(wanted, array.shape), &tensor.to_f64s()))
}

/// A number, or numbers in brackets: their shape, and all of them row by row.
fn list(name: &str, text: &str) -> Result<(Vec<usize>, Vec<f64>), Failure> {
    let wrong = |message: String| {
        Failure::new(
            format!("`--set {name}={text}`: {message}"),
            "write lists as `[1, 2]` and rows as `[[1, 2], [3, 4]]`",
        )
    };
    if !text.starts_with('[') {
        return Ok((vec![], vec![number(name, text)?]));
    }
    // Number of parts of each open list, and the size that lists of that depth have.
    let mut open: Vec<usize> = vec![];
    let mut sizes: Vec<Option<usize>> = vec![];
    let mut numbers = vec![];
    let mut deepest: Option<usize> = None;
    let mut rest = text;
    let mut complete = false;
    loop {
        rest = rest.trim_start();
        if open.is_empty() && complete {
            break;
        }
        if complete {
            // Behind a part: another one, or the end of the list.
            if let Some(after) = rest.strip_prefix(',') {
                rest = after.trim_start();
                complete = false;
                if !rest.starts_with(']') {
                    continue;
                }
            }
            let Some(after) = rest.strip_prefix(']') else {
                return Err(wrong("lacks a `,` or `]`".to_string()));
            };
            rest = after;
            close(&mut open, &mut sizes).map_err(wrong)?;
            complete = true;
        } else if let Some(after) = rest.strip_prefix('[') {
            if deepest.is_some_and(|d| open.len() >= d) {
                return Err(wrong("has numbers and lists side by side".to_string()));
            }
            if open.len() == DEEPEST {
                return Err(wrong(format!("nests lists more than {DEEPEST} deep")));
            }
            rest = after;
            open.push(0);
            if sizes.len() < open.len() {
                sizes.push(None);
            }
        } else if let Some(after) = rest.strip_prefix(']') {
            if open.last() != Some(&0) {
                return Err(wrong("has a `]` too many".to_string()));
            }
            rest = after;
            close(&mut open, &mut sizes).map_err(wrong)?;
            complete = true;
        } else {
            let end = element_end(rest);
            if *deepest.get_or_insert(open.len()) != open.len() || open.len() < sizes.len() {
                return Err(wrong("has numbers and lists side by side".to_string()));
            }
            numbers.push(number(name, rest[..end].trim())?);
            rest = &rest[end..];
            if let Some(last) = open.last_mut() {
                *last += 1;
            }
            complete = true;
        }
    }
    if !rest.is_empty() {
        return Err(wrong(format!("goes on with `{rest}` after the list")));
    }
    let shape = sizes.into_iter().map(|s| s.unwrap_or(0)).collect();
    Ok((shape, numbers))
}

/// Ends the innermost list; all lists of one depth have one length.
fn close(open: &mut Vec<usize>, sizes: &mut [Option<usize>]) -> Result<(), String> {
    let Some(size) = open.pop() else { return Err("has a `]` too many".to_string()) };
    let known = sizes[open.len()].get_or_insert(size);
    if *known != size {
        return Err(format!("has rows of {known} and of {size}"));
    }
    if let Some(outer) = open.last_mut() {
        *outer += 1;
    }
    Ok(())
}

/// Where the number ends with which `text` begins.
fn element_end(text: &str) -> usize {
    let mut depth = 0i32;
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' | ']' | '[' if depth <= 0 => return i,
            _ => {}
        }
    }
    text.len()
}

/// A number, or an expression of numbers such as `1/3` or `-sqrt(2)`.
fn number(name: &str, text: &str) -> Result<f64, Failure> {
    match text {
        "true" => return Ok(1.0),
        "false" => return Ok(0.0),
        "inf" => return Ok(f64::INFINITY),
        "-inf" => return Ok(f64::NEG_INFINITY),
        "nan" => return Ok(f64::NAN),
        _ => {}
    }
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    if let (true, Ok(value)) = (plain, text.parse::<f64>()) {
        if value.is_finite() {
            return Ok(value);
        }
        let message = format!("`--set {name}`: {text} is larger than a float can be");
        return Err(Failure::new(message, "floats reach up to 1.8e308; write `inf` for infinity"));
    }
    let wrong = |error: String| {
        Failure::new(
            format!("`--set {name}={text}` is no number: {error}"),
            "write a number or an expression of numbers, as in `1/3` or `sqrt(2)`",
        )
    };
    let mut builder = Builder::new();
    let value = expression_of(&mut builder, &BTreeMap::new(), text, DType::F64)
        .map_err(|errors| wrong(errors.0.first().map(|e| e.message.clone()).unwrap_or_default()))?;
    let dtype = builder.ty(value).dtype;
    if builder.ty(value).rank() > 0 || !(dtype.is_float() || dtype == DType::Bool) {
        return Err(wrong("it has several elements or another type".to_string()));
    }
    builder.output("value", value);
    let graph = builder.build().map_err(|e| wrong(e.to_string()))?;
    let result = run(&graph, &[], &[], Precision::AsWritten).map_err(|e| wrong(e.to_string()))?;
    Ok(result.outputs[0].item())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Given, String> {
        given(&[text.to_string()], DType::F64).map_err(|f| f.text())
    }

    #[test]
    fn values_are_numbers_expressions_and_lists() {
        let all =
            read("w=2, b=-1/4 ,x=[1,2,3], m=[[1, 2], [3, (1+1)*2]],labels:i32=[0, 2]").unwrap();
        let ty = |name: &str| all[name].ty.to_string();
        assert_eq!(all["w"].item(), 2.0);
        assert_eq!(all["b"].item(), -0.25);
        assert_eq!((ty("x"), ty("m")), ("f64[3]".to_string(), "f64[2, 2]".to_string()));
        assert_eq!(all["m"].to_f64s(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(ty("labels"), "i32[2]");
        assert_eq!(read("x=[]").unwrap()["x"].ty.to_string(), "f64[0]");
        assert_eq!(read("x=sqrt(2)").unwrap()["x"].item(), 2f64.sqrt());
        assert_eq!(read("x=[1, 2,]").unwrap()["x"].to_f64s(), [1.0, 2.0]);
    }

    #[test]
    fn mistakes_say_what_is_wrong() {
        for (text, part) in [
            ("w", "has no `=`"),
            ("=2", "begins with no name"),
            ("w=", "gives no value"),
            ("w=1,w=2", "twice"),
            ("w=two", "is no number"),
            ("w=1e999", "larger than a float"),
            ("w=[1,2", "lacks a `,` or `]`"),
            ("w=[1,[2]]", "side by side"),
            ("w=[[1],2]", "side by side"),
            ("w=[[1],[2,3]]", "rows of 1 and of 2"),
            ("w=[1]]", "goes on with `]`"),
            ("w:f16=1", "names no element type"),
            ("w=nowhere.npy", "nowhere.npy"),
            ("w=[[[[[[[[[1]]]]]]]]]", "more than 8 deep"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
