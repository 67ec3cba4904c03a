//! Which instructions are used.

use crate::error::JitError;
use crate::wide::Level;
use std::fmt;

/// Environment variable that names the instructions to use where the config leaves it to the processor.
pub const ISA_VARIABLE: &str = "EGGRAD_ISA";

/// Which instructions may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Isa {
    /// The best of this processor, or what the environment variable `EGGRAD_ISA` names: `avx512`, `avx2`, `clif` or
    /// `baseline`.
    #[default]
    Host,
    /// Vectors of 512 bits: AVX-512 F, VL, BW and DQ. Kernels that they do not suit are made as with `Clif`.
    Avx512,
    /// Vectors of 256 bits: AVX2 and fused multiply-add. Kernels that they do not suit are made as with `Clif`.
    Avx2,
    /// Vectors of 128 bits, written by Cranelift with what this processor has.
    Clif,
    /// Those that every processor of this architecture has, written by Cranelift. On x86-64 that leaves out fused
    /// multiply-add, so results are no longer bit-equal to the plan evaluator's.
    Baseline,
}

impl Isa {
    /// All but `Host`.
    pub const NAMED: [Isa; 4] = [Isa::Avx512, Isa::Avx2, Isa::Clif, Isa::Baseline];

    /// What `EGGRAD_ISA` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Host => "host",
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Clif => "clif",
            Isa::Baseline => "baseline",
        }
    }

    /// Whether this processor has the instructions.
    pub fn is_available(self) -> bool {
        self.lacks().is_none()
    }

    /// The first feature that this processor lacks.
    fn lacks(self) -> Option<&'static str> {
        match self {
            Isa::Avx512 => features::lacks_avx512(),
            Isa::Avx2 => features::lacks_avx2(),
            Isa::Host | Isa::Clif | Isa::Baseline => None,
        }
    }

    /// Itself, or what stands for `Host`.
    ///
    /// # Errors
    /// [`JitError::MissingIsa`] if the processor lacks it, [`JitError::UnknownIsa`] if the environment names none.
    pub(crate) fn resolve(self) -> Result<Isa, JitError> {
        let named = std::env::var(ISA_VARIABLE).unwrap_or_default();
        self.or_named(&named)
    }

    /// Itself, or what stands for `Host` if the environment says `named`.
    fn or_named(self, named: &str) -> Result<Isa, JitError> {
        let isa = match (self, named) {
            (Isa::Host, name) if !name.is_empty() && name != Isa::Host.name() => {
                match Isa::NAMED.into_iter().find(|isa| isa.name() == name) {
                    Some(isa) => isa,
                    None => return Err(JitError::UnknownIsa(name.to_string())),
                }
            }
            (Isa::Host, _) => [Isa::Avx512, Isa::Avx2]
                .into_iter()
                .find(|isa| isa.is_available())
                .unwrap_or(Isa::Clif),
            (isa, _) => isa,
        };
        match isa.lacks() {
            Some(lacks) => Err(JitError::MissingIsa { isa, lacks }),
            None => Ok(isa),
        }
    }

    /// What the back end of our own is told.
    pub(crate) fn level(self) -> Option<Level> {
        match self {
            Isa::Avx512 => Some(Level::Avx512),
            Isa::Avx2 => Some(Level::Avx2),
            Isa::Host | Isa::Clif | Isa::Baseline => None,
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(all(target_arch = "x86_64", unix))]
mod features {
    macro_rules! first_missing {
        ($($name:tt)*) => {
            [$((std::arch::is_x86_feature_detected!($name), $name)),*]
                .into_iter()
                .find_map(|(there, name)| (!there).then_some(name))
        };
    }

    pub(super) fn lacks_avx512() -> Option<&'static str> {
        first_missing!("avx512f" "avx512vl" "avx512bw" "avx512dq" "fma")
    }

    pub(super) fn lacks_avx2() -> Option<&'static str> {
        first_missing!("avx2" "fma")
    }
}

#[cfg(not(all(target_arch = "x86_64", unix)))]
mod features {
    pub(super) fn lacks_avx512() -> Option<&'static str> {
        Some("x86-64 with the System V calling convention")
    }

    pub(super) fn lacks_avx2() -> Option<&'static str> {
        lacks_avx512()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_the_host_alone() {
        for isa in Isa::NAMED {
            let found = Isa::Host.or_named(isa.name());
            match isa.lacks() {
                None => assert_eq!(found, Ok(isa)),
                Some(lacks) => assert_eq!(found, Err(JitError::MissingIsa { isa, lacks })),
            }
            assert_eq!(isa.or_named("clif").is_ok(), isa.is_available());
        }
        assert_eq!(Isa::Baseline.or_named("clif"), Ok(Isa::Baseline));
        assert_eq!(Isa::Host.or_named(""), Isa::Host.or_named("host"));
        assert_eq!(Isa::Host.or_named("avx"), Err(JitError::UnknownIsa("avx".to_string())));
    }

    #[test]
    fn errors_say_what_is_missing() {
        let error = JitError::MissingIsa { isa: Isa::Avx512, lacks: "avx512dq" };
        let text = error.to_string();
        assert!(text.contains("no avx512dq, which `avx512` needs"), "{text}");
        let text = JitError::UnknownIsa("sse".to_string()).to_string();
        assert!(
            text.starts_with("`EGGRAD_ISA` is `sse`, which is none of `host`, `avx512`"),
            "{text}"
        );
    }
}
