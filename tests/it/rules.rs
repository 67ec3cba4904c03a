//! Rules of a user's own, from text to what runs.

use eggrad::prelude::*;
use std::sync::Arc;

const DOUBLE_ANGLE: &str = "## source: trigonometric identity\n# one function instead of two\n\
    double-angle [real]: (mul (sin ?a) (cos ?a)) => (mul 1/2 (sin (mul 2 ?a)))\n";

fn compile(rules: RuleSet) -> Result<(Report, [f32; 4]), Error> {
    let g = Graph::new();
    let x = g.input("x", [4]);
    g.output("y", x.sin() * x.cos());
    let program = Arc::new(Program::compile(&g, &Options { rules, ..Options::default() })?);
    let mut store = Store::new(0);
    let mut y = [0.0; 4];
    let mut session = Session::new(&program, &mut store)?;
    let x = [0.0, 0.5, -2.0, 1.25];
    session.run(&mut store, &[ArrayRef::F32(&x)], &mut [ArrayMut::F32(&mut y)])?;
    Ok((program.report().clone(), y))
}

#[test]
fn a_rule_from_text_is_used() -> Result<(), Error> {
    let (before, expected) = compile(RuleSet::standard())?;
    let (after, found) = compile(RuleSet::standard().with("my.rules", DOUBLE_ANGLE)?)?;
    assert_eq!(before.rules.get("double-angle"), None);
    assert_eq!(after.rules.get("double-angle"), Some(&1));
    assert!(after.nodes_after <= before.nodes_after);
    for (a, b) in expected.into_iter().zip(found) {
        assert!((a - b).abs() <= 1e-6, "{a} became {b}");
    }
    Ok(())
}

#[test]
fn a_wrong_rule_is_an_error_like_any_other() {
    let text = "# wrong\nroot [real]: (sqrt (mul 4 (square ?a))) => (mul 2 ?a)\n";
    let wrong = || -> Result<RuleSet, Error> { Ok(RuleSet::standard().with("my.rules", text)?) };
    let error = wrong().map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("my.rules:2: rule `root` does not hold: for\n  ?a["), "{error}");
}
