//! Promises of `docs/ARCHITECTURE.md` that can be read off the files.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every Rust file below `folder`, with its text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut files = vec![];
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                files.push((path, text));
            }
        }
    }
    files
}

/// Which crates of ours each library crate may name among its dependencies.
const ARROWS: [(&str, &[&str]); 11] = [
    ("ir", &[]),
    ("body", &[]),
    ("interp", &["ir"]),
    ("autodiff", &["ir"]),
    ("rewrite", &["ir", "interp", "autodiff"]),
    ("schedule", &["ir", "body"]),
    ("jit", &["ir", "body", "schedule"]),
    ("nn", &["ir"]),
    ("formats", &["ir"]),
    ("testkit", &["ir", "interp"]),
    // Users and the command name the façade alone.
    ("cli", &[]),
];

/// Outside crates that have one home.
const HOMES: [(&str, &str); 12] = [
    ("egg", "rewrite"),
    ("petgraph", "schedule"),
    ("cranelift-codegen", "jit"),
    ("cranelift-frontend", "jit"),
    ("cranelift-jit", "jit"),
    ("cranelift-module", "jit"),
    ("iced-x86", "jit"),
    ("safetensors", "formats"),
    ("tempfile", "formats"),
    ("zip", "formats"),
    ("plotters", "eggrad"),
    ("png", "eggrad"),
];

fn dependencies(name: &str) -> Vec<String> {
    let path = root().join("crates").join(name).join("Cargo.toml");
    let text = fs::read_to_string(path).expect("a manifest");
    let section = text.split("[dependencies]").nth(1).unwrap_or("");
    let section = section.split("\n[").next().unwrap_or("");
    let names = section.lines().filter_map(|l| l.split(['.', ' ', '=']).next());
    names.filter(|n| !n.is_empty() && !n.starts_with('#')).map(str::to_string).collect()
}

#[test]
fn data_only_moves_right() {
    for (name, allowed) in ARROWS {
        for dependency in dependencies(name) {
            if let Some(ours) = dependency.strip_prefix("eggrad-") {
                assert!(allowed.contains(&ours), "{name} must not depend on {ours}");
            }
        }
    }
}

#[test]
fn outside_crates_have_one_home() {
    let crates = ARROWS.iter().map(|a| a.0).chain(["eggrad"]);
    for name in crates {
        for dependency in dependencies(name) {
            for (outside, home) in HOMES {
                assert!(
                    dependency != outside || name == home,
                    "{outside} belongs in {home}, not {name}"
                );
            }
        }
    }
}

#[test]
fn only_the_code_generator_says_unsafe() {
    for (name, _) in ARROWS.iter().chain(&[("eggrad", &[][..])]) {
        if *name == "jit" {
            continue;
        }
        let path = root().join("crates").join(name).join("src/lib.rs");
        let text = fs::read_to_string(&path).expect("a crate root");
        assert!(text.contains("#![forbid(unsafe_code)]"), "{}", path.display());
    }
}

#[test]
fn nothing_is_unfinished() {
    let words = [["to", "do!("], ["unimplement", "ed!("], ["#[ig", "nore"], ["dbg", "!("]];
    let folders = ["crates", "examples", "tests", "benches"];
    for (path, text) in folders.iter().flat_map(|f| sources(&root().join(f))) {
        for word in words.map(|w| w.concat()) {
            assert!(!text.contains(&word), "{word} in {}", path.display());
        }
    }
}

#[test]
fn files_stay_readable() {
    for (path, text) in sources(&root().join("crates")) {
        let lines = text.lines().count();
        assert!(lines <= 800, "{} has {lines} lines", path.display());
        let documented =
            text.starts_with("//!") || path.components().any(|c| c.as_os_str() == "tests");
        assert!(documented, "{} begins without a module doc", path.display());
    }
}

#[test]
fn every_crate_speaks_of_its_licence() {
    for name in ARROWS.iter().map(|a| a.0).chain(["eggrad"]) {
        let path = root().join("crates").join(name).join("Cargo.toml");
        let text = fs::read_to_string(path).expect("a manifest");
        for key in ["license.workspace", "description = ", "repository.workspace", "rust-version"] {
            assert!(text.contains(key), "{name} lacks {key}");
        }
    }
}

#[test]
fn the_page_on_numerics_states_the_bounds_that_are_enforced() {
    let page = fs::read_to_string(root().join("docs/numerics.md")).expect("the page");
    for function in eggrad_body::FUNCTIONS {
        let name = format!("`{}`", function.name);
        let row =
            page.lines().find(|l| l.starts_with("| `") && l[..l.len().min(60)].contains(&name));
        let row = row.unwrap_or_else(|| panic!("docs/numerics.md has no row for {name}"));
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let bounds = (cells[2].parse(), cells[4].parse());
        assert_eq!(bounds, (Ok(function.f32_ulp), Ok(function.f64_ulp)), "{row}");
    }
}

#[test]
fn the_page_on_the_text_form_names_every_op() {
    use eggrad::ir::{BinaryOp, CompareOp, CrossEntropyOp, MarkOp, ReduceOp, SoftmaxOp, UnaryOp};
    let page = fs::read_to_string(root().join("docs/text-format.md")).expect("the page");
    let table = page.split("## Ops").nth(1).expect("a section on ops");
    let words: Vec<&str> = table.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let rows = UnaryOp::ALL.iter().map(|op| op.name());
    let rows = rows.chain(BinaryOp::ALL.iter().map(|op| op.name()));
    let rows = rows.chain(CompareOp::ALL.iter().map(|op| op.name()));
    let rows = rows.chain(ReduceOp::ALL.iter().map(|op| op.name()));
    let rows = rows.chain(SoftmaxOp::ALL.iter().map(|op| op.name()));
    let rows = rows.chain(CrossEntropyOp::ALL.iter().map(|op| op.name()));
    let rows = rows.chain(MarkOp::ALL.iter().map(|op| op.name()));
    for name in rows {
        assert!(words.contains(&name), "docs/text-format.md lacks `{name}`");
    }
}
