//! The page of rules says what the rules are.

use eggrad_rewrite::RuleSet;
use std::path::Path;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rules.md");

#[test]
fn the_page_of_rules_is_up_to_date() {
    let page = RuleSet::standard().page();
    let committed = std::fs::read_to_string(Path::new(PAGE)).expect("docs/rules.md");
    let differs = page.lines().zip(committed.lines()).find(|(new, old)| new != old);
    assert!(
        page == committed,
        "docs/rules.md is out of date, first here:\n{differs:?}\nwrite it anew with\n  \
         cargo run --release -p eggrad-rewrite --example rules_page > docs/rules.md"
    );
}

#[test]
fn rules_have_a_source_and_its_literature_is_listed() {
    let page = std::fs::read_to_string(Path::new(PAGE)).expect("docs/rules.md");
    for rule in RuleSet::standard().describe() {
        let source = rule.source.unwrap_or_default();
        assert!(!source.is_empty(), "{} names no source", rule.name);
        let year = source.split(' ').any(|w| w.len() == 4 && w.parse::<u32>().is_ok());
        assert!(!year || page.contains(&format!("* **{source}**: ")), "what is {source}?");
    }
}
