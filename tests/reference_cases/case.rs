//! One file of numbers: what it asks for in parts, each with what it expects and how it is computed.

use crate::engine::{Named, Way};
use crate::judge::Expected;
use crate::{functions, hessian, net, op};
use serde_json::Value;

/// Computes what a part expects.
pub(crate) type Compute = Box<dyn Fn(Way) -> Result<Named, String> + Send + Sync>;

/// Something that is computed by itself.
pub(crate) struct Part {
    /// What it is called beside others of its case; empty when it is the only one.
    pub(crate) name: String,
    pub(crate) expected: Vec<Expected>,
    pub(crate) compute: Compute,
}

/// The parts of a case file called `name`.
pub(crate) fn parts(name: &str, value: &Value) -> Result<Vec<Part>, String> {
    let kind = value.get("kind").and_then(Value::as_str).ok_or("no text `kind`")?;
    let parts = match kind {
        "pointwise" => functions::pointwise(value)?,
        "loss" => functions::loss(value)?,
        "net" => net::parts(value)?,
        "op" => op::parts(name, value)?,
        "hessian_lin" => hessian::linear(value)?,
        "hessian" => hessian::network(value)?,
        other => return Err(format!("unknown kind `{other}`")),
    };
    match parts.is_empty() {
        true => Err("asks for nothing".into()),
        false => Ok(parts),
    }
}
