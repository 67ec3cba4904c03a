//! Sub-graphs that other graphs apply.
//!
//! Note \[Digest\]. Sub-graphs inside each other are compared all the time, and several nodes of a graph apply the same
//! one: looking inside would take a time that is exponential in their depth. A function keeps 128 bits of all that
//! counts for equality, made of those of the functions it applies, and is compared by these.

use crate::error::TypeError;
use crate::graph::Graph;
use crate::types::{At, TensorType};
use crate::verify::is_name;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Sub-graphs inside each other; keeps what recurses over functions shallow.
pub const MAX_DEPTH: usize = 16;

/// A named graph without state that `call`, `scan` and `cond` apply, perhaps with a derivative of its own.
///
/// Two functions are equal when their graphs and derivatives are; the name is for people.
#[derive(Clone, Debug)]
pub struct Function {
    name: String,
    graph: Graph,
    vjp: Option<Arc<Function>>,
    depth: usize,
    has_grad: bool,
    digest: u128,
}

/// 128 bits of what `content` hashes.
fn digest(content: impl Fn(&mut DefaultHasher)) -> u128 {
    let half = |half: u8| {
        let mut hasher = DefaultHasher::new();
        half.hash(&mut hasher);
        content(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

impl Function {
    /// A function that computes the outputs of `graph` from its inputs.
    ///
    /// # Errors
    /// When the name is none, or the graph holds states, a guard or ranges, gives nothing, or applies functions
    /// [`MAX_DEPTH`] deep.
    pub fn new(name: &str, graph: Graph) -> Result<Function, TypeError> {
        let at = graph.outputs().first().map_or(At::Unknown, |o| graph.node(o.node).at);
        let fail = |message: &str, help: &str| {
            Err(TypeError::new(&format!("fn {name}"), at, message, help))
        };
        if !is_name(name) {
            return fail(
                "has no valid name",
                "use letters, digits, `_`, `.`, `/` and `-`, and begin with a letter or `_`",
            );
        }
        if !graph.states().is_empty() || graph.guard().is_some() {
            return fail("holds state", "pass states as operands, and write them outside");
        }
        if graph.inputs().iter().any(|i| i.range.is_some()) {
            return fail("declares a range", "declare ranges on the inputs of the whole graph");
        }
        if graph.outputs().is_empty() {
            return fail("gives nothing", "name at least one output");
        }
        let inner = graph.nodes().iter().flat_map(|n| n.op.functions()).map(|f| f.depth);
        let depth = 1 + inner.max().unwrap_or(0);
        if depth > MAX_DEPTH {
            let message = format!("nests sub-graphs too deep: more than {MAX_DEPTH}");
            return fail(&message, "write some of them into their callers");
        }
        let has_grad = graph.has_grad();
        let digest = digest(|hasher| {
            (graph.nodes().len(), graph.inputs().len()).hash(hasher);
            for node in graph.nodes() {
                (&node.op, &node.inputs, &node.ty).hash(hasher);
            }
            graph.inputs().iter().for_each(|i| (&i.name, &i.ty, i.node).hash(hasher));
            graph.outputs().iter().for_each(|o| (&o.name, o.node).hash(hasher));
        });
        Ok(Function { name: name.to_string(), graph, vjp: None, depth, has_grad, digest })
    }

    /// The function with `vjp` as its reverse-mode derivative, which differentiation uses instead of its own.
    ///
    /// `vjp` takes the function's operands, then the cotangents of its float results, and gives the cotangents of its
    /// float operands, each of the operand's type.
    ///
    /// # Errors
    /// When `vjp` has other inputs or outputs.
    pub fn with_vjp(mut self, vjp: Arc<Function>) -> Result<Function, TypeError> {
        let inputs = self.graph.inputs().iter().map(|i| &i.ty);
        let cotangents = self.results().filter(|ty| ty.dtype.is_float());
        let wanted: Vec<&TensorType> = inputs.clone().chain(cotangents).collect();
        let found: Vec<&TensorType> = vjp.graph.inputs().iter().map(|i| &i.ty).collect();
        let list = |types: &[&TensorType]| {
            types.iter().map(|ty| ty.to_string()).collect::<Vec<_>>().join(", ")
        };
        let name = format!("derivative of fn {}", self.name);
        let fail = |what: &str, wanted: &[&TensorType], found: &[&TensorType]| {
            let message = format!("{what} ({}), not ({})", list(wanted), list(found));
            let help = "it takes the operands and the cotangents of float results, and gives the \
                        cotangents of float operands";
            Err(TypeError::new(&name, At::Unknown, message, help))
        };
        if wanted != found {
            return fail("takes", &wanted, &found);
        }
        let wanted: Vec<&TensorType> = inputs.filter(|ty| ty.dtype.is_float()).collect();
        let found: Vec<&TensorType> = vjp.results().collect();
        if wanted != found {
            return fail("gives", &wanted, &found);
        }
        self.depth = self.depth.max(vjp.depth);
        self.digest = digest(|hasher| (self.digest, vjp.digest).hash(hasher));
        self.vjp = Some(vjp);
        Ok(self)
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it computes.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Its own derivative, if it has one.
    pub fn vjp(&self) -> Option<&Arc<Function>> {
        self.vjp.as_ref()
    }

    /// Sub-graphs inside each other, itself included.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Whether a `grad` is left to resolve in what it computes.
    pub(crate) fn has_grad(&self) -> bool {
        self.has_grad
    }

    /// Types of its results.
    pub fn results(&self) -> impl Iterator<Item = &TensorType> + Clone {
        self.graph.outputs().iter().map(|o| self.graph.ty(o.node))
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Builder;
    use crate::op::{Op, UnaryOp};
    use crate::types::DType;

    /// Functions as deep inside each other as they may be; each calls the next one eight times.
    fn nest(innermost: UnaryOp) -> Function {
        let mut inner: Option<Arc<Function>> = None;
        loop {
            let mut b = Builder::new();
            let mut x = b.declare_input("x", TensorType::scalar(DType::F32), None, At::Unknown);
            for _ in 0..8 {
                x = match &inner {
                    Some(f) => b.node(Op::Call { function: f.clone(), result: 0 }, &[x]),
                    None => b.unary(innermost, x),
                };
            }
            b.output("x", x);
            let made = Function::new("f", b.build().unwrap()).unwrap();
            if made.depth == MAX_DEPTH {
                return made;
            }
            inner = Some(Arc::new(made));
        }
    }

    // Neither comparison comes to an end where functions are looked into each time they are met.
    #[test]
    fn deep_functions_are_compared_and_searched() {
        let (sines, cosines) = (nest(UnaryOp::Sin), nest(UnaryOp::Cos));
        assert!(sines == nest(UnaryOp::Sin) && sines != cosines);
        assert!(!sines.graph().has_grad());
    }

    #[test]
    fn names_of_operands_count() {
        let named = |name: &str| {
            let mut b = Builder::new();
            let x = b.declare_input(name, TensorType::scalar(DType::F32), None, At::Unknown);
            b.output("y", x);
            Function::new("f", b.build().unwrap()).unwrap()
        };
        assert!(named("a") == named("a") && named("a") != named("b"));
    }
}
