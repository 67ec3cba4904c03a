//! Writes `docs/rules.md`: every rule that ships, with its source and the measured errors of both sides.

fn main() {
    print!("{}", eggrad_rewrite::RuleSet::standard().page());
}
