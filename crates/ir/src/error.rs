//! What a wrong graph is told: the op, every shape, the user's lines, and a way out.

use crate::types::{At, TensorType};
use std::fmt;

/// One operand as an error shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand {
    /// Its name, or what it is.
    pub name: String,
    /// Its type.
    pub ty: TensorType,
    /// Where it was made.
    pub at: At,
}

/// An op that was given operands it cannot take, or a declaration that cannot stand.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeError {
    /// Name of the op, or of the layer or declaration.
    pub op: String,
    /// The layer it was written in, if any.
    pub layer: Option<String>,
    /// What is wrong, as a sentence without the op's name.
    pub message: String,
    /// Every operand with its shape.
    pub operands: Vec<Operand>,
    /// Where the op was written.
    pub at: At,
    /// What to do.
    pub help: String,
}

impl TypeError {
    /// An error of `op` at `at` without operands.
    pub fn new(op: &str, at: At, message: impl Into<String>, help: impl Into<String>) -> TypeError {
        TypeError {
            op: op.to_string(),
            layer: None,
            message: message.into(),
            operands: vec![],
            at,
            help: help.into(),
        }
    }
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ", self.op)?;
        if let Some(layer) = &self.layer {
            write!(f, "in layer `{layer}` ")?;
        }
        f.write_str(&self.message)?;
        if self.at != At::Unknown {
            write!(f, "\n  at {}", self.at)?;
        }
        let types: Vec<String> = self.operands.iter().map(|o| o.ty.to_string()).collect();
        let names = self.operands.iter().map(|o| o.name.len()).max().unwrap_or(0) + 1;
        let width = types.iter().map(String::len).max().unwrap_or(0);
        for (operand, ty) in self.operands.iter().zip(&types) {
            let name = format!("{}:", operand.name);
            if operand.at == At::Unknown {
                write!(f, "\n  {name:names$} {ty}")?;
            } else {
                write!(f, "\n  {name:names$} {ty:width$}  made at {}", operand.at)?;
            }
        }
        if !self.help.is_empty() {
            write!(f, "\nhelp: {}", self.help)?;
        }
        Ok(())
    }
}

impl std::error::Error for TypeError {}

/// Several errors, in the order in which they were made.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeErrors(pub Vec<TypeError>);

impl fmt::Display for TypeErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            let gap = if i == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for TypeErrors {}
