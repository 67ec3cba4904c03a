//! The text form of generated graphs and generated texts.

use eggrad_ir::*;
use proptest::prelude::*;

/// Draws numbers from a list, then zeros.
struct Draw<'a>(std::slice::Iter<'a, u16>);

impl Draw<'_> {
    fn below(&mut self, n: usize) -> usize {
        self.0.next().map_or(0, |&d| usize::from(d) % n)
    }
}

/// A graph of random ops in random order, with what passes leave: constants made early, late or twice, broadcasts used
/// by several nodes and by ops that do not broadcast, sizes apart from their sums.
fn random_graph(draws: &[u16]) -> Graph {
    let mut draw = Draw(draws.iter());
    let mut b = Builder::new();
    let shapes: [&[usize]; 6] = [&[], &[3], &[2, 3], &[2, 1], &[1, 3], &[3, 3]];
    let mut nodes = vec![];
    for (i, shape) in shapes.iter().enumerate() {
        let ty = TensorType::new(DType::F64, *shape);
        nodes.push(b.declare_input(&format!("x{i}"), ty, None, At::Unknown));
    }
    let same = |b: &Builder, nodes: &[NodeId], id: NodeId, draw: &mut Draw<'_>| {
        let fit: Vec<NodeId> = nodes.iter().copied().filter(|&n| b.ty(n) == b.ty(id)).collect();
        fit[draw.below(fit.len())]
    };
    while draw.0.len() > 0 {
        let recent = draw.below(4) > 0;
        let place = draw.below(if recent { nodes.len().min(3) } else { nodes.len() });
        let x = nodes[nodes.len() - 1 - place];
        let shape = b.ty(x).shape.clone();
        let axes: Vec<usize> = (0..shape.rank()).collect();
        let float = b.ty(x).dtype == DType::F64;
        let made = match draw.below(16) {
            0..=3 if float => {
                let y = same(&b, &nodes, x, &mut draw);
                let ops = [
                    BinaryOp::Add,
                    BinaryOp::Sub,
                    BinaryOp::Mul,
                    BinaryOp::Div,
                    BinaryOp::Pow,
                    BinaryOp::Maximum,
                ];
                let op = ops[draw.below(ops.len())];
                if draw.below(2) == 0 { b.binary(op, x, y) } else { b.binary(op, y, x) }
            }
            4 if float => b.unary([UnaryOp::Neg, UnaryOp::Exp][draw.below(2)], x),
            5 => {
                let value = [0.5, -2.0, f64::NAN, 1e-7][draw.below(4)];
                b.scalar(DType::F64, value)
            }
            6 => {
                let value = [0.5, -2.0, 3.0][draw.below(3)];
                b.full_like(nodes[draw.below(6)], value)
            }
            7 | 8 if float => {
                // Numbers stand on either side.
                let value = b.full_like(x, [0.5, -2.0][draw.below(2)]);
                let op = [BinaryOp::Mul, BinaryOp::Sub, BinaryOp::Minimum][draw.below(3)];
                if draw.below(2) == 0 { b.binary(op, x, value) } else { b.binary(op, value, x) }
            }
            9 => {
                let targets: Vec<&[usize]> = shapes
                    .into_iter()
                    .filter(|s| broadcast_shape(&shape, &(*s).into()) == Some((*s).into()))
                    .collect();
                let Some(&target) = targets.get(draw.below(targets.len().max(1))) else { continue };
                let target = Shape::from(target);
                let lead = target.rank() - shape.rank();
                let kept: Vec<usize> = axes
                    .iter()
                    .copied()
                    .filter(|&i| shape.dims()[i] == target.dims()[lead + i])
                    .collect();
                let dense: Shape = kept.iter().map(|&i| shape.dims()[i]).collect();
                let base = b.reshape(x, dense);
                b.spread(base, target, kept.into_iter().map(|i| lead + i).collect())
            }
            10 if float => {
                let total = b.node(Op::Reduce(ReduceOp::Sum, axes.clone()), &[x]);
                let size = b.node(Op::Size { dtype: DType::F64, axes }, &[x]);
                if draw.below(3) == 0 {
                    nodes.push([total, size][draw.below(2)]);
                }
                b.div(total, size)
            }
            11 if float && shape.rank() == 2 => {
                let total = b.sum(x, vec![1]);
                let size = b.node(Op::Size { dtype: DType::F64, axes: vec![1] }, &[x]);
                let size = b.spread(size, b.ty(total).shape.clone(), vec![]);
                b.div(total, size)
            }
            12 if float => {
                let y = same(&b, &nodes, x, &mut draw);
                b.compare([CompareOp::Lt, CompareOp::Eq][draw.below(2)], x, y)
            }
            13 => {
                let conditions: Vec<NodeId> =
                    nodes.iter().copied().filter(|&n| b.ty(n).dtype == DType::Bool).collect();
                match conditions.get(draw.below(conditions.len().max(1))) {
                    Some(&c) => {
                        let fit: Vec<NodeId> = nodes
                            .iter()
                            .copied()
                            .filter(|&n| {
                                b.ty(n).dtype == DType::F64 && b.ty(n).shape == b.ty(c).shape
                            })
                            .collect();
                        let Some(&y) = fit.get(draw.below(fit.len().max(1))) else { continue };
                        let other = b.full_like(y, 0.5);
                        match draw.below(3) {
                            0 => b.select(c, y, other),
                            1 => b.select(c, other, y),
                            _ => b.select(c, other, other),
                        }
                    }
                    None => {
                        let truth = b.node(Op::Const(DType::Bool, Literal::Bool(true)), &[]);
                        b.unary(UnaryOp::Not, truth)
                    }
                }
            }
            14 if float && shape.rank() == 2 && shape.dims()[1] == 3 => {
                let right = nodes[5];
                b.dot(x, right, DotAxes::contract(1, 0))
            }
            15 if shape.rank() == 2 => b.transpose(x, vec![1, 0]),
            _ => continue,
        };
        nodes.push(made);
    }
    // Roots: the last, some others, each perhaps twice, in any order.
    b.output("last", nodes[nodes.len() - 1]);
    for (i, &draw) in draws.iter().rev().take(4).enumerate() {
        b.output(&format!("y{i}"), nodes[usize::from(draw) % nodes.len()]);
    }
    b.build().expect("a valid graph")
}

fn check(text: &str) -> Result<(), TestCaseError> {
    match text.parse::<Graph>() {
        Ok(graph) => {
            let printed = graph.to_string();
            let again: Graph = printed.parse().map_err(|e| {
                TestCaseError::fail(format!("not read again: {e}\n{printed}\nfrom\n{text}"))
            })?;
            prop_assert_eq!(again.to_string(), printed);
            prop_assert!(again == graph);
        }
        Err(errors) => {
            prop_assert!(!errors.0.is_empty());
            prop_assert!(errors.0.len() <= 200);
            for error in &errors.0 {
                prop_assert!(matches!(error.at, At::Text { .. }), "no place: {}", error);
            }
        }
    }
    Ok(())
}

/// Texts to damage.
const TEXTS: [&str; 3] = [
    "\
graph 2
in x: f32[2, 3], range -1 to 1.5
in i: i32[2]
param `w-1`: f32[3, 2]
slot m.w: f32[3, 2] ; a comment
%4 = relu(x @ `w-1` + 1) ^ 2
loss = mean(|%4| - one_hot(i, type=f32, classes=2), axes=[1], keepdims=true)
d = data(type=f32[2], values=[0.5, -inf])
out y = sum(where(loss > 0, -loss, nan)) * 1e-3
out größe = dot(x, x, contract=[(1, 1)], batch=[(0, 0)])
write m.w = grad(sum(loss), `w-1`)
guard mean(loss)
",
    "\
graph 2
fn step_vjp(h: f32[3], x: f32[3], ct: f32[3]) {
  out dh = ct * x
  out dx = ct * h
}
fn step(h: f32[3], x: f32[3]) vjp step_vjp {
  %2 = h * x
  out h = %2
}
in h: f32[3]
in xs: f32[4, 3]
%2 = scan(step, h, xs, carries=1, xs=1, length=4, reverse=true, result=0)
out y = cond(true, step, step, %2, step(h, h))
out k = random(random_key(0, 1, stream=7), type=f32[3])
",
    "\
graph 2
in x: f64[8, 9]
w = window(x, axes=[0, 1], size=[2, 2], stride=[2, 3], dilation=[1, 2])
out y = fold(w, axes=[0, 1], size=[2, 2], stride=[2, 3], dilation=[1, 2], length=[8, 9])
out z = pad(slice(x, start=[1, 2], step=[2, 1], sizes=[3, 3]), start=[0, 0], sizes=[4, 4], fill=-0.5)
out t = transpose(reshape(x, shape=[2, 4, 9]), axes=[2, 0, 1])
out q = not (x == 1 or x != 2 and true)
",
];

const WORDS: [&str; 62] = [
    "graph 2\n",
    "\n",
    "in ",
    "param ",
    "slot ",
    "fn ",
    "out ",
    "write ",
    "guard ",
    "x",
    "y",
    "w",
    "%1",
    "%2",
    " = ",
    ": ",
    "f32",
    "i32",
    "bool",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    ",",
    "+",
    "-",
    "*",
    "/",
    "^",
    "**",
    "@",
    "<",
    ">=",
    "==",
    "|",
    "not ",
    " and ",
    " or ",
    "2",
    "0.5",
    "1e-3",
    "inf",
    "nan",
    "true",
    "exp(",
    "sum(",
    "axes=[0]",
    "shape=[2]",
    "type=f32",
    "softmax(x)",
    "where(",
    "grad(",
    "call(",
    "scan(",
    "cond(",
    "mean(",
    "`",
    ";",
    "result=1",
    "f",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn graphs_are_read_as_they_were(draws in proptest::collection::vec(any::<u16>(), 4..200)) {
        let graph = random_graph(&draws);
        let printed = graph.to_string();
        let again: Graph = printed.parse().map_err(|e| TestCaseError::fail(format!("{e}\n{printed}")))?;
        prop_assert!(again == graph, "another graph:\n{}\nprints\n{}", printed, again.to_string());
        prop_assert_eq!(again.to_string(), printed);
    }

    #[test]
    fn garbage_never_panics(text in any::<String>(), versioned in any::<bool>()) {
        check(&if versioned { format!("graph 2\n{text}") } else { text })?;
    }

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&format!("graph 2\n{}", String::from_utf8_lossy(&bytes)))?;
    }

    #[test]
    fn shuffled_words_never_panic(words in proptest::collection::vec(0..WORDS.len(), 0..60)) {
        let words: String = words.into_iter().map(|w| WORDS[w]).collect();
        check(&format!("graph 2\nin x: f32[2]\nin w: f32[2, 2]\n{words}"))?;
    }

    #[test]
    fn damaged_texts_never_panic(
        which in 0..TEXTS.len(),
        place in any::<prop::sample::Index>(),
        length in 0usize..12,
        word in 0..WORDS.len(),
    ) {
        let text = TEXTS[which];
        let places: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
        let from = place.index(places.len());
        let to = (from + length).min(places.len() - 1);
        check(&format!("{}{}{}", &text[..places[from]], WORDS[word], &text[places[to]..]))?;
    }
}

#[test]
fn cut_texts_never_panic() {
    for text in TEXTS {
        check(text).expect("a valid text");
        assert!(text.parse::<Graph>().is_ok(), "{text}");
        for (i, _) in text.char_indices() {
            check(&text[..i]).expect("no panic");
            check(&format!("graph 2\n{}", &text[i..])).expect("no panic");
        }
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = || {
        for (open, close) in
            [("(", ")"), ("exp(", ")"), ("-", ""), ("|", "|"), ("2^", ""), ("not ", "")]
        {
            for (count, fine) in [(190, true), (250, false), (100_000, false)] {
                let inner = if open == "not " { "true" } else { "x" };
                let text = format!(
                    "graph 2\nin x: f32[]\nout y = {}{inner}{}\n",
                    open.repeat(count),
                    close.repeat(count)
                );
                let result = text.parse::<Graph>();
                assert_eq!(result.is_ok(), fine, "{count} {open}");
                if let Err(error) = result {
                    assert!(error.to_string().contains("nests"), "{error}");
                }
            }
        }
        // Length is no depth.
        let long = format!("graph 2\nin x: f32[]\nout y = x{}\n", " + x".repeat(100_000));
        let graph: Graph = long.parse().expect("a valid text");
        assert_eq!(graph.computing_nodes(), 100_000);
        assert!(graph.to_string().parse::<Graph>().expect("parses") == graph);
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(deep);
    thread.expect("a thread").join().expect("no overflow");
}
