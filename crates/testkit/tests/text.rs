//! The text form of random graphs, and of garbage.

use eggrad_interp::{Precision, run};
use eggrad_ir::{DType, Graph};
use eggrad_testkit::{Config, random_graph};
use proptest::prelude::*;

/// Words that bring random lines deep into the parser.
const WORDS: &[&str] = &[
    "graph 2\n",
    "\n",
    "in ",
    "param ",
    "x",
    "y",
    ": ",
    "f32",
    "i32",
    "bool",
    "[",
    "]",
    "(",
    ")",
    "{\n",
    "\n}\n",
    "fn f",
    "@",
    "+",
    "^",
    "not ",
    "2",
    "3",
    ", ",
    "= ",
    "%1",
    "%2 ",
    "\n%3 = ",
    "add(",
    "exp(",
    "dot(",
    "contract=",
    "batch=",
    "softmax(",
    "axes=",
    "axis=",
    "reshape(",
    "transpose(",
    "broadcast(",
    "shape=",
    "const(",
    "type=",
    "value=",
    "data(",
    "values=",
    "iota(",
    "size(",
    "one_hot(",
    "classes=",
    "gather(",
    "scatter_add(",
    "select(",
    "cast(",
    "grad(",
    "out ",
    "write ",
    "guard ",
    "range ",
    " to ",
    "-1",
    "1e400",
    "inf",
    "nan",
    "18446744073709551615",
    "9223372036854775807",
    "4294967296",
    "0",
    ";",
    "é",
    "\u{0}",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn printing_and_parsing_come_back(random in random_graph(Config::new(DType::F32))) {
        let text = random.graph.to_string();
        let parsed: Graph = text.parse().map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(parsed.to_string(), text);
        let before = run(&random.graph, &random.inputs, &random.states, Precision::AsWritten);
        let after = run(&parsed, &random.inputs, &random.states, Precision::AsWritten);
        prop_assert_eq!(before.unwrap(), after.unwrap());
    }

    #[test]
    fn garbage_is_refused_or_read_but_never_panics(text in any::<String>(), versioned in any::<bool>()) {
        let text = if versioned { format!("graph 2\n{text}") } else { text };
        check(&text)?;
    }

    #[test]
    fn shuffled_words_never_panic(words in proptest::collection::vec(0..WORDS.len(), 0..60)) {
        let text: String = words.into_iter().map(|w| WORDS[w]).collect();
        check(&format!("graph 2\n{text}"))?;
    }

    /// A printed graph with one stretch of it overwritten.
    #[test]
    fn damaged_graphs_never_panic(
        random in random_graph(Config::new(DType::F64)),
        place in any::<prop::sample::Index>(),
        length in 0usize..12,
        word in 0..WORDS.len(),
    ) {
        let text: Vec<char> = random.graph.to_string().chars().collect();
        let start = place.index(text.len());
        let end = (start + length).min(text.len());
        let damaged: String =
            text[..start].iter().copied().chain(WORDS[word].chars()).chain(text[end..].iter().copied()).collect();
        check(&damaged)?;
    }
}

/// What can be read prints as something that can be read again, to the same text; what cannot says why.
fn check(text: &str) -> Result<(), TestCaseError> {
    match text.parse::<Graph>() {
        Ok(graph) => {
            let printed = graph.to_string();
            let again: Graph = printed
                .parse()
                .map_err(|e| TestCaseError::fail(format!("{e}\nfrom {text:?}\n{printed}")))?;
            prop_assert_eq!(again.to_string(), printed);
        }
        Err(errors) => prop_assert!(!errors.to_string().is_empty()),
    }
    Ok(())
}
