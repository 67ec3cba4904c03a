//! One long row: a fused chain of functions, and a stream.

use crate::hand::{Hand, chain_libm};
use crate::ours::{Ours, noise};
use crate::timing::{contender, race};
use crate::{Bench, Failure, Sense, models, us};
use eggrad::jit::{Aligned, Isa};

const ELEMENTS: usize = 1 << 16;
/// The C library is slow; its time for an element does not depend on how many there are.
const LIBM_ELEMENTS: usize = 1 << 12;
const STREAM: usize = 1 << 24;

/// All gates of this file.
pub(crate) fn gates(bench: &mut Bench, widest: Hand) {
    for (isa, hand_bound, libm_bound) in
        [(Isa::Avx512, 1.10, Some(16.0)), (Isa::Avx2, 1.15, None), (Isa::Clif, 4.0, Some(6.0))]
    {
        let measured = chain(bench, isa, hand_bound, libm_bound);
        bench.attempt(measured);
        let measured = denormals(bench, isa);
        bench.attempt(measured);
    }
    let measured = stream(bench, widest);
    bench.attempt(measured);
}

fn compiled(isa: Isa, x: &[f32]) -> Result<Ours<1, 1>, Failure> {
    Ours::new(isa, 1, [Aligned::from_slice(x)], |g| models::chain_forward(g, x.len()))
}

fn chain(
    bench: &mut Bench,
    isa: Isa,
    hand_bound: f64,
    libm_bound: Option<f64>,
) -> Result<(), Failure> {
    let (by_hand, by_libm) = ("chain of 64k, time of by hand", "chain of 64k, libm's time of ours");
    let (Some(hand), true) =
        (Hand::against(isa), bench.wants(by_hand, isa) || bench.wants(by_libm, isa))
    else {
        return Ok(());
    };
    let x = noise(ELEMENTS, 5.0);
    let mut ours = compiled(isa, &x)?;
    let (mut one, mut two) = (vec![0.0; ELEMENTS], vec![0.0; ELEMENTS]);
    let mut libm = vec![0.0; LIBM_ELEMENTS];
    ours.run();
    hand.chain1(&x, &mut one);
    hand.chain2(&x, &mut two);
    chain_libm(&x[..LIBM_ELEMENTS], &mut libm);
    assert!(one == two, "the two hand-written loops differ");
    same("chain", ours.output(0), &one, 4.0)?;
    same("chain with libm", &ours.output(0)[..LIBM_ELEMENTS], &libm, 16.0)?;
    let times = race(
        bench.rounds,
        vec![
            contender(|| ours.run()),
            contender(|| hand.chain1(&x, &mut one)),
            contender(|| hand.chain2(&x, &mut two)),
            contender(|| chain_libm(&x[..LIBM_ELEMENTS], &mut libm)),
        ],
    );
    let ours = times[0].least;
    let by_hand_time = times[1].least.min(times[2].least);
    if bench.wants(by_hand, isa) {
        let detail =
            format!("{}, by hand {} of {} lanes", us(ours), us(by_hand_time), hand.lanes());
        bench.gate(by_hand, isa, Sense::Max, ours / by_hand_time, hand_bound, &detail);
    }
    if let Some(bound) = libm_bound.filter(|_| bench.wants(by_libm, isa)) {
        let libm_time = times[3].least * (ELEMENTS / LIBM_ELEMENTS) as f64;
        let detail = format!("{}, libm {}", us(ours), us(libm_time));
        bench.gate(by_libm, isa, Sense::Min, libm_time / ours, bound, &detail);
    }
    Ok(())
}

/// Denormal operands cost no more than others.
fn denormals(bench: &mut Bench, isa: Isa) -> Result<(), Failure> {
    let name = "chain of denormals, time of normals";
    if !bench.wants(name, isa) {
        return Ok(());
    }
    let normal = noise(ELEMENTS, 5.0);
    let small: Vec<f32> = normal.iter().map(|x| x * 1e-39).collect();
    assert!(small.iter().any(|x| x.is_subnormal()), "no denormals");
    let (mut normal, mut denormal) = (compiled(isa, &normal)?, compiled(isa, &small)?);
    let times = race(bench.rounds, vec![contender(|| denormal.run()), contender(|| normal.run())]);
    let detail = format!("{} and {}", us(times[0].least), us(times[1].least));
    bench.gate(name, isa, Sense::Max, times[0].least / times[1].least, 1.1, &detail);
    Ok(())
}

fn stream(bench: &mut Bench, widest: Hand) -> Result<(), Failure> {
    let name = "a*x+b of 16M, time of a plain loop";
    let isa = bench.widest();
    if !bench.wants(name, isa) {
        return Ok(());
    }
    let x = noise(STREAM, 5.0);
    let mut out = vec![0.0; STREAM];
    let mut ours: Ours<1, 1> = Ours::new(isa, 1, [Aligned::from_slice(&x)], |g| {
        g.output("y", g.input("x", [STREAM]) * 1.5 + 0.25);
    })?;
    let hand = Hand::against(isa).unwrap_or(widest);
    ours.run();
    hand.scale_and_shift(&x, &mut out);
    same("stream", ours.output(0), &out, 1.0)?;
    let times = race(
        bench.rounds,
        vec![contender(|| ours.run()), contender(|| hand.scale_and_shift(&x, &mut out))],
    );
    let detail = format!("{}, plain {}", us(times[0].least), us(times[1].least));
    bench.gate(name, isa, Sense::Max, times[0].least / times[1].least, 1.10, &detail);
    Ok(())
}

/// Fails unless two results agree within so many units in the last place of 1, or of the value if that is larger.
pub(crate) fn same(name: &str, ours: &[f32], other: &[f32], ulp: f32) -> Result<(), Failure> {
    assert_eq!(ours.len(), other.len());
    for (i, (&a, &b)) in ours.iter().zip(other).enumerate() {
        let error = (a - b).abs() / (f32::EPSILON * b.abs().max(1.0));
        if error.is_nan() || error > ulp {
            return Err(format!("{name}: element {i} is {a} with ours, {b} with the other").into());
        }
    }
    Ok(())
}
