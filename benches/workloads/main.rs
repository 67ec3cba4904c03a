//! Whole workloads, W1 to W10: `cargo bench --bench workloads`, or some: `-- W2 W5`.
//!
//! One line of JSON for each figure. `value` is the median of many rounds, `least` the least, in microseconds,
//! nanoseconds per element or seconds. Train steps read the batch from the caller's array and write the loss back; the
//! loss must fall first. Formulas are checked against f64. A first step is measured in a process of its own.
//!
//! With `--losses FOLDER` nothing is measured: batch, first parameters and losses of each train step are written there,
//! for other systems to start from and be compared with, as `benches/peers/compare.py` does.

mod export;
mod models;

use clap::Parser;
use eggrad::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROUNDS: usize = 15;
/// The most inputs or outputs of a workload.
const MOST: usize = 4;
/// What a round takes, about.
const ROUND: Duration = Duration::from_millis(30);

type Failure = Box<dyn std::error::Error>;

#[derive(Parser)]
struct Arguments {
    /// W1 to W10; all of them if none is named.
    workloads: Vec<String>,
    /// Threads that share a run.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Prints what each kernel takes, and its share, before each figure.
    #[arg(long)]
    kernels: bool,
    /// Writes batch, parameters and first losses of each train step to a folder instead.
    #[arg(long, value_name = "FOLDER")]
    losses: Option<PathBuf>,
    /// Measures the time to the end of the first step, here.
    #[arg(long)]
    first_step: bool,
    /// As cargo passes it.
    #[arg(long, hide = true)]
    bench: bool,
}

/// An array for an input.
enum Array {
    F32(Vec<f32>),
    I32(Vec<i32>),
}

impl Array {
    /// Its values in the other order, which do not go with those of the same noise.
    fn reversed(mut self) -> Array {
        match &mut self {
            Array::F32(values) => values.reverse(),
            Array::I32(values) => values.reverse(),
        }
        self
    }

    fn view(&self) -> ArrayRef<'_> {
        match self {
            Array::F32(values) => ArrayRef::F32(values),
            Array::I32(values) => ArrayRef::I32(values),
        }
    }
}

/// Numbers in `±scale` that look random and are the same in every run.
fn noise(count: usize, scale: f32) -> Array {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state as f32 / u32::MAX as f32 - 0.5) * 2.0 * scale
    };
    Array::F32((0..count).map(|_| next()).collect())
}

fn labels(count: usize, classes: usize) -> Array {
    Array::I32((0..count).map(|i| (i * 7 % classes) as i32).collect())
}

/// Zeros and ones.
fn targets(count: usize) -> Array {
    Array::F32((0..count).map(|i| (i % 3 % 2) as f32).collect())
}

fn causal_mask(steps: usize) -> Array {
    let at = |i: usize| if i % steps > i / steps { f32::NEG_INFINITY } else { 0.0 };
    Array::F32((0..steps * steps).map(at).collect())
}

/// A compiled graph with arrays for its inputs and outputs.
struct Running {
    session: Session,
    store: Store,
    inputs: Vec<Array>,
    outputs: Vec<Vec<f32>>,
}

impl Running {
    fn new(write: impl Fn(&Graph), inputs: Vec<Array>, threads: usize) -> Result<Running, Failure> {
        let graph = Graph::new();
        write(&graph);
        let program =
            Arc::new(Program::compile(&graph, &Options { threads, ..Options::default() })?);
        let mut store = Store::new(0);
        let session = Session::new(&program, &mut store)?;
        let slots = &program.executable().plan().outputs;
        let outputs = slots.iter().map(|slot| vec![0.0; slot.ty.shape.elements()]).collect();
        Ok(Running { session, store, inputs, outputs })
    }

    fn run(&mut self) -> Result<(), Failure> {
        // No allocation: the shortest steps take less than a microsecond.
        let (count, results) = (self.inputs.len(), self.outputs.len());
        let view = |i: usize| self.inputs.get(i).map_or(ArrayRef::F32(&[]), Array::view);
        let inputs: [ArrayRef<'_>; MOST] = std::array::from_fn(view);
        let mut rest = self.outputs.iter_mut();
        let mut outputs: [ArrayMut<'_>; MOST] =
            std::array::from_fn(|_| ArrayMut::F32(rest.next().map_or(&mut [], |o| o)));
        Ok(self.session.run(&mut self.store, &inputs[..count], &mut outputs[..results])?)
    }

    /// Prints the least time of each kernel.
    fn kernels(&mut self) -> Result<(), Failure> {
        let names: Vec<String> =
            self.session.program().executable().kernels().iter().map(|k| k.name.clone()).collect();
        let mut least = vec![Duration::MAX; names.len()];
        for _ in 0..ROUNDS {
            let mut times = vec![Duration::ZERO; names.len()];
            let inputs: Vec<ArrayRef<'_>> = self.inputs.iter().map(Array::view).collect();
            let mut outputs: Vec<ArrayMut<'_>> =
                self.outputs.iter_mut().map(|o| ArrayMut::F32(o)).collect();
            self.session.run_timed(&mut self.store, &inputs, &mut outputs, &mut times)?;
            for (best, time) in least.iter_mut().zip(times) {
                *best = time.min(*best);
            }
        }
        let sum: Duration = least.iter().sum();
        for (name, time) in names.iter().zip(least) {
            let share = 100.0 * time.as_secs_f64() / sum.as_secs_f64();
            println!("{:>12.2} us {share:>5.1} %  {name}", time.as_secs_f64() * 1e6);
        }
        Ok(())
    }

    /// The least and the median time of a run, in microseconds.
    fn time(&mut self) -> Result<(f64, f64), Failure> {
        let start = Instant::now();
        self.run()?;
        let once = start.elapsed().max(Duration::from_nanos(50));
        let runs = (ROUND.as_nanos() / once.as_nanos()).clamp(1, 100_000) as usize;
        let mut times = vec![];
        for _ in 0..ROUNDS {
            let start = Instant::now();
            for _ in 0..runs {
                self.run()?;
            }
            times.push(start.elapsed().as_secs_f64() * 1e6 / runs as f64);
        }
        times.sort_by(f64::total_cmp);
        Ok((times[0], times[ROUNDS / 2]))
    }
}

/// What is printed beside the figures.
struct Report<'a> {
    workload: &'a str,
    kernels: bool,
    threads: usize,
    losses: Option<&'a Path>,
}

impl Report<'_> {
    fn line(&self, metric: &str, (least, median): (f64, f64), unit: &str) {
        let line = serde_json::json!({
            "workload": self.workload, "system": "eggrad", "metric": metric, "value": median,
            "least": least, "unit": unit, "threads": self.threads,
        });
        println!("{line}");
    }

    /// The time of a run, which is `scale` of the unit for each microsecond.
    fn measure(
        &self,
        metric: &str,
        running: &mut Running,
        scale: f64,
        unit: &str,
    ) -> Result<(), Failure> {
        let (least, median) = running.time()?;
        if self.kernels {
            running.kernels()?;
        }
        self.line(metric, (least * scale, median * scale), unit);
        Ok(())
    }

    /// A train step with the given optimizer; its loss has to fall.
    fn train(
        &self,
        metric: &str,
        step: impl Fn(&Graph) -> Tensor<'_>,
        optimize: impl Fn(Tensor<'_>),
        inputs: Vec<Array>,
    ) -> Result<(), Failure> {
        let write = |g: &Graph| {
            let loss = step(g);
            g.output("loss", loss);
            optimize(loss);
        };
        let mut running = Running::new(write, inputs, self.threads)?;
        if let Some(folder) = self.losses {
            return export::train_step(&mut running, folder, self.workload, metric);
        }
        running.run()?;
        let first = running.outputs[0][0];
        for _ in 0..20 {
            running.run()?;
        }
        let loss = running.outputs[0][0];
        if loss.partial_cmp(&first) != Some(std::cmp::Ordering::Less) {
            return Err(format!("{}: the loss went from {first} to {loss}", self.workload).into());
        }
        self.measure(metric, &mut running, 1.0, "us")
    }

    fn adam(
        &self,
        metric: &str,
        step: impl Fn(&Graph) -> Tensor<'_>,
        inputs: Vec<Array>,
    ) -> Result<(), Failure> {
        self.train(metric, step, |loss| Adam::new(1e-3).minimize(loss), inputs)
    }

    fn infer(
        &self,
        metric: &str,
        write: impl Fn(&Graph),
        inputs: Vec<Array>,
    ) -> Result<(), Failure> {
        if self.losses.is_some() {
            return Ok(());
        }
        let frozen = |g: &Graph| {
            write(g);
            g.freeze();
        };
        self.measure(metric, &mut Running::new(frozen, inputs, self.threads)?, 1.0, "us")
    }

    /// Formulas; `check` is given inputs and outputs.
    fn formula(
        &self,
        metric: &str,
        unit: &str,
        per: usize,
        write: impl Fn(&Graph),
        inputs: Vec<Array>,
        check: impl Fn(&[Array], &[Vec<f32>]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.losses.is_some() {
            return Ok(());
        }
        let mut running = Running::new(write, inputs, self.threads)?;
        running.run()?;
        check(&running.inputs, &running.outputs)?;
        let scale = if unit == "us" { 1.0 } else { 1e3 / per as f64 };
        self.measure(metric, &mut running, scale, unit)
    }

    /// The time from the start of a process to the end of its first train step.
    fn first_step(&self, metric: &str) -> Result<(), Failure> {
        if self.losses.is_some() {
            return Ok(());
        }
        let mut seconds = vec![];
        for _ in 0..7 {
            let mut command = std::process::Command::new(std::env::current_exe()?);
            let output = command.args([self.workload, "--first-step"]).output()?;
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into());
            }
            seconds.push(String::from_utf8(output.stdout)?.trim().parse::<f64>()?);
        }
        seconds.sort_by(f64::total_cmp);
        self.line(metric, (seconds[0], seconds[3]), "s");
        Ok(())
    }
}

/// Fails unless `got` is `expected` within `relative` of the largest.
fn close(name: &str, got: &[f32], expected: impl Iterator<Item = f64>) -> Result<(), Failure> {
    let expected: Vec<f64> = expected.collect();
    let scale = expected.iter().fold(0.0f64, |a, b| a.max(b.abs()));
    let wrong = |(i, (g, e)): (usize, (&f32, &f64))| {
        let far = (f64::from(*g) - e).abs();
        let bad = far.is_nan() || far > 1e-5 * scale;
        bad.then(|| format!("{name}: element {i} is {g} instead of {e}"))
    };
    match got.iter().zip(&expected).enumerate().find_map(wrong) {
        Some(message) => Err(message.into()),
        None if got.len() == expected.len() => Ok(()),
        None => Err(format!("{name}: {} elements", got.len()).into()),
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn values(array: &Array) -> Vec<f64> {
    match array {
        Array::F32(values) => values.iter().map(|&v| f64::from(v)).collect(),
        Array::I32(values) => values.iter().map(|&v| f64::from(v)).collect(),
    }
}

/// Rows of features, and their labels.
fn batch(rows: usize, inputs: usize, classes: usize) -> Vec<Array> {
    vec![noise(rows * inputs, 1.0), labels(rows, classes)]
}

const W2: [usize; 3] = [25, 15, 10];

fn measure(report: &Report<'_>) -> Result<(), Failure> {
    match report.workload {
        "W1" => {
            let inputs = vec![noise(64, 1.0), targets(32)];
            report.adam("train_step_us", |g| models::coffee(g, 32), inputs)?;
            report.infer("infer_b1_us", models::coffee_predict, vec![noise(2, 1.0)])
        }
        "W2" => {
            for rows in [32, 128] {
                let metric = format!("train_step_b{rows}_us");
                let inputs = batch(rows, 64, 10);
                report.adam(&metric, |g| models::classifier(g, rows, 64, &W2), inputs)?;
            }
            for rows in [1, 1797] {
                let write = |g: &Graph| models::classify(g, rows, 64, &W2);
                report.infer(&format!("infer_b{rows}_us"), write, vec![noise(rows * 64, 1.0)])?;
            }
            report.first_step("first_step_b32_s")
        }
        "W3" => {
            let (units, inputs) = ([512, 256, 10], batch(128, 784, 10));
            report.adam("train_step_us", |g| models::classifier(g, 128, 784, &units), inputs)
        }
        "W4" => {
            let (units, inputs) = ([2048, 2048, 1000], || batch(256, 1024, 1000));
            let descent = |loss: Tensor<'_>| Sgd::new(1e-2).minimize(loss);
            let metric = "train_step_sgd_us";
            let step = models::classifier;
            report.train(metric, |g| step(g, 256, 1024, &units), descent, inputs())?;
            report.adam("train_step_adam_us", |g| step(g, 256, 1024, &units), inputs())
        }
        "W5" => {
            let inputs = vec![noise(64 * 28 * 28, 1.0), labels(64, 10)];
            report.adam("train_step_us", |g| models::cnn(g, 64), inputs)?;
            report.infer("infer_b1_us", models::cnn_predict, vec![noise(28 * 28, 1.0)])?;
            report.first_step("first_step_b64_s")
        }
        "W6" => {
            let inputs = vec![noise(3200, 1.0), targets(32)];
            report.adam("train_step_us", |g| models::ecg(g, 32), inputs)?;
            report.infer("infer_b1_us", models::ecg_predict, vec![noise(100, 1.0)])
        }
        "W7" => formulas(report),
        "W8" => {
            let inputs = vec![labels(512, 65), causal_mask(64), labels(512, 65)];
            report.adam("train_step_us", |g| models::gpt(g, 8), inputs)?;
            report.first_step("first_step_b8_s")
        }
        "W9" => {
            let inputs = vec![noise(50 * 32 * 32, 1.0), labels(32, 10)];
            report.adam("train_step_us", |g| models::lstm(g, 32), inputs)
        }
        "W10" => {
            let check = |inputs: &[Array], outputs: &[Vec<f32>]| {
                let derivative = |w: f64| {
                    let s = sigmoid(w);
                    let (sin, cos) = w.sin_cos();
                    s * (3.0 * w * w * sin + w * w * w * cos + w * w * w * sin * (1.0 - s))
                };
                close("W10", &outputs[0], values(&inputs[0]).into_iter().map(derivative))
            };
            let (points, unit) = (1_000_000, "ns/point");
            let write = |g: &Graph| models::derivative(g, points);
            report.formula("deriv_1e6", unit, points, write, vec![noise(points, 5.0)], check)
        }
        name => Err(format!("there is no workload {name}; there are W1 to W10").into()),
    }
}

/// W7.
fn formulas(report: &Report<'_>) -> Result<(), Failure> {
    for (size, elements) in [("64k", 1 << 16), ("16M", 1 << 24)] {
        let chain = |x: f64| x.tanh() * sigmoid(x) + (-x.abs()).exp().ln_1p();
        let slope = |x: f64| {
            let (t, s, e) = (x.tanh(), sigmoid(x), (-x.abs()).exp());
            // The slope of |x| at 0 is 0.
            let sign = if x == 0.0 { 0.0 } else { x.signum() };
            (1.0 - t * t) * s + t * s * (1.0 - s) - sign * e / (1.0 + e)
        };
        let metric = format!("chain_fwd_{size}");
        let write = |g: &Graph| models::chain_forward(g, elements);
        let check = |inputs: &[Array], outputs: &[Vec<f32>]| {
            close("W7", &outputs[0], values(&inputs[0]).into_iter().map(chain))
        };
        report.formula(&metric, "ns/elem", elements, write, vec![noise(elements, 5.0)], check)?;
        let metric = format!("chain_fwdbwd_{size}");
        let write = |g: &Graph| models::chain_gradient(g, elements);
        let check = |inputs: &[Array], outputs: &[Vec<f32>]| {
            close("W7", &outputs[1], values(&inputs[0]).into_iter().map(slope))
        };
        report.formula(&metric, "ns/elem", elements, write, vec![noise(elements, 5.0)], check)?;
    }
    let write = |g: &Graph| models::softmax_cross_entropy(g, 1024, 1000);
    let inputs = vec![noise(1024 * 1000, 5.0), labels(1024, 1000)];
    let check = |inputs: &[Array], outputs: &[Vec<f32>]| {
        let (z, labels) = (values(&inputs[0]), values(&inputs[1]));
        let mut expected = vec![];
        for (row, &label) in z.chunks(1000).zip(&labels) {
            let sum: f64 = row.iter().map(|z| z.exp()).sum();
            let p = row.iter().map(|z| z.exp() / sum);
            expected
                .extend(p.enumerate().map(|(i, p)| (p - f64::from(i as f64 == label)) / 1024.0));
        }
        close("cross-entropy", &outputs[1], expected.into_iter())
    };
    report.formula("softmax_ce_naive_fwdbwd_us", "us", 1, write, inputs, check)?;
    let write = |g: &Graph| models::layer_norm(g, 1024, 1024);
    let inputs = vec![noise(1 << 20, 2.0), noise(1 << 20, 1.0).reversed()];
    let check = |inputs: &[Array], outputs: &[Vec<f32>]| {
        let (x, dy) = (values(&inputs[0]), values(&inputs[1]));
        let (mut expected, mut slopes) = (vec![], vec![]);
        for (row, dy) in x.chunks(1024).zip(dy.chunks(1024)) {
            let mean = |of: &dyn Fn(usize) -> f64| (0..1024).map(of).sum::<f64>() / 1024.0;
            let centre = mean(&|i| row[i]);
            let variance = mean(&|i| (row[i] - centre) * (row[i] - centre));
            let deviation = (variance + 1e-5).sqrt();
            let y: Vec<f64> = row.iter().map(|x| (x - centre) / deviation).collect();
            // Gain and bias are as they begin, 1 and 0.
            let (dy_mean, along) = (mean(&|i| dy[i]), mean(&|i| dy[i] * y[i]));
            slopes.extend((0..1024).map(|i| (dy[i] - dy_mean - y[i] * along) / deviation));
            expected.extend(y);
        }
        close("layer norm", &outputs[0], expected.into_iter())?;
        close("gradient of layer norm", &outputs[1], slopes.into_iter())
    };
    report.formula("layernorm_naive_fwdbwd_us", "us", 1, write, inputs, check)?;
    let write = |g: &Graph| models::gelu(g, 1 << 20);
    let check = |inputs: &[Array], outputs: &[Vec<f32>]| {
        let slope = |x: f64| {
            let scale = (2.0 / std::f64::consts::PI).sqrt();
            let t = (scale * (x + 0.044715 * x * x * x)).tanh();
            0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * scale * (1.0 + 3.0 * 0.044715 * x * x)
        };
        close("gelu", &outputs[1], values(&inputs[0]).into_iter().map(slope))
    };
    report.formula("gelu_tanh_naive_fwdbwd_1M_us", "us", 1, write, vec![noise(1 << 20, 4.0)], check)
}

/// Writes, compiles and runs the train step of a workload, and prints the seconds since `start`.
fn first_step(workload: &str, start: Instant) -> Result<(), Failure> {
    type Step = fn(&Graph) -> Tensor<'_>;
    let (step, inputs): (Step, Vec<Array>) = match workload {
        "W2" => (|g| models::classifier(g, 32, 64, &W2), vec![noise(32 * 64, 1.0), labels(32, 10)]),
        "W5" => (|g| models::cnn(g, 64), vec![noise(64 * 28 * 28, 1.0), labels(64, 10)]),
        "W8" => (|g| models::gpt(g, 8), vec![labels(512, 65), causal_mask(64), labels(512, 65)]),
        name => return Err(format!("the first step of {name} is not measured").into()),
    };
    let write = |g: &Graph| {
        let loss = step(g);
        g.output("loss", loss);
        Adam::new(1e-3).minimize(loss);
    };
    Running::new(write, inputs, 1)?.run()?;
    println!("{}", start.elapsed().as_secs_f64());
    Ok(())
}

fn main() -> Result<(), Failure> {
    let start = Instant::now();
    let arguments = Arguments::parse();
    let names = match arguments.workloads.is_empty() {
        true => (1..=10).map(|i| format!("W{i}")).collect(),
        false => arguments.workloads,
    };
    for workload in &names {
        if arguments.first_step {
            first_step(workload, start)?;
        } else {
            let (kernels, threads) = (arguments.kernels, arguments.threads);
            let losses = arguments.losses.as_deref();
            measure(&Report { workload, kernels, threads, losses })?;
        }
    }
    Ok(())
}
