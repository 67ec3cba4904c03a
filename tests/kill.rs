//! A process is killed again and again while it saves; what it leaves always loads and is of one save.
//!
//! The test starts itself: called with a folder, it saves there until somebody kills it.

use eggrad::prelude::*;
use libtest_mimic::{Arguments, Failed, Trial};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the process is killed.
const KILLS: u64 = 200;

/// Tells the process that it is the one to be killed.
const FOLDER: &str = "EGGRAD_TEST_SAVES_TO";

struct Paths {
    store: PathBuf,
    model: PathBuf,
}

impl Paths {
    fn of(folder: &Path) -> Paths {
        Paths { store: folder.join("store.safetensors"), model: folder.join("model.json") }
    }

    fn save(&self, store: &mut Store, number: u64) -> Result<(), Error> {
        mark(store, number);
        store.save(&self.store, Saved::All)?;
        let training = Some(Position { batch: number, ..Position::default() });
        let model = serde_json::json!({ "saved": number });
        Checkpoint { model, training }.save(&self.model, store, Saved::All)
    }

    /// Numbers of the saves that both files are of.
    fn load(&self) -> Result<(u64, u64), Failed> {
        let alone = number(&Store::load(&self.store)?)?;
        let (checkpoint, store) = Checkpoint::load(&self.model)?;
        let both = number(&store)?;
        let said = checkpoint.training.map(|t| t.batch);
        if said != Some(both) || checkpoint.model["saved"] != both {
            return Err(format!("the description is of {said:?}, the weights of {both}").into());
        }
        Ok((alone, both))
    }
}

/// Writes the number of a save over every number of the store.
fn mark(store: &mut Store, number: u64) {
    let names: Vec<String> = store.states().map(|s| s.0.to_string()).collect();
    for name in names {
        match store.get_mut(&name) {
            Some(ArrayMut::F32(list)) => list.fill(number as f32),
            Some(ArrayMut::I32(list)) => list.fill(number as i32),
            _ => unreachable!("the model has numbers of 32 bits alone"),
        }
    }
}

/// The number of the save a store is of, if all of it is of one.
fn number(store: &Store) -> Result<u64, Failed> {
    let mut numbers: Vec<u64> = vec![];
    for (name, _, _) in store.states() {
        match store.get(name) {
            Some(ArrayRef::F32(list)) => numbers.extend(list.iter().map(|&v| v as u64)),
            Some(ArrayRef::I32(list)) => numbers.extend(list.iter().map(|&v| v as u64)),
            other => return Err(format!("{name} is {other:?}").into()),
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    match numbers[..] {
        [one] => Ok(one),
        _ => Err(format!("the states are of the saves {numbers:?}").into()),
    }
}

/// Weights of some hundred thousand bytes, with the memory of an optimizer.
fn store() -> Result<Store, Error> {
    let g = Graph::new();
    let hidden = dense("hidden", g.input("x", [2, 64]), 256).tanh();
    let loss = dense("out", hidden, 8).square().mean();
    g.output("loss", loss);
    Adam::new(0.01).minimize(loss);
    let program = Arc::new(Program::compile(&g, &Options::default())?);
    let mut store = Store::new(0);
    Session::new(&program, &mut store)?;
    Ok(store)
}

/// Saves until the process is killed; says once that it has begun.
fn save_on(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let paths = Paths::of(folder);
    let (_, mut store) = Checkpoint::load(&paths.model)?;
    let mut next = number(&store).map_err(|_| "a store of two saves")? + 1;
    println!("begun");
    std::io::stdout().flush()?;
    // The test kills it within milliseconds; if the test died, it ends by itself.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        paths.save(&mut store, next)?;
        next += 1;
    }
    Ok(())
}

fn kills() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let paths = Paths::of(folder.path());
    let mut store = store()?;
    paths.save(&mut store, 1)?;
    let start = Instant::now();
    paths.save(&mut store, 1)?;
    // From a kill at once to one after about three saves, whatever the disk.
    let range = 3 * start.elapsed().clamp(Duration::from_millis(2), Duration::from_millis(500));
    let mut last = (1, 1);
    let mut between = 0;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe()?)
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        // Equally spread, in an order that jumps about.
        std::thread::sleep(range * (kill * 83 % KILLS) as u32 / KILLS as u32);
        child.kill()?;
        let status = child.wait()?;
        if line != "begun\n" || status.success() {
            return Err(format!("the process said {line:?} and ended with {status}").into());
        }
        let now = paths
            .load()
            .map_err(|e| format!("after kill {kill}: {}", e.message().unwrap_or("no message")))?;
        if now.0 < last.0 || now.1 < last.1 || now.1 > now.0 || now.0 > now.1 + 1 {
            return Err(format!("after kill {kill}: {last:?}, then {now:?}").into());
        }
        between += u64::from(now.0 != now.1);
        // What comes next begins where the whole model is.
        last = (now.1, now.1);
    }
    // The kills did come while files were written, and files were written.
    if between < 5 || last.1 < 20 {
        return Err(format!("{between} kills came between two files of {} saves", last.1).into());
    }
    // What killed saves left is gone after one that was not.
    paths.save(&mut store, last.1 + 1)?;
    let names = std::fs::read_dir(folder.path())?.map(|e| Ok(e?.file_name()));
    let names = names.collect::<Result<Vec<_>, std::io::Error>>()?;
    if names.len() != 3 {
        return Err(format!("three files should be left, there are {names:?}").into());
    }
    println!("{KILLS} kills, {} saves, {between} kills between two files", last.1);
    Ok(())
}

fn main() -> ExitCode {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return match save_on(Path::new(&folder)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let trial = Trial::test("saves_survive_being_killed", kills);
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}
