//! Rules that are wrong are caught, and rows that cannot be read say where they are.

use crate::check::check;
use crate::rules::parse;

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
        // No condition on axes.
        "bad [real]: (sum ?S (mul ?a ?b)) => (mul ?a (sum ?S ?b))",
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
        // Equal values, other derivatives at a kink.
        "bad [real]: (relu ?a) => (maximum ?a 0)",
        // Equal values, another derivative where a factor is 0.
        "bad [real]: (mul (sign ?a) (abs ?a)) => ?a",
        // Equal nearly everywhere.
        "bad [real]: (select (gt ?a 0) 1 0) => (select (ge ?a 0) 1 0)",
        // A constant that is a little off.
        "bad [real]: (square (mul 2 ?a)) => (mul 4000001/1000000 (square ?a))",
        // The axes of one sum are forgotten.
        "bad [reassociates]: (sum ?S (sum ?T ?a)) => (sum ?T ?a)",
        // A period that is none.
        "bad [real]: (sin (add ?a 3)) => (neg (sin ?a))",
        // Never matched.
        "never [real]: (sum ?S (one_hot ?T ?S ?S)) => 1",
    ];
    for text in wrong {
        let rules = parse("planted", &format!("# wrong\n{text}\n")).unwrap();
        assert!(check(&rules[0]).is_err(), "{text}");
    }
}

#[test]
fn rows_that_cannot_be_read_say_where() {
    let check = |text: &str, expected: &str| {
        let error = parse("some.rules", text).err().map(|e| e.to_string());
        assert_eq!(error.as_deref(), Some(expected), "{text}");
    };
    check(
        "# why\n\nfoo [real]: ?a => ?a",
        "some.rules:3: rule `foo` needs a reason in a comment above it",
    );
    check(
        "# why\nfoo [odd]: (neg ?a) => ?a",
        "some.rules:2: rule `foo` needs one of the classes exact, finite, reassociates, real",
    );
    check(
        "# why\nfoo [real]: (neg ?a) => ?b",
        "some.rules:2: rule `foo` uses ?b, which its left side does not bind",
    );
    check("# why\nfoo [real]: (nag ?a) => ?a", "some.rules:2: rule `foo` knows no op `nag`");
    check(
        "# why\nfoo [real]: (neg ?a ?b) => ?a",
        "some.rules:2: rule `foo` gives `neg` 2 operands instead of 1",
    );
    check(
        "# why\nfoo [real]: (neg ?a) => ?a if odd(?a)",
        "some.rules:2: rule `foo` knows no condition `odd`",
    );
    check(
        "# why\nfoo [real]: (neg (neg ?a) => ?a",
        "some.rules:2: rule `foo` ends in the middle of an expression",
    );
    check("# why\nfoo [real]: ?a => ?a", "some.rules:2: rule `foo` needs a left side of ops only");
}
