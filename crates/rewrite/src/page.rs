//! The page of rules: a table for each family.

use crate::infix::identity;
use crate::measure::measure;
use crate::rule_set::RuleSet;
use crate::rules::Rule;
use std::fmt::Write;

/// What sources that are named by author and year are.
const LITERATURE: [(&str, &str); 8] = [
    (
        "Blanchard, Higham and Higham 2021",
        "P. Blanchard, D. J. Higham, N. J. Higham: Accurately computing the log-sum-exp and softmax functions. \
         IMA Journal of Numerical Analysis.",
    ),
    (
        "Chan, Golub and LeVeque 1983",
        "T. F. Chan, G. H. Golub, R. J. LeVeque: Algorithms for computing the sample variance: analysis and \
         recommendations. The American Statistician.",
    ),
    (
        "Goldberg 1991",
        "D. Goldberg: What every computer scientist should know about floating-point arithmetic. ACM Computing Surveys.",
    ),
    (
        "Hamming 1973",
        "R. W. Hamming: Numerical Methods for Scientists and Engineers, second edition, chapter 3.",
    ),
    (
        "Higham 2002",
        "N. J. Higham: Accuracy and Stability of Numerical Algorithms, second edition, chapter 1.",
    ),
    ("IEEE 754", "IEEE Standard for Floating-Point Arithmetic."),
    (
        "Kahan 1987",
        "W. Kahan: Branch cuts for complex elementary functions, or much ado about nothing's sign bit.",
    ),
    (
        "Maechler 2012",
        "M. Mächler: Accurately computing log(1 - exp(-|a|)). Vignette of the R package Rmpfr.",
    ),
];

const INTRODUCTION: &str = "\
# Rules

Every rule that ships, family by family: what it makes of what, when, and what that does to the error of a result.
[optimizer.md](optimizer.md) says how rules are used. This page is generated from `crates/rewrite/src/rules/*.rules`:

```text
cargo run --release -p eggrad-rewrite --example rules_page > docs/rules.md
```

* **Class**: what is kept, as in [optimizer.md](optimizer.md#what-a-rule-may-change).
* **Left, right**: the worst error of each side in `f32`, in units in the last place of the exact value, rounded up to 0, 1, 4 or a power of ten; `inf/NaN` where a side is no number and the exact value is. Each side is computed with one rounding per op, of which a contraction is one, for inputs near 0, near 1, large and close to each other that meet the condition; points count at which both sides agree in `f64`. Sums of inputs of both signs can cancel on either side.
* **Verdict**: a rule `stabilises` if its left side alone is no number at more than ten times as many points as its right side alone; where that says nothing, if it is worse at so many more points: by more than 8 units and 8 times the error of the right side. The other way round it is `worse`, else `neutral`. A rule that is `worse` on its own is there for what it leads to, or for time; a form is chosen for the whole graph, by danger before time ([optimizer.md](optimizer.md#danger)).
* Sets of axes stand in brackets: `sum[S](a)` adds up along `S`. Element types are left out.
";

impl RuleSet {
    /// A page in Markdown: a table of the rules of each file, with the measured errors of both sides.
    ///
    /// It is the same on every machine, and takes some seconds.
    pub fn page(&self) -> String {
        let mut page = INTRODUCTION.to_string();
        let mut file = "";
        let mut sources: Vec<&str> = vec![];
        for rule in self.rules().iter().filter(|r| r.name == r.info.name) {
            let info = &rule.info;
            if info.file != file {
                file = &info.file;
                let family = file.strip_suffix(".rules").unwrap_or(file);
                let _ = write!(
                    page,
                    "\n## {family}\n\n| rule | identity | if | class | left | right | verdict | why | source |\n|---|---|---|---|---|---|---|---|---|\n"
                );
            }
            let source = info.source.as_deref().unwrap_or("");
            sources.extend(LITERATURE.iter().map(|l| l.0).filter(|name| *name == source));
            let _ = writeln!(page, "{}", row(rule, source));
        }
        page += "\n## Sources\n\n";
        for (name, text) in LITERATURE.iter().filter(|l| sources.contains(&l.0)) {
            let _ = writeln!(page, "* **{name}**: {text}");
        }
        page
    }
}

fn row(rule: &Rule, source: &str) -> String {
    let info = &rule.info;
    let both_ways = info.text.contains("<=>");
    let identity = format!("`{}`", identity(rule, both_ways));
    let condition = info.text.split_once(" if ").map_or(String::new(), |c| c.1.replace('?', ""));
    let condition = if condition.is_empty() { condition } else { format!("`{condition}`") };
    let [left, right, verdict] = match measure(rule) {
        Some(e) => [e.left.to_string(), e.right.to_string(), e.verdict().to_string()],
        None => ["", "", "not measured"].map(str::to_string),
    };
    let cells = [
        &info.name,
        &identity,
        &condition,
        info.class.name(),
        &left,
        &right,
        &verdict,
        &info.reason,
        source,
    ];
    format!("| {} |", cells.map(|c| c.replace('|', "\\|")).join(" | "))
}
