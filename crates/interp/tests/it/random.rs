//! Random numbers: their exact bits, and that they look random.

use eggrad_interp::random::{key, threefry};
use eggrad_interp::{Data, Precision, Tensor, run};
use eggrad_ir::{At, Builder, DType, Graph, NodeId, Op, Shape};

/// A graph that draws from `streams` under the inputs `seed` and `step`.
fn draws(streams: &[u64], dtype: DType, shape: &Shape) -> Graph {
    let mut b = Builder::new();
    let scalar = eggrad_ir::TensorType::scalar(DType::I32);
    let inputs = ["seed", "step"].map(|n| b.declare_input(n, scalar.clone(), None, At::Unknown));
    for (i, &stream) in streams.iter().enumerate() {
        let key = b.node(Op::RandomKey { stream }, &inputs);
        let numbers: NodeId = b.node(Op::Random { dtype, shape: shape.clone() }, &[key]);
        b.output(&format!("key{i}"), key);
        b.output(&format!("numbers{i}"), numbers);
    }
    b.build().unwrap()
}

fn sample(streams: &[u64], seed: i32, step: i32, dtype: DType, shape: &Shape) -> Vec<Tensor> {
    let inputs = [seed, step].map(|v| Tensor::new([], Data::I32(vec![v])));
    let graph = draws(streams, dtype, shape);
    let written = run(&graph, &inputs, &[], Precision::AsWritten).unwrap().outputs;
    let wide = run(&graph, &inputs, &[], Precision::Wide).unwrap().outputs;
    for (a, b) in written.iter().zip(&wide) {
        assert_eq!(a.to_f64s(), b.to_f64s(), "the same numbers in both precisions");
    }
    written.into_iter().skip(1).step_by(2).collect()
}

#[test]
fn threefry_gives_the_known_answers() {
    let ones = [u32::MAX; 2];
    assert_eq!(threefry([0, 0], [0, 0]), [0x6b20_0159, 0x99ba_4efe]);
    assert_eq!(threefry(ones, ones), [0x1cb9_96fc, 0xbb00_2be7]);
    let pi = ([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3]);
    assert_eq!(threefry(pi.0, pi.1), [0xc492_3a9c, 0x483d_f7a0]);
}

#[test]
fn numbers_are_the_words_of_their_place() {
    let (stream, seed, step) = (0xdead_beef_0000_0007, -3, i32::MIN);
    let words = key(stream, seed, step);
    assert_eq!(words, threefry([(-3i32) as u32, 7], [1 << 31, 0xdead_beef]));
    let shape: Shape = [2, 3].into();
    let pairs: Vec<[u32; 2]> = (0..6).map(|i| threefry(words, [i, 0])).collect();
    let of = |dtype| sample(&[stream], seed, step, dtype, &shape).remove(0);
    assert_eq!(of(DType::I32).data, Data::I32(pairs.iter().map(|p| p[0] as i32).collect()));
    let single = |p: &[u32; 2]| (p[0] >> 8) as f32 * 2f32.powi(-24);
    assert_eq!(of(DType::F32).data, Data::F32(pairs.iter().map(single).collect()));
    let double = |p: &[u32; 2]| {
        ((u64::from(p[0] >> 5) << 26) + u64::from(p[1] >> 6)) as f64 * 2f64.powi(-53)
    };
    assert_eq!(of(DType::F64).data, Data::F64(pairs.iter().map(double).collect()));
    // The shape does not matter, only the place.
    let flat = sample(&[stream], seed, step, DType::F32, &[6].into()).remove(0);
    assert_eq!(flat.data, of(DType::F32).data);
    assert!(sample(&[stream], 0, 0, DType::F32, &[0, 4].into())[0].data.is_empty());
    assert_eq!(sample(&[stream], 0, 0, DType::F32, &[].into())[0].data.len(), 1);
}

#[test]
fn one_stream_repeats_and_others_differ() {
    let shape: Shape = [64].into();
    let at = |stream, seed, step| sample(&[stream], seed, step, DType::I32, &shape).remove(0);
    assert_eq!(at(1, 2, 3), at(1, 2, 3));
    let mut seen = std::collections::HashSet::new();
    for stream in [0, 1, 2, 1 << 32, u64::MAX] {
        for seed in [0, 1, -1] {
            for step in [0, 1, 2] {
                let Data::I32(words) = at(stream, seed, step).data else { panic!("not i32") };
                assert!(seen.insert(words), "{stream} {seed} {step}");
            }
        }
    }
}

#[test]
fn numbers_look_uniform_and_independent() {
    let n = 20_000usize;
    for dtype in [DType::F32, DType::F64] {
        let streams = sample(&[0, 1, 1 << 40], 5, 9, dtype, &[n].into());
        let streams: Vec<Vec<f64>> = streams.iter().map(Tensor::to_f64s).collect();
        for x in &streams {
            assert!(x.iter().all(|x| (0.0..1.0).contains(x)));
            let mean = x.iter().sum::<f64>() / n as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
            // Five standard deviations of each estimate.
            assert!((mean - 0.5).abs() < 5.0 * (1.0 / 12.0 / n as f64).sqrt(), "mean {mean}");
            let spread = (1.0 / 180.0 / n as f64).sqrt();
            assert!((variance - 1.0 / 12.0).abs() < 5.0 * spread, "variance {variance}");
            let mut bins = [0.0; 16];
            x.iter().for_each(|x| bins[(x * 16.0) as usize] += 1.0);
            let expected = n as f64 / 16.0;
            let chi: f64 = bins.iter().map(|b| (b - expected) * (b - expected) / expected).sum();
            // 15 degrees of freedom: outside 2 to 50 with a probability below 2e-4.
            assert!((2.0..50.0).contains(&chi), "chi-square {chi}");
            let lagged = correlation(&x[1..], &x[..n - 1]);
            assert!(lagged.abs() < 5.0 / (n as f64).sqrt(), "serial correlation {lagged}");
        }
        for (i, j) in [(0, 1), (0, 2), (1, 2)] {
            let r = correlation(&streams[i], &streams[j]);
            assert!(r.abs() < 5.0 / (n as f64).sqrt(), "correlation {r} of streams {i} and {j}");
        }
    }
}

/// Of numbers uniform in `[0, 1)`.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let products: f64 = a.iter().zip(b).map(|(a, b)| (a - 0.5) * (b - 0.5)).sum();
    12.0 * products / a.len() as f64
}

#[test]
fn every_bit_is_set_half_of_the_time() {
    let n = 10_000;
    let Data::I32(words) = sample(&[3], 1, 1, DType::I32, &[n].into()).remove(0).data else {
        panic!("not i32")
    };
    for bit in 0..32 {
        let set = words.iter().filter(|&&w| (w >> bit) & 1 == 1).count() as f64;
        assert!((set - n as f64 / 2.0).abs() < 5.0 * (n as f64 / 4.0).sqrt(), "bit {bit}: {set}");
    }
}
