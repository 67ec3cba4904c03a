//! Random numbers against known answers and a plain scalar implementation, bit by bit.

use eggrad_body::{Body, Env, Inst, Lane, ShiftInst, Value, eval};
use proptest::prelude::*;

/// Loads give the words of a list.
struct Words([u32; 4]);

impl Env for Words {
    fn load(&mut self, access: u16, _: Lane) -> u64 {
        self.0[usize::from(access)].into()
    }

    fn load_at(&mut self, _: u16, _: Lane, _: i64, _: u32, _: u32) -> u64 {
        panic!("gathers")
    }

    fn scalar(&mut self, _: u16, _: Lane) -> u64 {
        panic!("reads an earlier phase")
    }

    fn index(&mut self, _: u16) -> i64 {
        panic!("reads its position")
    }
}

/// Bits of what `build` makes of four loaded words.
fn run<const N: usize>(
    words: [u32; 4],
    build: impl FnOnce(&mut Body, [Value; 4]) -> [Value; N],
) -> [u64; N] {
    let mut body = Body::new();
    let loads = [0, 1, 2, 3].map(|i| body.load(i, Lane::I32));
    let results = build(&mut body, loads);
    let mut values = vec![];
    eval(&body, &mut Words(words), &mut values);
    results.map(|v| values[v.index()])
}

fn threefry(body: &mut Body, [k0, k1, c0, c1]: [Value; 4]) -> [Value; 2] {
    <[Value; 2]>::from(body.threefry((k0, k1), (c0, c1)))
}

/// Threefry-2x32 with 20 rounds, word by word.
fn plain(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    let third = 0x1bd1_1bda ^ key[0] ^ key[1];
    let (mut a, mut b) = (counter[0].wrapping_add(key[0]), counter[1].wrapping_add(key[1]));
    let mut mix = |rotations: [u32; 4], first: u32, second: u32| {
        for by in rotations {
            a = a.wrapping_add(b);
            b = b.rotate_left(by) ^ a;
        }
        a = a.wrapping_add(first);
        b = b.wrapping_add(second);
    };
    let (even, odd) = ([13, 15, 26, 6], [17, 29, 16, 24]);
    mix(even, key[1], third.wrapping_add(1));
    mix(odd, third, key[0].wrapping_add(2));
    mix(even, key[0], key[1].wrapping_add(3));
    mix(odd, key[1], third.wrapping_add(4));
    mix(even, third, key[0].wrapping_add(5));
    [a, b]
}

#[test]
fn threefry_gives_the_known_answers() {
    let ones = u32::MAX;
    for (key, counter, answer) in [
        ([0, 0], [0, 0], [0x6b20_0159, 0x99ba_4efe]),
        ([ones, ones], [ones, ones], [0x1cb9_96fc, 0xbb00_2be7]),
        ([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3], [0xc492_3a9c, 0x483d_f7a0]),
    ] {
        assert_eq!(plain(key, counter), answer);
        let words = [key[0], key[1], counter[0], counter[1]];
        assert_eq!(run(words, threefry), answer.map(u64::from), "{words:08x?}");
    }
}

#[test]
fn uniform_numbers_reach_both_ends_and_never_one() {
    let ones = u32::MAX;
    let f32s = |word| {
        let [bits] = run([word, 0, 0, 0], |b, w| [b.uniform_f32(w[0])]);
        f32::from_bits(bits as u32)
    };
    assert_eq!(f32s(0).to_bits(), 0);
    assert_eq!(f32s(255).to_bits(), 0);
    assert_eq!(f32s(256), f32::EPSILON / 2.0);
    assert_eq!(f32s(1 << 31), 0.5);
    assert_eq!(f32s(ones), 1.0 - f32::EPSILON / 2.0);
    let f64s = |high, low| {
        let [bits] = run([high, low, 0, 0], |b, w| [b.uniform_f64((w[0], w[1]))]);
        f64::from_bits(bits)
    };
    assert_eq!(f64s(31, 63).to_bits(), 0);
    assert_eq!(f64s(0, 64), f64::EPSILON / 2.0);
    assert_eq!(f64s(1 << 31, 0), 0.5);
    assert_eq!(f64s(ones, ones), 1.0 - f64::EPSILON / 2.0);
}

#[test]
fn numbers_of_four_bytes_are_made_by_instructions_that_vectors_have() {
    let mut body = Body::new();
    let [k0, k1, i] = [0, 1, 2].map(|a| body.load(a, Lane::I32));
    let zero = body.int(Lane::I32, 0);
    let (word, _) = body.threefry((k0, k1), (i, zero));
    let result = body.uniform_f32(word);
    assert_eq!(body.lane(result), Lane::F32);
    assert!(body.insts().len() < 150, "{}", body.insts().len());
    for (i, inst) in body.insts().iter().enumerate() {
        let wide = body.lane(Value(i as u32)).bytes() != Some(4);
        let slow = matches!(inst, Inst::LoadAt { .. } | Inst::Shift(ShiftInst::Sar, ..));
        assert!(!wide && !slow, "`{inst}`");
    }
}

proptest! {
    #[test]
    fn words_and_numbers_are_those_of_plain_code(words: [u32; 4], stream: u64) {
        let [k0, k1, c0, c1] = words;
        let [x, y] = plain([k0, k1], [c0, c1]);
        prop_assert_eq!(run(words, threefry), [x, y].map(u64::from));
        let uniform = run(words, |b, [k0, k1, c0, c1]| {
            let words = b.threefry((k0, k1), (c0, c1));
            [b.uniform_f32(words.0), b.uniform_f64(words)]
        });
        let single = (x >> 8) as f32 * (1.0 / 16_777_216.0);
        let double = (f64::from(x >> 5) * 67_108_864.0 + f64::from(y >> 6)) / 9_007_199_254_740_992.0;
        prop_assert_eq!(uniform, [u64::from(single.to_bits()), double.to_bits()]);
        let key = run(words, |b, w| <[Value; 2]>::from(b.random_key(stream, w[0], w[1])));
        let plain_key = plain([k0, stream as u32], [k1, (stream >> 32) as u32]);
        prop_assert_eq!(key, plain_key.map(u64::from));
    }
}
