//! Rules that are wrong are caught, and rows that cannot be read say where they are.

use crate::check::check_in;
use crate::rows::parse;
use crate::rule_set::RuleSet;
use proptest::prelude::*;

/// What is said of a file of rules.
fn refused(text: &str) -> String {
    RuleSet::standard().with("some.rules", text).err().map(|e| e.to_string()).unwrap_or_default()
}

#[test]
fn planted_mistakes_are_caught() {
    let wrong = [
        // A factor is lost.
        "bad [real]: (log (mul ?a ?b)) => (log ?a)",
        // Invariant under shifts, not under scales.
        "bad [real]: (softmax ?S (mul 2 ?z)) => (softmax ?S ?z)",
        // Another normaliser.
        "bad [real]: (log (softmax ?S ?z)) => (sub ?z (sum ?S ?z))",
        // Operands that do not commute.
        "bad [real]: (sub ?a ?b) => (sub ?b ?a)",
        // A sum of products is no product of sums.
        "bad [real]: (sum ?S (mul ?a ?b)) => (mul (sum ?S ?a) (sum ?S ?b))",
        // Odd instead of symmetric about 1/2.
        "bad [real]: (sigmoid (neg ?a)) => (neg (sigmoid ?a))",
        // Right on one side of 0 only.
        "bad [real]: (maximum ?a (neg ?a)) => ?a",
        // No condition on the sign.
        "bad [real]: (sqrt (square ?a)) => ?a",
        // A condition that is too weak.
        "bad [real]: (log (mul ?a ?b)) => (add (log ?a) (log ?b)) if nonzero(?a)",
        // Two terms that are not equal where the left side is.
        "bad [real]: (log (exp ?a)) => ?a == (add ?a 1)",
        // Equal nearly everywhere.
        "bad [real]: (select (gt ?a 0) 1 0) => (select (ge ?a 0) 1 0)",
        // A constant that is a little off.
        "bad [real]: (square (mul 2 ?a)) => (mul 4000001/1000000 (square ?a))",
        // The axes of one maximum are forgotten.
        "bad [exact]: (max ?S (max ?T ?a)) => (max (union ?S ?T) (neg ?a))",
        // A period that is none.
        "bad [real]: (sin (add ?a 3)) => (neg (sin ?a))",
        // Rows that are added up in the wrong place.
        "bad [real]: (scatter_add ?v ?S ?i (neg ?u)) => (scatter_add ?v ?S ?i ?u)",
    ];
    for text in wrong {
        let error = refused(&format!("# wrong\n{text}\n"));
        let start = "some.rules:2: rule `bad` does not hold: for\n  ?";
        assert!(error.starts_with(start), "{text}: {error}");
        assert!(error.contains("the left side is "), "{text}: {error}");
    }
    let wrong_derivatives = [
        // Equal values, other derivatives at a kink.
        "bad [real]: (relu ?a) => (maximum ?a 0)",
        // Equal values, another derivative where a factor is 0.
        "bad [real]: (mul (sign ?a) (abs ?a)) => ?a",
        // Equal values, no derivative.
        "bad [real]: (mul 2 ?a) => (mul 2 (stop_gradient ?a))",
    ];
    for text in wrong_derivatives {
        let error = refused(&format!("# wrong\n{text}\n"));
        assert!(error.contains("the derivative of the left side by ?a is "), "{text}: {error}");
    }
}

#[test]
fn a_counterexample_shows_values_shapes_and_both_results() {
    let error = refused("# wrong\nbad [real]: (sqrt (square ?a)) => ?a\n");
    assert_eq!(
        error,
        "some.rules:2: rule `bad` does not hold: for\n  \
         ?a[] = -1\n\
         the left side is 1 and the right side -1"
    );
    // No condition on axes.
    let error = refused("# wrong\nbad [real]: (sum ?S (mul ?a ?b)) => (mul ?a (sum ?S ?b))\n");
    assert_eq!(
        error,
        "some.rules:2: rule `bad` gives its right side axes that its left side has not"
    );
}

#[test]
fn rows_that_cannot_be_read_say_where() {
    let reason = "# why\n";
    let cases = [
        ("[real]: (neg ?a) => ?a", "needs a name of letters, digits, `-` and `_`"),
        ("foo: (neg ?a) => ?a", "needs `[class]:` after its name"),
        ("foo [odd]: (neg ?a) => ?a", "needs one of the classes exact, finite, reassociates, real"),
        ("foo [real]: (neg ?a) -> ?a", "needs `=>` between two sides"),
        ("foo [real]: (neg ?a) => ?b", "uses ?b, which its left side does not bind"),
        (
            "foo [real]: (neg ?a) => ?a if positive(?b)",
            "uses ?b, which its left side does not bind",
        ),
        ("foo [real]: (nag ?a) => ?a", "knows no op `nag`"),
        ("foo [real]: (neg x) => ?a", "knows no atom `x`"),
        ("foo [real]: (neg 1/0) => 1", "knows no atom `1/0`"),
        (
            "foo [real]: (neg ?é) => 1",
            "has `?é` where a variable is `?` and letters, digits or `_`",
        ),
        ("foo [real]: (neg ?a ?b) => ?a", "gives `neg` 2 operands instead of 1"),
        ("foo [real]: (neg ?a) => (sum (union ?a) ?a)", "gives `union` 1 operands instead of 2"),
        ("foo [real]: (neg (neg ?a) => ?a", "ends in the middle of an expression"),
        ("foo [real]: (neg ?a) ?b => ?a", "goes on with `?b` after a whole expression"),
        ("foo [real]: (neg ?a) => ?a if odd(?a)", "knows no condition `odd`"),
        ("foo [real]: (neg ?a) => ?a if finite", "has a condition `finite` without operands"),
        ("foo [real]: (neg ?a) => ?a if finite(?a", "has an open condition `finite(?a`"),
        ("foo [real]: (neg ?a) => ?a if finite(?a, ?a)", "gives `finite` 2 operands instead of 1"),
        (
            "foo [real]: (neg ?a) => ?a if finite(a)",
            "has `a` where a variable is `?` and letters, digits or `_`",
        ),
        ("foo [real]: ?a => ?a", "needs a left side of ops only"),
        ("foo [real]: (neg (union ?a ?b)) => 1", "needs a left side of ops only"),
        (
            "foo [real]: (gt ?a ?b) => ?a",
            "has a left side that is a tensor of truth values, not a tensor of floats",
        ),
        (
            "foo [real]: (neg ?a) => (gt ?a 0)",
            "makes a tensor of truth values of a tensor of floats",
        ),
        ("foo [real]: (sum ?S ?a) => ?S", "makes ?S, a set of axes, of a tensor of floats"),
        ("foo [real]: (sum ?S ?S) => 1", "uses ?S as a set of axes and as a tensor of floats"),
        ("foo [real]: (sum ?S (cast ?T ?S)) => 1", "uses ?S as a set of axes and as a tensor"),
        (
            "foo [real]: (sum ?S ?a) => (mul ?S ?a)",
            "gives `mul` ?S, a set of axes, instead of a tensor of floats",
        ),
        (
            "foo [real]: (gather ?v ?t ?i) => (mul ?t ?i)",
            "gives `mul` ?i, a tensor of integers, instead of a tensor of floats",
        ),
        (
            "foo [real]: (select ?a ?a ?b) => ?b",
            "uses ?a as a tensor of truth values and as a tensor of floats",
        ),
        ("foo [real]: (sum 2 ?a) => ?a", "gives `sum` the number 2 instead of a set of axes"),
        (
            "foo [real]: (sum ?S (gt ?a 0)) => 1",
            "gives `sum` a `gt`, a tensor of truth values, instead of a tensor of floats",
        ),
        (
            "foo [real]: (sum ?S ?a) => (sum (type ?a) ?a)",
            "has `type`, an element type, in the place of a set of axes",
        ),
        (
            "foo [real]: (sum ?S ?a) => ?a if finite(?S)",
            "gives `finite` ?S, a set of axes, instead of a tensor",
        ),
        ("foo [exact]: (keep ?a) => ?a", "looks through `keep`, which protects what is written"),
        ("add-zero [finite]: (add ?a 0) => ?a", "has the name of another rule, in algebra.rules:3"),
        ("linear-folding [finite]: (add ?a 0) => ?a", "has the name of another rule, built in"),
        (
            "foo [real]: (add (neg ?a) (neg ?b)) => ?a if simplex(?S, ?a)",
            "uses ?S, which its left side does not bind",
        ),
    ];
    for (row, message) in cases {
        let name = row.split([' ', ':', '[']).next().unwrap();
        let expected = format!("some.rules:2: rule `{name}` {message}");
        assert_eq!(refused(&format!("{reason}{row}")), expected, "{row}");
    }
    assert_eq!(
        refused("# why\n\nfoo [real]: ?a => ?a"),
        "some.rules:3: rule `foo` needs a reason in a comment above it"
    );
    let deep = format!("{reason}foo [real]: {}?a{} => ?a", "(neg ".repeat(33), ")".repeat(33));
    assert_eq!(refused(&deep), "some.rules:2: rule `foo` has more than 32 levels of parentheses");
    let wide = format!("{reason}foo [real]: {}?a{} => ?a", "(add 1 ".repeat(13), ")".repeat(13));
    assert_eq!(refused(&wide), "some.rules:2: rule `foo` has more than 12 commutative ops");
}

#[test]
fn rules_that_are_not_met_are_refused() {
    assert_eq!(
        refused("# why\nnever [real]: (sum ?S (neg ?a)) => -1 if simplex(?S, ?a); integer(?a)"),
        "some.rules:2: rule `never` is never met: of 80000 random left sides none was one, with its conditions, \
         whose sides differ"
    );
}

#[test]
fn everything_wrong_with_a_file_is_said_at_once() {
    let text = "# why\none [real]: (nag ?a) => ?a\n# why\ntwo [real]: (sub ?a ?b) => (sub ?b ?a)\n\
                # why\nthree [exact]: (neg (neg (neg ?a))) => (neg ?a)\n# why\nthree [real]: (abs ?a) => ?a\n";
    let errors = RuleSet::standard().with("my.rules", text).unwrap_err().0;
    let names: Vec<(usize, &str)> = errors.iter().map(|e| (e.line, e.rule.as_str())).collect();
    assert_eq!(names, [(2, "one"), (4, "two"), (8, "three")]);
    assert_eq!(errors[2].message, "has the name of another rule, earlier in this file");
}

#[test]
fn good_rules_join_the_set() {
    let standard = RuleSet::standard();
    let text =
        "## source: a note\n# halves of a square\nmine [real]: (sqrt (mul ?a ?a)) => (abs ?a)\n";
    let set = standard.with("my.rules", text).unwrap();
    let (before, after) = (standard.describe(), set.describe());
    assert_eq!(after.len(), before.len() + 1);
    assert_eq!(after[before.len()].source.as_deref(), Some("a note"));
    assert_eq!((after[before.len()].file.as_str(), after[before.len()].line), ("my.rules", 3));
    assert_ne!(set, standard);
    assert_eq!(set, standard.with("my.rules", text).unwrap());
    let again = set.with("other.rules", text).unwrap_err().to_string();
    assert_eq!(again, "other.rules:3: rule `mine` has the name of another rule, in my.rules:3");
}

/// Words of rules, and some that are none.
const WORDS: &[&str] = &[
    "(",
    ")",
    "(",
    ")",
    "(",
    ")",
    "?a",
    "?b",
    "?S",
    "?T",
    "?i",
    "?",
    "?0",
    "?#1",
    "0",
    "1",
    "-1/2",
    "1/0",
    "99999999999999999999999999999999999999999",
    "=>",
    "=>",
    "<=>",
    "==",
    " if ",
    ";",
    ",",
    "add",
    "mul",
    "sub",
    "div",
    "exp",
    "log",
    "neg",
    "sum",
    "max",
    "dot",
    "softmax",
    "logsumexp",
    "cross_entropy",
    "select",
    "cast",
    "gt",
    "not",
    "and",
    "one_hot",
    "gather",
    "scatter_add",
    "iota",
    "size",
    "expand",
    "keep",
    "stop_gradient",
    "union",
    "minus",
    "meet",
    "type",
    "[real]:",
    "[exact]:",
    "finite(",
    "disjoint(",
    "simplex(",
    "in_range(",
    "#",
    "## source:",
    "\n",
    "é",
];

/// Terms of one side that mostly fit together.
fn side(depth: u32) -> BoxedStrategy<String> {
    let atom = prop_oneof![Just("?a"), Just("?b"), Just("?c"), Just("1"), Just("0"), Just("-3/2")];
    let atom = atom.prop_map(str::to_string).boxed();
    if depth == 0 {
        return atom;
    }
    let unary = prop_oneof![
        Just("neg"),
        Just("exp"),
        Just("log"),
        Just("sum ?S"),
        Just("max ?T"),
        Just("softmax ?S"),
        Just("expand ?S"),
        Just("cast (type ?a)"),
        Just("prod ?S"),
        Just("floor"),
        Just("recip"),
        Just("logsumexp ?T"),
        Just("stop_gradient"),
        Just("sum (minus ?S ?T)"),
        Just("sum ?a"),
        Just("iota ?R"),
        Just("one_hot ?R ?S"),
        Just("gather ?S ?i"),
        Just("not"),
    ];
    let binary = prop_oneof![
        Just("add"),
        Just("mul"),
        Just("sub"),
        Just("div"),
        Just("pow"),
        Just("dot ?S"),
        Just("maximum"),
        Just("cross_entropy ?S"),
        Just("xlogy"),
        Just("gather ?S"),
        Just("scatter_add ?S ?T"),
        Just("select (gt ?a 0)"),
        Just("gt"),
        Just("mod"),
    ];
    let below = side(depth - 1);
    prop_oneof![
        1 => atom,
        3 => (unary, below.clone()).prop_map(|(op, x)| format!("({op} {x})")),
        3 => (binary, below.clone(), below).prop_map(|(op, x, y)| format!("({op} {x} {y})")),
        1 => Just("(size (type ?a) ?S)".to_string()),
        1 => Just("(gather ?S ?a ?i)".to_string()),
        1 => Just("(one_hot ?R ?S ?i)".to_string()),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn random_words_never_panic(words in proptest::collection::vec(0..WORDS.len(), 0..40)) {
        let words: Vec<&str> = words.into_iter().map(|i| WORDS[i]).collect();
        let text = words.join(" ");
        for rows in [text.clone(), format!("# why\nfoo [real]: {text}")] {
            let (rules, _) = parse("some.rules", &rows, |_| None);
            for rule in rules {
                let _ = check_in(&rule, 20);
            }
        }
    }

    #[test]
    fn random_rules_never_panic(left in side(3), right in side(3), condition in 0usize..6) {
        let conditions = ["", " if finite(?a)", " if disjoint(?S, ?a)", " if simplex(?S, ?a)",
            " if in_range(?i, ?S)", " if contracts(?S, ?a, ?b); constant(?c)"];
        // What the left side does not bind is left out of the right one.
        let mut right = right;
        for (name, other) in [("?b", "?a"), ("?c", "?a"), ("?a", "2"), ("?T", "?S"), ("?S", "?T")] {
            if !left.contains(name) {
                right = right.replace(name, other);
            }
        }
        let text = format!("# why\nfoo [real]: {left} => {right}{}", conditions[condition]);
        let (rules, errors) = parse("some.rules", &text, |_| None);
        prop_assert_eq!(rules.len() + errors.len(), 1);
        for rule in rules {
            let _ = check_in(&rule, 20);
        }
    }
}
