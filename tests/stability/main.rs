//! The cases of `tests/cases/stability*.json`, or of the file that `EGGRAD_STABILITY` names: formulas written naively,
//! compiled with default options, against values of high precision.
//!
//! Each case is a test of its own name; `case::wrapper` puts something between its parts that changes no value. An unknown field, kind, category or function is a failure.

mod case;
mod check;
mod rows;
mod whole;
mod wrappers;

use case::{Case, Category};
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use wrappers::Wrapper;

/// Pairs of a case and a wrapper that can stand in it are at least so many.
const WRAPPED: usize = 2000;

/// Of the formulas that are to be stabilised, so many in ten fail the check without rewriting.
const NAIVE_FAILURES: usize = 9;

/// Where the cases are, and whether they stand in every wrapper: every file of `tests/cases` whose name begins with
/// `stability`, of which the first in every wrapper and others in those that their cases name, or the one that is
/// named.
fn files() -> Result<Vec<(PathBuf, bool)>, String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    if let Some(path) = std::env::var_os("EGGRAD_STABILITY") {
        return Ok(vec![(root.join(path), true)]);
    }
    let folder = root.join("tests/cases");
    let entries = std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut names = vec![];
    for entry in entries {
        let name = entry.map_err(|e| e.to_string())?.file_name();
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("stability") && name.ends_with(".json") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names.iter().map(|n| (folder.join(n), n == "stability.json")).collect())
}

/// All cases, and how many of them stand in every wrapper: these come first.
fn cases() -> Result<(Vec<Arc<Case>>, usize), String> {
    let (mut all, mut in_wrappers): (Vec<Arc<Case>>, usize) = (vec![], 0);
    let mut files = files()?;
    files.sort_by_key(|f| !f.1);
    for (path, wrapped) in files {
        let text =
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let cases = case::read(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        if cases.is_empty() {
            return Err(format!("{}: no cases", path.display()));
        }
        if let Some(case) = cases.iter().find(|c| all.iter().any(|a| a.name == c.name)) {
            return Err(format!("{}: another file has a case `{}`", path.display(), case.name));
        }
        in_wrappers += if wrapped { cases.len() } else { 0 };
        all.extend(cases.into_iter().map(Arc::new));
    }
    match all.is_empty() {
        true => Err("no files of cases".into()),
        false => Ok((all, in_wrappers)),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let (cases, in_wrappers) = match cases() {
        Ok(cases) => cases,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials: Vec<Trial> = vec![];
    for case in &cases {
        let own = case.clone();
        trials
            .push(Trial::test(case.name.clone(), move || check::check(&own).map_err(Failed::from)));
        let own = case.clone();
        let name = format!("{}::is_explained", case.name);
        trials.push(Trial::test(name, move || check::explained(&own).map_err(Failed::from)));
        let own = case.clone();
        let name = format!("{}::a_wrong_value_fails", case.name);
        trials.push(Trial::test(name, move || check::can_fail(&own).map_err(Failed::from)));
    }
    let mut wrapped: Vec<(Arc<Case>, Wrapper)> = vec![];
    for (i, case) in cases.iter().enumerate() {
        let unknown = |name: &&String| Wrapper::ALL.iter().all(|w| w.1 != name.as_str());
        if let Some(name) = case.wrappers.iter().find(unknown) {
            eprintln!("error: case `{}`: unknown wrapper `{name}`", case.name);
            return ExitCode::FAILURE;
        }
        for (wrapper, name) in Wrapper::ALL {
            let named = case.wrappers.iter().any(|n| n == name);
            if !(i < in_wrappers || named) || !wrappers::applies(case, wrapper) {
                continue;
            }
            wrapped.push((case.clone(), wrapper));
            let own = case.clone();
            let check = move || wrappers::check(&own, wrapper).map_err(Failed::from);
            trials.push(Trial::test(format!("{}::{name}", case.name), check));
        }
    }
    let all_of_them = std::env::var_os("EGGRAD_STABILITY").is_none();
    trials.push(Trial::test("wrapped_naive_formulas_fail", move || {
        let naive = wrapped.iter().filter(|w| w.0.category == Category::Stabilise);
        let fails = |w: &(Arc<Case>, Wrapper)| wrappers::fails_as_written(&w.0, w.1);
        let failed: Vec<bool> = naive.map(fails).collect::<Result<_, _>>()?;
        let (count, all) = (failed.iter().filter(|f| **f).count(), failed.len());
        match all_of_them && (wrapped.len() < WRAPPED || count * 10 < all * NAIVE_FAILURES) {
            true => Err(format!("{} wrapped, {count} of {all} fail", wrapped.len()).into()),
            false => Ok(()),
        }
    }));
    let all = cases.clone();
    trials.push(Trial::test("naive_formulas_fail", move || {
        let naive = all.iter().filter(|c| c.category == Category::Stabilise);
        let failed: Vec<bool> = naive.map(|c| check::check_as_written(c).is_err()).collect();
        let (count, all) = (failed.iter().filter(|f| **f).count(), failed.len());
        match count * 10 >= all * NAIVE_FAILURES {
            true => Ok(()),
            false => Err(format!("only {count} of {all} fail without rewriting").into()),
        }
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}
