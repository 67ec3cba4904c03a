//! One stage of the pipeline: runs, is timed, verified and, on request, written to files.

use crate::error::Error;
use crate::report::{Report, StageReport};
use eggrad_ir::{Cluster, Graph, to_dot, verify};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The only place of a compile that looks at the clock or writes files.
pub(crate) struct Stages {
    pub(crate) report: Report,
    dump: Option<PathBuf>,
    last: String,
}

impl Stages {
    /// Stages that write `<number>-<name>.dot` and `.txt` into `dump`, if given.
    pub(crate) fn new(dump: Option<&Path>) -> Stages {
        Stages { report: Report::default(), dump: dump.map(Path::to_path_buf), last: String::new() }
    }

    /// Runs a stage that is timed and has nothing to show.
    pub(crate) fn timed<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        let micros = start.elapsed().as_secs_f64() * 1e6;
        self.report.stages.push(StageReport { name, micros });
        result
    }

    /// Runs a stage that makes a graph, verifies it and writes it down.
    pub(crate) fn graph(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<Graph, Error>,
    ) -> Result<Graph, Error> {
        let start = Instant::now();
        let graph = work()?;
        let errors = verify(&graph);
        let micros = start.elapsed().as_secs_f64() * 1e6;
        self.report.stages.push(StageReport { name, micros });
        if !errors.is_empty() {
            let errors = eggrad_ir::TypeErrors(errors);
            panic!("internal error: stage `{name}` broke the graph\n{errors}\n{graph}");
        }
        self.show(name, &graph, &[], &graph.to_string())?;
        Ok(graph)
    }

    /// Writes `graph` with `clusters` as a picture, and `text`, when files were asked for.
    pub(crate) fn show(
        &mut self,
        name: &'static str,
        graph: &Graph,
        clusters: &[Cluster],
        text: &str,
    ) -> Result<(), Error> {
        let Some(folder) = self.dump.clone() else { return Ok(()) };
        let unchanged = self.last == text;
        let number = self.report.files.len() / 2 + 1;
        let title = if unchanged {
            format!("{number} {name} (unchanged)")
        } else {
            format!("{number} {name}")
        };
        let write = |extension: &str, content: &str| {
            let path = folder.join(format!("{number:02}-{name}.{extension}"));
            std::fs::create_dir_all(&folder)
                .and_then(|()| std::fs::write(&path, content))
                .map(|()| path.clone())
                .map_err(|source| Error::Dump { path, source })
        };
        let dot = write("dot", &to_dot(graph, &title, clusters))?;
        let txt = write("txt", text)?;
        self.report.files.extend([dot, txt]);
        self.last = text.to_string();
        Ok(())
    }
}
