//! Help texts: every command has one with examples, and the examples run.

use crate::run;

const COMMANDS: [&str; 8] =
    ["diff", "eval", "simplify", "print", "dot", "picture", "explain", "check"];

/// The examples of a help text: lines that begin with the command.
fn examples(help: &str) -> Vec<String> {
    let joined = help.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim);
    lines.filter(|l| l.starts_with("eggrad ")).map(str::to_string).collect()
}

#[test]
fn every_command_has_a_help_text_with_examples() {
    let all = run(&["--help"]);
    assert_eq!((all.code, all.stderr.as_str()), (0, ""));
    for command in COMMANDS {
        assert!(all.stdout.contains(&format!("\n  {command} ")), "{command}");
        let own = run(&[command, "--help"]);
        assert_eq!(own.code, 0);
        assert!(!examples(&own.stdout).is_empty(), "{command} has no example");
        for line in own.stdout.lines() {
            assert!(line.chars().count() <= 160, "{line}");
        }
    }
}

#[test]
fn examples_with_an_answer_give_it() {
    let mut count = 0;
    for command in COMMANDS {
        for example in examples(&run(&[command, "--help"]).stdout) {
            let (call, rest) = match example.rsplit_once("  ") {
                Some((call, answer)) if !call.trim_end().is_empty() => (call, Some(answer.trim())),
                _ => (example.as_str(), None),
            };
            let formula = matches!(command, "diff" | "simplify").then_some(()).and(rest);
            let Some(answer) = formula.filter(|a| !a.contains(' ') || a.contains('+')) else {
                continue;
            };
            let words = crate::page::words(call);
            let words: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
            let output = run(&words);
            assert_eq!(output.stdout.lines().next(), Some(answer), "{call}: {}", output.stderr);
            count += 1;
        }
    }
    assert!(count >= 3, "{count} examples have answers");
}
