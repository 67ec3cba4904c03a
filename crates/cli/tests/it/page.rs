//! Every example of `docs/calculator.md`, run.

use crate::run_on;
use std::path::Path;

/// The words of a line of a shell, with its quotes.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn the_page_shows_what_the_command_prints() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/calculator.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let blocks = page.split("```").skip(1).step_by(2).filter_map(|b| b.strip_prefix("console\n"));
    let mut count = 0;
    for block in blocks {
        for example in block.split("$ ").skip(1) {
            let example = example.replace("\\\n", " ");
            let (line, expected) = example.split_once('\n').unwrap_or((&example, ""));
            let (input, line) = match line.split_once(" | ") {
                Some((echo, line)) if echo.starts_with("echo ") => {
                    (words(echo)[1..].join(" "), line)
                }
                _ => (String::new(), line),
            };
            let words = words(line);
            assert_eq!(words.first().map(String::as_str), Some("eggrad"), "{line}");
            let words: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
            let output = run_on(&words, &input);
            let shown = format!("{}{}", output.stdout, output.stderr);
            let clean = |text: &str| -> Vec<String> {
                text.trim_end().lines().map(|l| l.trim_end().to_string()).collect()
            };
            assert_eq!(clean(&shown), clean(expected), "{line}\n{shown}");
            count += 1;
        }
    }
    assert!(count >= 15, "{count} examples");
}
