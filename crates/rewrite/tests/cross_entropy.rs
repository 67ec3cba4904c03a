//! The acceptance case: every way to write cross-entropy ends in the stable one.

use eggrad_ir::Graph;
use eggrad_rewrite::{RewriteConfig, TableCost, optimize};

fn check(spelling: &str) {
    let text = format!(
        "graph 1\nin x: f32[32, 64]\nin labels: i32[32], range 0 to 9\nparam w: f32[64, 10]\nparam b: f32[10]\n\
         %z0 = dot x w, contract [1] [0]\n%zb = broadcast b, shape [32, 10], axes [1]\n%z = add %z0 %zb\n\
         %t = one_hot labels, type f32, classes 10\n%n = size %z, type f32, axes [0]\n{spelling}\nout loss = %loss\n"
    );
    let graph: Graph = text.parse().unwrap();
    let (result, report) = optimize(&graph, &TableCost, &RewriteConfig::default()).unwrap();
    println!("{result}{report}");
}

#[test]
fn naive() {
    check("%p = softmax %z, axes [1]\n%l = log %p\n%tl = mul %t %l\n%s = sum %tl, axes [1]\n%ns = neg %s\n%m = sum %ns, axes [0]\n%loss = div %m %n");
}
