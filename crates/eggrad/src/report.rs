//! What a compile did: sizes, rules, stages.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// One stage of the pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct StageReport {
    /// Its name, as in the pipeline and in the names of its files.
    pub name: &'static str,
    /// Wall time in microseconds.
    pub micros: f64,
}

/// What a compile did, from graph to executable.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Report {
    /// Every stage, in order.
    pub stages: Vec<StageReport>,
    /// Computing nodes (neither leaves nor moves) of the graph as written, differentiated without rewriting.
    pub nodes_before: usize,
    /// Computing nodes of the graph that was scheduled.
    pub nodes_after: usize,
    /// How often each rewrite rule united two classes; empty when rewriting is off.
    pub rules: BTreeMap<String, usize>,
    /// Weighted number of formulas that can go wrong, 4 for what may become infinite or NaN and 1 for what may lose its
    /// digits: as written, and left because they could not be replaced. `None` when rewriting is off and nothing was
    /// examined.
    pub danger: Option<(usize, usize)>,
    /// The formulas left, with the user's lines where they are known.
    pub dangers_left: Vec<String>,
    /// What else there is to say, such as that a rewritten form was not trusted.
    pub notes: Vec<String>,
    /// Kernels per run.
    pub kernels: usize,
    /// Kernels that run before the first run and when frozen states have changed.
    pub setup_kernels: usize,
    /// Bytes of the arena for intermediate values.
    pub arena_bytes: usize,
    /// Bytes of machine code.
    pub code_bytes: usize,
    /// Pictures and texts written on request, in the order of the stages.
    pub files: Vec<PathBuf>,
}

impl Report {
    /// Wall time of all stages, in milliseconds.
    pub fn compile_ms(&self) -> f64 {
        self.stages.iter().map(|s| s.micros).sum::<f64>() / 1000.0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "graph     {} nodes as written, {} as compiled",
            self.nodes_before, self.nodes_after
        )?;
        match self.danger {
            Some((before, after)) => writeln!(f, "danger    {before} as written, {after} left")?,
            None => writeln!(f, "danger    not examined")?,
        }
        for danger in &self.dangers_left {
            writeln!(f, "          {danger}")?;
        }
        for note in &self.notes {
            writeln!(f, "note      {note}")?;
        }
        let once = match self.setup_kernels {
            0 => String::new(),
            count => format!(" and {count} once"),
        };
        writeln!(
            f,
            "kernels   {}{once}, arena {:.1} KiB, machine code {:.1} KiB",
            self.kernels,
            self.arena_bytes as f64 / 1024.0,
            self.code_bytes as f64 / 1024.0
        )?;
        write!(f, "compile   {:.2} ms:", self.compile_ms())?;
        for (i, stage) in self.stages.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma} {} {:.2}", stage.name, stage.micros / 1000.0)?;
        }
        writeln!(f)?;
        if self.rules.is_empty() {
            return write!(f, "rules     none");
        }
        write!(f, "rules    ")?;
        let mut width = 9;
        for (name, count) in &self.rules {
            let item = if *count == 1 { format!(" {name}") } else { format!(" {name} x{count}") };
            if width + item.len() > 100 {
                write!(f, "\n         ")?;
                width = 9;
            }
            width += item.len();
            write!(f, "{item}")?;
        }
        Ok(())
    }
}
