//! Numbers that others computed: activations, losses, networks with their gradients and steps of training, layers and
//! second derivatives in high precision, and the worked numbers of a course.
//!
//! The cases are the files of `tests/cases/numerics`, others of the same kinds in `tests/cases/numerics_more`, and
//! `tests/cases/course_examples.json`; or those of the folder that `EGGRAD_CASES` names: it holds them, or a folder
//! `numerics` and `course_examples.json`; without a course of its own, the one beside it or the project's is taken.
//! Each case is run in f64 and f32, compiled and interpreted. What is not understood in a file is a failure, and so is
//! a number that was changed: each case is tried with expected numbers changed, one at a time.

mod case;
mod course;
mod drills;
mod engine;
mod functions;
mod hessian;
mod json;
mod judge;
mod layers;
mod names;
mod net;
mod op;
mod structure;
mod wrong;

use course::Course;
use engine::{Engine, Way};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// The folders of case files and the file of the course.
fn places() -> Result<(Vec<PathBuf>, PathBuf), String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let own = root.join("tests/cases");
    let course = "course_examples.json";
    let Some(path) = std::env::var_os("EGGRAD_CASES") else {
        return Ok((vec![own.join("numerics"), own.join("numerics_more")], own.join(course)));
    };
    let folder = root.join(path);
    if !folder.is_dir() {
        return Err(format!("{} is no folder", folder.display()));
    }
    let files = match folder.join("numerics") {
        inner if inner.is_dir() => inner,
        _ => folder.clone(),
    };
    let beside = [folder.join(course), folder.join("..").join(course), own.join(course)];
    let found = beside.into_iter().find(|path| path.is_file());
    Ok((vec![files], found.ok_or("no course")?))
}

/// The case files of `folder` with their names, in order; the index is for people.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut files = vec![];
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(name) = name.strip_suffix(".json")
            && !["INDEX", "course_examples"].contains(&name)
        {
            files.push((name.to_string(), path));
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(format!("{}: no cases", folder.display())),
        false => Ok(files),
    }
}

/// What a case file called `name` gives to test.
fn numeric(name: &str, path: &Path) -> Result<Vec<Trial>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let value: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let parts: Vec<Arc<case::Part>> =
        case::parts(name, &value)?.into_iter().map(Arc::new).collect();
    let mut trials = vec![];
    for part in &parts {
        let begin = [name, &part.name].into_iter().filter(|n| !n.is_empty());
        let begin = begin.collect::<Vec<&str>>().join("::");
        for way in Way::ALL {
            let own = Arc::clone(part);
            let check = move || {
                let found = (own.compute)(way)?;
                judge::judge(&own.expected, &found, way.dtype).map_err(Failed::from)
            };
            trials.push(Trial::test(format!("{begin}::{}", way.name()), check));
        }
    }
    let file = name.to_string();
    let check = move || wrong::numeric(&file, &value, &parts).map_err(Failed::from);
    trials.push(Trial::test(format!("{name}::a_changed_number_fails"), check));
    Ok(trials)
}

/// What the course gives to test.
fn course(path: &Path) -> Result<Vec<Trial>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let course = course::read(&text)?;
    let mut trials = vec![];
    for (i, case) in course.cases.iter().enumerate() {
        for engine in [Engine::Interpreted, Engine::Compiled] {
            if structure::runs_nothing(&case.kind, engine) {
                continue;
            }
            let own = Arc::clone(&course);
            let check = move || {
                let case = &own.cases[i];
                let found = course::compute(&own, case, engine)?;
                case.judge(&found).map_err(Failed::from)
            };
            let engine = match engine {
                Engine::Interpreted => "interpreted",
                Engine::Compiled => "compiled",
            };
            trials.push(Trial::test(format!("course::{}::{engine}", case.id), check));
        }
        let own: Arc<Course> = Arc::clone(&course);
        let text = text.clone();
        let check = move || wrong::course(&text, &own, i).map_err(Failed::from);
        trials.push(Trial::test(format!("course::{}::a_changed_number_fails", case.id), check));
    }
    Ok(trials)
}

/// All trials; a file that is not understood is one that fails.
fn trials() -> Result<Vec<Trial>, String> {
    let (folders, file) = places()?;
    let mut trials = vec![];
    let mut add = |name: String, path: &Path, made: Result<Vec<Trial>, String>| match made {
        Ok(made) => trials.extend(made),
        Err(error) => {
            let message = format!("{}: {error}", path.display());
            trials.push(Trial::test(name, move || Err(Failed::from(message))));
        }
    };
    let mut names = vec![];
    for folder in folders {
        for (name, path) in files(&folder)? {
            let made = match names.contains(&name) {
                true => Err("another file has this name".to_string()),
                false => numeric(&name, &path),
            };
            names.push(name.clone());
            add(name, &path, made);
        }
    }
    add("course".into(), &file, course(&file));
    Ok(trials)
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match trials() {
        Ok(mut trials) => {
            trials.extend(wrong::unknown());
            libtest_mimic::run(&arguments, trials).exit_code()
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
