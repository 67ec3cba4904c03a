//! Counter-based random numbers: Threefry on `I32` lanes, and floats made of its words.
//!
//! A random number is made of a key and the number of its element alone, so it is the same in whatever order and on
//! however many lanes elements are computed.

use crate::inst::{Body, Lane, Value};

/// By how many bits the rounds rotate, over and over.
const ROTATIONS: [u8; 8] = [13, 15, 26, 6, 17, 29, 16, 24];

/// What the third word of the key schedule is mixed with.
const PARITY: i64 = 0x1bd1_1bda;

impl Body {
    /// Two random words of 32 bits, as `I32` lanes, made of a key and a counter of two each: Threefry-2x32 with 20
    /// rounds, some 115 instructions, all of which vectors of 4-byte lanes have. What depends on the key alone is
    /// computed apart from the rest, so that it can leave the loop.
    ///
    /// The words of the tensor operation `random` are those of the counter `(i, 0)` for element number `i`, row-major;
    /// of the second word it needs only `f64`.
    ///
    /// # Source
    /// Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (2011).
    pub fn threefry(&mut self, key: (Value, Value), counter: (Value, Value)) -> (Value, Value) {
        let parity = self.int(Lane::I32, PARITY);
        let both = self.xor(key.0, key.1);
        let schedule = [key.0, key.1, self.xor(both, parity)];
        let mut x = (self.add(counter.0, schedule[0]), self.add(counter.1, schedule[1]));
        for round in 0..20 {
            let sum = self.add(x.0, x.1);
            let rotated = self.rotate_left(x.1, ROTATIONS[round % 8]);
            x = (sum, self.xor(rotated, sum));
            if round % 4 == 3 {
                let injection = round / 4 + 1;
                let number = self.int(Lane::I32, injection as i64);
                let second = self.add(schedule[(injection + 1) % 3], number);
                x = (self.add(x.0, schedule[injection % 3]), self.add(x.1, second));
            }
        }
        x
    }

    /// The two words of the tensor operation `random_key`, from `I32` lanes `seed` and `step`: [`Body::threefry`] under
    /// the key of the seed and the low half of `stream`, of the counter of the step and its high half.
    pub fn random_key(&mut self, stream: u64, seed: Value, step: Value) -> (Value, Value) {
        let low = self.bits(Lane::I32, stream & 0xffff_ffff);
        let high = self.bits(Lane::I32, stream >> 32);
        self.threefry((seed, low), (step, high))
    }

    /// A random word as an `F32` uniform in `[0, 1)`: its upper 24 bits in steps of 2^-24, exactly.
    pub fn uniform_f32(&mut self, word: Value) -> Value {
        let bits = self.shr(word, 8);
        let number = self.convert(Lane::F32, bits);
        let step = self.konst(Lane::F32, 1.0 / (1u64 << 24) as f64);
        self.mul(number, step)
    }

    /// Two random words as an `F64` uniform in `[0, 1)`: the upper 27 bits of the first, then the upper 26 of the
    /// second, in steps of 2^-53, exactly. `I32` and `F64` lanes differ in width, so a back end may compute a body
    /// that holds it without vectors.
    pub fn uniform_f64(&mut self, words: (Value, Value)) -> Value {
        let (high, low) = (self.shr(words.0, 5), self.shr(words.1, 6));
        let (high, low) = (self.convert(Lane::F64, high), self.convert(Lane::F64, low));
        let (shift, step) = (self.f64((1u64 << 26) as f64), self.f64(1.0 / (1u64 << 53) as f64));
        let number = self.fma(high, shift, low);
        self.mul(number, step)
    }

    /// The bits of an `I32` value moved left by `by`, from 1 to 31; those that leave come in again on the right.
    fn rotate_left(&mut self, x: Value, by: u8) -> Value {
        let (left, right) = (self.shl(x, by), self.shr(x, 32 - by));
        self.or(left, right)
    }
}
