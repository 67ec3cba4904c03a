//! scratch
#[test]
fn scratch() {
    use eggrad_ir::*;
    let ty = || TensorType::new(DType::F32, [2]);
    let text = std::env::var("EXPR").unwrap();
    let g =
        Graph::from_expression(&text, &[("x", ty(), None), ("y", ty(), None), ("z", ty(), None)])
            .unwrap();
    println!("{g}");
    let (best, report) =
        eggrad_rewrite::optimize(&g, &eggrad_rewrite::TableCost, &Default::default()).unwrap();
    println!("{best}\n{report:?}");
}
