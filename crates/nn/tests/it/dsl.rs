//! What the DSL's methods build, run by the interpreter.

use crate::common::counting;
use eggrad_ir::{DType, StateKind};
use eggrad_nn::{Adam, Graph, Init, Sgd, Tensor, dense};

#[test]
fn operators_broadcast_as_numpy_does() {
    check!(|g| counting(g, "x", &[2, 2]) + counting(g, "y", &[2]), [2, 2], [2.0, 4.0, 4.0, 6.0]);
    check!(|g| counting(g, "x", &[2, 1]) * counting(g, "y", &[1, 2]), [2, 2], [1.0, 2.0, 2.0, 4.0]);
    check!(|g| 1.0 - counting(g, "x", &[2]) / 2.0, [2], [0.5, 0.0]);
    check!(
        |g| -counting(g, "x", &[1, 2, 1]) + counting(g, "y", &[3, 1, 1]),
        [3, 2, 1],
        [0.0, -1.0, 1.0, 0.0, 2.0, 1.0]
    );
    check!(|g| counting(g, "x", &[2, 1]).broadcast_to([2, 2]), [2, 2], [1.0, 1.0, 2.0, 2.0]);
}

#[test]
fn reductions_take_axes_from_either_end() {
    check!(|g| counting(g, "x", &[2, 3]).sum(1), [2], [6.0, 15.0]);
    check!(|g| counting(g, "x", &[2, 3]).sum(-2), [3], [5.0, 7.0, 9.0]);
    check!(|g| counting(g, "x", &[2, 3]).max(..), [0usize; 0], [6.0]);
    check!(|g| counting(g, "x", &[2, 3]).mean_over([0, 1]), [0usize; 0], [3.5]);
    check!(|g| counting(g, "x", &[2, 3]).min(0).prod(0), [0usize; 0], [6.0]);
    check!(|g| counting(g, "x", &[4]).mean(), [0usize; 0], [2.5]);
}

#[test]
fn products_take_any_number_of_axes() {
    let square = [7.0, 10.0, 15.0, 22.0];
    check!(|g| counting(g, "x", &[2, 2]).matmul(counting(g, "y", &[2, 2])), [2, 2], square);
    check!(|g| counting(g, "x", &[2]).matmul(counting(g, "y", &[2])), [0usize; 0], [5.0]);
    check!(|g| counting(g, "x", &[2]).matmul(counting(g, "y", &[2, 2])), [2], [7.0, 10.0]);
    check!(|g| counting(g, "x", &[2, 2]).matmul(counting(g, "y", &[2])), [2], [5.0, 11.0]);
    check!(
        |g| counting(g, "x", &[2, 1, 2]).matmul(counting(g, "y", &[2, 1])),
        [2, 1, 1],
        [5.0, 11.0]
    );
    check!(
        |g| counting(g, "x", &[1, 2]).matmul(counting(g, "y", &[2, 2, 1])),
        [2, 1, 1],
        [5.0, 11.0]
    );
    check!(
        |g| counting(g, "x", &[2, 1, 2]).matmul(counting(g, "y", &[2, 2, 1])),
        [2, 1, 1],
        [5.0, 25.0]
    );
    check!(|g| counting(g, "x", &[2]).matmul(counting(g, "y", &[2, 2, 1])), [2, 1], [5.0, 11.0]);
}

/// The indices 1 and 2.
fn index(g: &Graph) -> Tensor<'_> {
    counting(g, "i", &[2]).cast(DType::I32)
}

#[test]
fn elements_move_and_are_picked() {
    check!(|g| counting(g, "x", &[2, 3]).transpose(), [3, 2], [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    check!(|g| counting(g, "x", &[1, 2]).permute([1, 0]).reshape([2]), [2], [1.0, 2.0]);
    check!(|g| counting(g, "x", &[3, 2]).gather(index(g)), [2, 2], [3.0, 4.0, 5.0, 6.0]);
    check!(|g| counting(g, "x", &[2, 3]).pick(index(g)), [2], [2.0, 6.0]);
    check!(|g| index(g).one_hot(3), [2, 3], [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    check!(
        |g| counting(g, "x", &[3]).gt(2.0).select(1.0, counting(g, "y", &[1])),
        [3],
        [1.0, 1.0, 1.0]
    );
    check!(|g| counting(g, "x", &[3]).ge(2.0).select(7.0, 8.0), [3], [8.0, 7.0, 7.0]);
    check!(|g| counting(g, "x", &[2]).equal(1.0).logical_not().cast(DType::F64), [2], [0.0, 1.0]);
}

/// The numbers 1 to 6 in two rows.
fn x(g: &Graph) -> Tensor<'_> {
    counting(g, "x", &[2, 3])
}

/// The numbers 1 to 4 in two rows.
fn square<'g>(g: &'g Graph, name: &str) -> Tensor<'g> {
    counting(g, name, &[2, 2])
}

#[test]
fn tensors_are_cut_and_put_together() {
    check!(|g| x(g).slice(1, 1..3), [2, 2], [2.0, 3.0, 5.0, 6.0]);
    check!(|g| x(g).slice_step(-1, 0..3, 2), [2, 2], [1.0, 3.0, 4.0, 6.0]);
    check!(|g| x(g).slice(0, 1..1), [0, 3], [0.0; 0]);
    check!(|g| x(g).pad(0, 1, 0, 7.0), [3, 3], [7.0, 7.0, 7.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    check!(|g| x(g).split(1, &[1, 2])[1], [2, 2], [2.0, 3.0, 5.0, 6.0]);
    check!(
        |g| g.concat(&[x(g), counting(g, "y", &[2, 1])], 1),
        [2, 4],
        [1.0, 2.0, 3.0, 1.0, 4.0, 5.0, 6.0, 2.0]
    );
    check!(
        |g| g.stack(&[counting(g, "a", &[2]), counting(g, "b", &[2]) * 2.0], 1),
        [2, 2],
        [1.0, 2.0, 2.0, 4.0]
    );
    check!(|g| x(g).flip(1), [2, 3], [3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
    check!(
        |g| counting(g, "x", &[1, 2]).tile(&[2, 2]),
        [2, 4],
        [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0]
    );
    check!(|g| counting(g, "x", &[2]).unsqueeze([0, 2]), [1, 2, 1], [1.0, 2.0]);
    check!(|g| counting(g, "x", &[1, 2, 1]).squeeze([0, -1]), [2], [1.0, 2.0]);
    check!(|g| counting(g, "x", &[2]).outer(counting(g, "y", &[2])), [2, 2], [1.0, 2.0, 2.0, 4.0]);
}

#[test]
fn reductions_are_composed() {
    check!(|g| x(g).var(1), [2], [2.0 / 3.0, 2.0 / 3.0]);
    check!(|g| x(g).cumsum(1), [2, 3], [1.0, 3.0, 6.0, 4.0, 9.0, 15.0]);
    check!(|g| x(g).cumsum(0), [2, 3], [1.0, 2.0, 3.0, 5.0, 7.0, 9.0]);
    check!(|g| (x(g) - 2.0).square().argmax(1), [2], [0.0, 2.0]);
    check!(|g| (x(g) - 2.0).square().argmin(-1), [2], [1.0, 0.0]);
    check!(|g| x(g).top_k(2).0, [2, 2], [3.0, 2.0, 6.0, 5.0]);
    check!(|g| x(g).top_k(2).1, [2, 2], [2.0, 1.0, 2.0, 1.0]);
    check!(|g| counting(g, "x", &[2, 2]).trace(), [0usize; 0], [5.0]);
    check!(|g| x(g).gt(4.0).any(1).cast(DType::F64), [2], [0.0, 1.0]);
    check!(|g| x(g).gt(3.0).all(1).cast(DType::F64), [2], [0.0, 1.0]);
    check!(
        |g| (1.0 / (x(g) - 1.0)).is_finite().cast(DType::F64),
        [2, 3],
        [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    );
}

#[test]
fn einstein_sums() {
    check!(
        |g| g.einsum("ij,jk->ik", &[square(g, "x"), square(g, "y")]),
        [2, 2],
        [7.0, 10.0, 15.0, 22.0]
    );
    check!(
        |g| g.einsum("ij,jk->ki", &[square(g, "x"), square(g, "y")]),
        [2, 2],
        [7.0, 15.0, 10.0, 22.0]
    );
    check!(|g| g.einsum("ij->j", &[square(g, "x")]), [2], [4.0, 6.0]);
    check!(|g| g.einsum("ij,ij->i", &[square(g, "x"), square(g, "y")]), [2], [5.0, 25.0]);
    check!(
        |g| g.einsum("i,ij,j->", &[counting(g, "v", &[2]), square(g, "x"), counting(g, "w", &[2])]),
        [0usize; 0],
        [27.0]
    );
    check!(
        |g| g.einsum("i,j->ij", &[counting(g, "v", &[2]), counting(g, "w", &[2])]),
        [2, 2],
        [1.0, 2.0, 2.0, 4.0]
    );
}

#[test]
fn faults_of_compositions_are_recorded() {
    let graph = Graph::new();
    let (x, v) = (graph.input("x", [2, 3]), graph.input("v", [2]));
    graph.concat(&[], 0);
    graph.concat(&[x, v], 0);
    graph.einsum("ij,j->i", &[x, v]);
    graph.einsum("ii->i", &[x]);
    graph.einsum("ij", &[x]);
    graph.einsum("ij->ik", &[x]);
    graph.einsum("i->i", &[]);
    x.slice(1, 2..5);
    x.split(1, &[1, 1]);
    x.pad(0, usize::MAX, 1, 0.0);
    x.squeeze(0);
    x.unsqueeze(4);
    x.tile(&[1]);
    x.trace();
    x.top_k(4);
    x.outer(v);
    x.cumsum(2);
    let errors = graph.build().expect_err("must be refused").0;
    assert_eq!(errors.len(), 17, "{errors:?}");
    assert!(errors.iter().all(|e| e.to_string().contains("dsl.rs:")), "{errors:?}");
}

#[test]
fn layers_name_their_parameters() {
    let graph = Graph::new();
    let x = graph.input("x", [5, 3]);
    let y = graph.layer("block", || dense("dense1", x, 2));
    assert_eq!(y.ty().expect("a type").shape.dims(), [5, 2]);
    let built = graph.build().expect("a valid graph");
    let names: Vec<&str> = built.graph.states().iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["block.dense1.weight", "block.dense1.bias"]);
    assert_eq!(built.inits, [Init::GlorotUniform, Init::Zeros]);
}

#[test]
fn optimizers_write_every_parameter_and_guard_the_loss() {
    let graph = Graph::new();
    let loss = dense("dense1", graph.input("x", [5, 3]), 2).square().mean();
    Adam::new(0.1).minimize(loss);
    let built = graph.build().expect("a valid graph").graph;
    assert!(built.guard().is_some() && built.has_grad());
    let unwritten: Vec<&str> =
        built.states().iter().filter(|s| s.write.is_none()).map(|s| s.name.as_str()).collect();
    assert_eq!(unwritten, ["adam.learning_rate"]);
    let slots = built.states().iter().filter(|s| s.kind == StateKind::Slot);
    assert_eq!(slots.count(), 5);

    let graph = Graph::new();
    Sgd::new(0.1).minimize(dense("dense1", graph.input("x", [5, 3]), 2).square().mean());
    let built = graph.build().expect("a valid graph").graph;
    assert_eq!(built.states().iter().filter(|s| s.write.is_some()).count(), 2);
}

#[test]
fn initial_values_depend_on_seed_and_name_alone() {
    let ty = eggrad_ir::TensorType::new(DType::F32, [64, 32]);
    let values = |name, seed| Init::GlorotUniform.values(name, &ty, seed);
    assert_eq!(values("a", 1), values("a", 1));
    assert_ne!(values("a", 1), values("b", 1));
    assert_ne!(values("a", 1), values("a", 2));
    let limit = (6.0f64 / 96.0).sqrt();
    assert!(values("a", 1).iter().all(|v| v.abs() <= limit));
    let normal = Init::HeNormal.values("a", &ty, 1);
    let variance = normal.iter().map(|v| v * v).sum::<f64>() / normal.len() as f64;
    assert!((variance - 2.0 / 64.0).abs() < 4e-3, "{variance}");
}

#[test]
fn sums_up_to_a_place() {
    check!(|g| counting(g, "x", &[2, 3]).cumsum(1), [2, 3], [1.0, 3.0, 6.0, 4.0, 9.0, 15.0]);
    check!(|g| counting(g, "x", &[2, 2]).cumsum(0), [2, 2], [1.0, 2.0, 4.0, 6.0]);
    let long: Vec<f64> = (1..=100).map(|i| f64::from(i * (i + 1) / 2)).collect();
    check!(|g| counting(g, "x", &[100]).cumsum(0), [100], long);
}

#[test]
fn contractions_over_any_axes() {
    // Both trailing axes of `x` meet the leading ones of `y`.
    check!(
        |g| counting(g, "x", &[2, 2, 2]).dot(counting(g, "y", &[2, 2]), &[], &[(1, 0), (2, 1)]),
        [2],
        [30.0, 70.0]
    );
    check!(
        |g| counting(g, "x", &[2, 2]).dot(counting(g, "y", &[2, 2]), &[(0, 0)], &[(1, 1)]),
        [2],
        [5.0, 25.0]
    );
}

#[test]
fn the_largest_are_distinct_places() {
    fn row<'g>(g: &'g Graph, values: [f64; 3]) -> Tensor<'g> {
        g.param("x", [3], Init::Values(values.to_vec()))
    }
    let low = f64::NEG_INFINITY;
    check!(|g| row(g, [5.0, low, low]).top_k(2).0, [2], [5.0, low]);
    check!(|g| row(g, [5.0, low, low]).top_k(3).1.cast(DType::F64), [3], [0.0, 1.0, 2.0]);
    check!(
        |g| row(g, [3.0, 0.0, 0.0]).cast(DType::U8).top_k(2).1.cast(DType::F64),
        [2],
        [0.0, 1.0]
    );
}

#[test]
fn numbers_are_true_unless_they_are_zero() {
    check!(|g| (-counting(g, "x", &[2])).any(0).cast(DType::F64), [0usize; 0], [1.0]);
    check!(|g| (counting(g, "x", &[2]) - 1.0).all(0).cast(DType::F64), [0usize; 0], [0.0]);
    check!(|g| (counting(g, "x", &[2]) / 4.0).all(0).cast(DType::F64), [0usize; 0], [1.0]);
}
