//! temporary
use eggrad::ir::*;
fn main() {
    for text in std::env::args().skip(1) {
        let (e, w) = text.split_once('~').unwrap_or((&text, "x"));
        let names = names(e).unwrap();
        let mut vars: Vec<String> = names.iter().map(|n| n.0.clone()).chain([w.to_string()]).collect();
        vars.sort(); vars.dedup();
        let ty = TensorType::scalar(DType::F64);
        let inputs: Vec<Variable> = vars.iter().map(|v| (v.as_str(), ty.clone(), None)).collect();
        let g = Graph::from_expression(&format!("grad({e}, {w})"), &inputs).unwrap();
        println!("{e}  ->  {}", eggrad_cli::formula::written(&g, 0).unwrap().text(Default::default()));
    }
}
