//! Golden text files: an input, a line `---`, and what a function must make of it.

use std::fs;
use std::path::Path;

const SEPARATOR: &str = "\n---\n";

/// Runs `make` on the part before `---` of every file in `folder`, in order of their names, and compares with the
/// part after it. With `BLESS=1` in the environment the files are rewritten instead.
///
/// # Panics
/// When a result differs, naming every such file with its first different line; when there is no file.
pub fn golden(folder: &Path, mut make: impl FnMut(&str) -> String) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    files.retain(|f| f.is_file());
    files.sort();
    assert!(!files.is_empty(), "no golden files in {}", folder.display());
    let bless = std::env::var_os("BLESS").is_some_and(|v| v == "1");
    let mut failures = vec![];
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let (input, expected) = text.split_once(SEPARATOR).unwrap_or((text.trim_end(), ""));
        let found = make(input);
        if found.trim_end() == expected.trim_end() {
            continue;
        }
        if bless {
            let text = format!("{input}{SEPARATOR}{}\n", found.trim_end());
            fs::write(&file, text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        } else {
            failures.push(format!("{}: {}", file.display(), first_difference(&found, expected)));
        }
    }
    assert!(
        failures.is_empty(),
        "{}\nif the new text is right, run again with BLESS=1 and read the diff",
        failures.join("\n")
    );
}

fn first_difference(found: &str, expected: &str) -> String {
    let (mut found, mut expected) = (found.lines(), expected.lines());
    let mut line = 1;
    loop {
        match (found.next(), expected.next()) {
            (Some(f), Some(e)) if f == e => line += 1,
            (f, e) => {
                let show = |l: Option<&str>| l.unwrap_or("(end)").to_string();
                let (f, e) = (show(f), show(e));
                return format!("line {line}\n  found    {f}\n  expected {e}");
            }
        }
    }
}
