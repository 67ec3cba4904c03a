//! Flush-to-zero for the time of a run.

/// Makes subnormal operands and results count as zero on this thread until it is dropped, which restores what was
/// set before. Subnormals cost two orders of magnitude in speed, and the plan evaluator flushes them too.
pub(crate) struct FlushToZero {
    before: u64,
}

impl FlushToZero {
    pub(crate) fn set() -> FlushToZero {
        let before = control::read();
        control::write(before | control::FLUSH);
        FlushToZero { before }
    }
}

impl Drop for FlushToZero {
    fn drop(&mut self) {
        control::write(self.before);
    }
}

#[cfg(target_arch = "x86_64")]
mod control {
    use std::arch::asm;

    /// Flush-to-zero and denormals-are-zero of `MXCSR`.
    pub(super) const FLUSH: u64 = 0x8040;

    pub(super) fn read() -> u64 {
        let mut word = 0u32;
        // SAFETY: stores four bytes to `word`, which is alive and writable.
        unsafe { asm!("stmxcsr [{}]", in(reg) &mut word, options(nostack, preserves_flags)) };
        u64::from(word)
    }

    pub(super) fn write(word: u64) {
        let word = word as u32;
        // SAFETY: loads four bytes that `read` gave, with only the two flush bits changed, so that no reserved bit is
        // set. Rust code assumes the default control word; between the two writes of a `FlushToZero` this thread runs
        // only machine code of ours and code without float arithmetic.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &word, options(nostack, readonly, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod control {
    use std::arch::asm;

    /// Flush-to-zero of `FPCR`.
    pub(super) const FLUSH: u64 = 1 << 24;

    pub(super) fn read() -> u64 {
        let word: u64;
        // SAFETY: reads a register that user code may read.
        unsafe { asm!("mrs {}, fpcr", out(reg) word, options(nomem, nostack, preserves_flags)) };
        word
    }

    pub(super) fn write(word: u64) {
        // SAFETY: writes what `read` gave, with only the flush bit changed. Rust code assumes the default control word;
        // between the two writes of a `FlushToZero` this thread runs only machine code of ours and code without
        // float arithmetic.
        unsafe { asm!("msr fpcr, {}", in(reg) word, options(nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod control {
    pub(super) const FLUSH: u64 = 0;

    pub(super) fn read() -> u64 {
        0
    }

    pub(super) fn write(_: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_word_is_restored() {
        let before = control::read();
        let inside = {
            let _flush = FlushToZero::set();
            control::read()
        };
        assert_eq!(inside, before | control::FLUSH);
        // The sticky exception bits may change, the modes may not.
        assert_eq!(control::read() & !0x3f, before & !0x3f);
    }
}
