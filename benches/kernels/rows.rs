//! Rows: cross-entropy with its gradient, and layer norm.

use crate::elementwise::same;
use crate::hand::Hand;
use crate::ours::{Ours, labels, noise};
use crate::timing::{contender, race};
use crate::{Bench, Failure, Sense, models, us};
use eggrad::jit::{Aligned, Isa};
use eggrad::prelude::*;

/// All gates of this file.
pub(crate) fn gates(bench: &mut Bench, widest: Hand) {
    for (isa, bound) in [(Isa::Avx512, 1.25), (Isa::Clif, 3.5)] {
        let measured = cross_entropy(bench, isa, bound);
        bench.attempt(measured);
    }
    let measured = layer_norm(bench, widest);
    bench.attempt(measured);
}

fn cross_entropy(bench: &mut Bench, isa: Isa, bound: f64) -> Result<(), Failure> {
    let name = "cross-entropy of 128x1000, time of by hand";
    let (Some(hand), true) = (Hand::against(isa), bench.wants(name, isa)) else {
        return Ok(());
    };
    let (rows, classes) = (128, 1000);
    let (z, labels) = (noise(rows * classes, 5.0), labels(rows, classes));
    let inputs = [Aligned::from_slice(&z), Aligned::from_slice(&labels)];
    let write = |g: &Graph| models::softmax_cross_entropy(g, rows, classes);
    let mut ours: Ours<2, 2> = Ours::new(isa, 1, inputs, write)?;
    let mut dz = vec![0.0; rows * classes];
    ours.run();
    let loss = hand.cross_entropy(&z, &labels, &mut dz);
    same("cross-entropy", ours.output(0), &[loss], 64.0)?;
    let scaled = |dz: &[f32]| dz.iter().map(|d| d * rows as f32).collect::<Vec<f32>>();
    same("gradient of cross-entropy", &scaled(ours.output(1)), &scaled(&dz), 8.0)?;
    let times = race(
        bench.rounds,
        vec![contender(|| ours.run()), contender(|| hand.cross_entropy(&z, &labels, &mut dz))],
    );
    let detail =
        format!("{}, by hand {} of {} lanes", us(times[0].least), us(times[1].least), hand.lanes());
    bench.gate(name, isa, Sense::Max, times[0].least / times[1].least, bound, &detail);
    Ok(())
}

/// The value of a weighted sum of a layer norm, and all gradients, against reading `x` and `dy` and writing `dx`.
fn layer_norm(bench: &mut Bench, hand: Hand) -> Result<(), Failure> {
    let name = "layer norm of 1024x1024, time of memory";
    let isa = bench.widest();
    if isa == Isa::Clif || !bench.wants(name, isa) {
        return Ok(());
    }
    let (rows, width) = (1024, 1024);
    let x = noise(rows * width, 2.0);
    let dy: Vec<f32> = noise(rows * width, 1.0).into_iter().rev().collect();
    let inputs = [Aligned::from_slice(&x), Aligned::from_slice(&dy)];
    let mut ours: Ours<2, 4> = Ours::new(isa, 1, inputs, |g| layer_norm_gradients(g, rows, width))?;
    let mut dx = vec![0.0; rows * width];
    ours.run();
    let bias: Vec<f32> =
        (0..width).map(|c| dy.iter().skip(c).step_by(width).sum::<f32>()).collect();
    same("gradient of layer norm's bias", ours.output(3), &bias, 4096.0)?;
    let times = race(
        bench.rounds,
        vec![contender(|| ours.run()), contender(|| hand.add(&x, &dy, &mut dx))],
    );
    let detail = format!("{}, memory {}", us(times[0].least), us(times[1].least));
    bench.gate(name, isa, Sense::Max, times[0].least / times[1].least, 1.6, &detail);
    Ok(())
}

fn layer_norm_gradients(g: &Graph, rows: usize, width: usize) {
    let (x, dy) = (g.input("x", [rows, width]), g.input("dy", [rows, width]));
    let loss = (models::normalised("norm", x) * dy).sum([0, 1]);
    g.output("loss", loss);
    g.output("dx", loss.grad(x));
    for param in g.params() {
        let name = g.state_name(param).expect("a name");
        g.output(&format!("d_{name}"), loss.grad(param));
    }
}
