//! Sub-graphs that other graphs apply.

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
    hash: u64,
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
        let mut hasher = DefaultHasher::new();
        for node in graph.nodes() {
            (&node.op, &node.inputs, &node.ty).hash(&mut hasher);
        }
        graph.outputs().iter().for_each(|o| (&o.name, o.node).hash(&mut hasher));
        let hash = hasher.finish();
        Ok(Function { name: name.to_string(), graph, vjp: None, depth, hash })
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
        let mut hasher = DefaultHasher::new();
        (self.hash, vjp.hash).hash(&mut hasher);
        self.hash = hasher.finish();
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

    /// Types of its results.
    pub fn results(&self) -> impl Iterator<Item = &TensorType> + Clone {
        self.graph.outputs().iter().map(|o| self.graph.ty(o.node))
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        self.hash == other.hash && self.graph == other.graph && self.vjp == other.vjp
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}
