//! The processor's instruction for each of ours, in its AVX2 and AVX-512 forms.
//!
//! The codes are those for 128 bits; those for 256 and 512 bits follow them.

use crate::wide::code::{Level, Op};
use iced_x86::Code::{self, *};

/// What stands at a place of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A vector of the instruction's size.
    V(Which),
    /// A vector of half the instruction's size, of 128 bits at least.
    H(Which),
    /// A vector of 128 bits.
    X(Which),
    /// A mask.
    K(Which),
    /// A general register of 32 bits.
    D(Which),
    /// One of 64 bits.
    Q(Which),
    /// The operand in memory, and only there.
    M,
    /// The immediate.
    I,
}

/// Result or operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Dst,
    A,
    B,
    C,
}

use Place::{D, H, I, K, M, Q, V, X};
use Which::{A, B, C, Dst};

/// How an instruction is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// For 128 bits; [`Code::INVALID`] where there is none.
    pub(super) code: Code,
    /// Whether there is only that.
    pub(super) fixed: bool,
    pub(super) places: &'static [Place],
    /// Operand that may lie in memory.
    pub(super) memory: Option<usize>,
    /// Whether that may be one element for all lanes.
    pub(super) splats: bool,
}

const AB: &[Place] = &[V(Dst), V(A), V(B)];
const ABI: &[Place] = &[V(Dst), V(A), V(B), I];
const ONE: &[Place] = &[V(Dst), V(A)];
const ONE_I: &[Place] = &[V(Dst), V(A), I];
const K_AB: &[Place] = &[K(Dst), V(A), V(B)];
const K_ABI: &[Place] = &[K(Dst), V(A), V(B), I];

/// What instruction `op` is on lanes of `width` bytes.
pub(super) fn row(level: Level, op: Op, width: u8) -> Row {
    let wide = level == Level::Avx512;
    let narrow = width == 4;
    let pick = |evex: [Code; 2], vex: [Code; 2]| {
        let pair = if wide { evex } else { vex };
        pair[usize::from(!narrow)]
    };
    let two = |evex, vex| Row {
        code: pick(evex, vex),
        fixed: false,
        places: AB,
        memory: Some(1),
        splats: wide,
    };
    let one = |evex, vex| Row { places: ONE, memory: Some(0), ..two(evex, vex) };
    let alone = |codes: [Code; 2]| Row {
        code: codes[usize::from(!wide)],
        fixed: false,
        places: ONE,
        memory: None,
        splats: false,
    };
    let fixed = |code, places| Row { code, fixed: true, places, memory: None, splats: false };
    let none = [INVALID; 2];
    match op {
        Op::AddF => two(
            [EVEX_Vaddps_xmm_k1z_xmm_xmmm128b32, EVEX_Vaddpd_xmm_k1z_xmm_xmmm128b64],
            [VEX_Vaddps_xmm_xmm_xmmm128, VEX_Vaddpd_xmm_xmm_xmmm128],
        ),
        Op::SubF => two(
            [EVEX_Vsubps_xmm_k1z_xmm_xmmm128b32, EVEX_Vsubpd_xmm_k1z_xmm_xmmm128b64],
            [VEX_Vsubps_xmm_xmm_xmmm128, VEX_Vsubpd_xmm_xmm_xmmm128],
        ),
        Op::MulF => two(
            [EVEX_Vmulps_xmm_k1z_xmm_xmmm128b32, EVEX_Vmulpd_xmm_k1z_xmm_xmmm128b64],
            [VEX_Vmulps_xmm_xmm_xmmm128, VEX_Vmulpd_xmm_xmm_xmmm128],
        ),
        Op::DivF => two(
            [EVEX_Vdivps_xmm_k1z_xmm_xmmm128b32, EVEX_Vdivpd_xmm_k1z_xmm_xmmm128b64],
            [VEX_Vdivps_xmm_xmm_xmmm128, VEX_Vdivpd_xmm_xmm_xmmm128],
        ),
        Op::MinF => two(
            [EVEX_Vminps_xmm_k1z_xmm_xmmm128b32, EVEX_Vminpd_xmm_k1z_xmm_xmmm128b64],
            [VEX_Vminps_xmm_xmm_xmmm128, VEX_Vminpd_xmm_xmm_xmmm128],
        ),
        Op::MaxF => two(
            [EVEX_Vmaxps_xmm_k1z_xmm_xmmm128b32, EVEX_Vmaxpd_xmm_k1z_xmm_xmmm128b64],
            [VEX_Vmaxps_xmm_xmm_xmmm128, VEX_Vmaxpd_xmm_xmm_xmmm128],
        ),
        Op::SqrtF => one(
            [EVEX_Vsqrtps_xmm_k1z_xmmm128b32, EVEX_Vsqrtpd_xmm_k1z_xmmm128b64],
            [VEX_Vsqrtps_xmm_xmmm128, VEX_Vsqrtpd_xmm_xmmm128],
        ),
        Op::RoundF => Row {
            places: ONE_I,
            ..one(
                [
                    EVEX_Vrndscaleps_xmm_k1z_xmmm128b32_imm8,
                    EVEX_Vrndscalepd_xmm_k1z_xmmm128b64_imm8,
                ],
                [VEX_Vroundps_xmm_xmmm128_imm8, VEX_Vroundpd_xmm_xmmm128_imm8],
            )
        },
        Op::AddI => two(
            [EVEX_Vpaddd_xmm_k1z_xmm_xmmm128b32, EVEX_Vpaddq_xmm_k1z_xmm_xmmm128b64],
            [VEX_Vpaddd_xmm_xmm_xmmm128, VEX_Vpaddq_xmm_xmm_xmmm128],
        ),
        Op::SubI => two(
            [EVEX_Vpsubd_xmm_k1z_xmm_xmmm128b32, EVEX_Vpsubq_xmm_k1z_xmm_xmmm128b64],
            [VEX_Vpsubd_xmm_xmm_xmmm128, VEX_Vpsubq_xmm_xmm_xmmm128],
        ),
        Op::MulI => two(
            [EVEX_Vpmulld_xmm_k1z_xmm_xmmm128b32, EVEX_Vpmullq_xmm_k1z_xmm_xmmm128b64],
            [VEX_Vpmulld_xmm_xmm_xmmm128, INVALID],
        ),
        Op::MinI => two(
            [EVEX_Vpminsd_xmm_k1z_xmm_xmmm128b32, EVEX_Vpminsq_xmm_k1z_xmm_xmmm128b64],
            [VEX_Vpminsd_xmm_xmm_xmmm128, INVALID],
        ),
        Op::MaxI => two(
            [EVEX_Vpmaxsd_xmm_k1z_xmm_xmmm128b32, EVEX_Vpmaxsq_xmm_k1z_xmm_xmmm128b64],
            [VEX_Vpmaxsd_xmm_xmm_xmmm128, INVALID],
        ),
        Op::AbsI => one(
            [EVEX_Vpabsd_xmm_k1z_xmmm128b32, EVEX_Vpabsq_xmm_k1z_xmmm128b64],
            [VEX_Vpabsd_xmm_xmmm128, INVALID],
        ),
        Op::And => two(
            [EVEX_Vpandd_xmm_k1z_xmm_xmmm128b32, EVEX_Vpandq_xmm_k1z_xmm_xmmm128b64],
            [VEX_Vpand_xmm_xmm_xmmm128; 2],
        ),
        Op::Or => two(
            [EVEX_Vpord_xmm_k1z_xmm_xmmm128b32, EVEX_Vporq_xmm_k1z_xmm_xmmm128b64],
            [VEX_Vpor_xmm_xmm_xmmm128; 2],
        ),
        Op::Xor => two(
            [EVEX_Vpxord_xmm_k1z_xmm_xmmm128b32, EVEX_Vpxorq_xmm_k1z_xmm_xmmm128b64],
            [VEX_Vpxor_xmm_xmm_xmmm128; 2],
        ),
        Op::Shl => shift(
            wide,
            one(
                [EVEX_Vpslld_xmm_k1z_xmmm128b32_imm8, EVEX_Vpsllq_xmm_k1z_xmmm128b64_imm8],
                [VEX_Vpslld_xmm_xmm_imm8, VEX_Vpsllq_xmm_xmm_imm8],
            ),
        ),
        Op::Shr => shift(
            wide,
            one(
                [EVEX_Vpsrld_xmm_k1z_xmmm128b32_imm8, EVEX_Vpsrlq_xmm_k1z_xmmm128b64_imm8],
                [VEX_Vpsrld_xmm_xmm_imm8, VEX_Vpsrlq_xmm_xmm_imm8],
            ),
        ),
        Op::Sar => shift(
            wide,
            one(
                [EVEX_Vpsrad_xmm_k1z_xmmm128b32_imm8, EVEX_Vpsraq_xmm_k1z_xmmm128b64_imm8],
                [VEX_Vpsrad_xmm_xmm_imm8, INVALID],
            ),
        ),
        Op::CompareF => Row {
            places: if wide { K_ABI } else { ABI },
            ..two(
                [EVEX_Vcmpps_kr_k1_xmm_xmmm128b32_imm8, EVEX_Vcmppd_kr_k1_xmm_xmmm128b64_imm8],
                [VEX_Vcmpps_xmm_xmm_xmmm128_imm8, VEX_Vcmppd_xmm_xmm_xmmm128_imm8],
            )
        },
        Op::CompareI => Row {
            places: K_ABI,
            ..two(
                [EVEX_Vpcmpd_kr_k1_xmm_xmmm128b32_imm8, EVEX_Vpcmpq_kr_k1_xmm_xmmm128b64_imm8],
                none,
            )
        },
        Op::CompareU => Row {
            places: K_ABI,
            ..two(
                [EVEX_Vpcmpud_kr_k1_xmm_xmmm128b32_imm8, EVEX_Vpcmpuq_kr_k1_xmm_xmmm128b64_imm8],
                none,
            )
        },
        Op::EqualI => two(none, [VEX_Vpcmpeqd_xmm_xmm_xmmm128, VEX_Vpcmpeqq_xmm_xmm_xmmm128]),
        Op::GreaterI => two(none, [VEX_Vpcmpgtd_xmm_xmm_xmmm128, VEX_Vpcmpgtq_xmm_xmm_xmmm128]),
        Op::Test => Row {
            places: K_AB,
            ..two([EVEX_Vptestmd_kr_k1_xmm_xmmm128b32, EVEX_Vptestmq_kr_k1_xmm_xmmm128b64], none)
        },
        Op::TestBytes => {
            Row { places: K_AB, splats: false, ..two([EVEX_Vptestmb_kr_k1_xmm_xmmm128; 2], none) }
        }
        Op::Blend => two(
            [EVEX_Vblendmps_xmm_k1z_xmm_xmmm128b32, EVEX_Vblendmpd_xmm_k1z_xmm_xmmm128b64],
            none,
        ),
        Op::BlendV => Row {
            places: &[V(Dst), V(A), V(B), V(C)],
            ..two(none, [VEX_Vblendvps_xmm_xmm_xmmm128_xmm, VEX_Vblendvpd_xmm_xmm_xmmm128_xmm])
        },
        Op::I32ToF32 => one([EVEX_Vcvtdq2ps_xmm_k1z_xmmm128b32; 2], [VEX_Vcvtdq2ps_xmm_xmmm128; 2]),
        Op::F32ToI32 => {
            one([EVEX_Vcvttps2dq_xmm_k1z_xmmm128b32; 2], [VEX_Vcvttps2dq_xmm_xmmm128; 2])
        }
        Op::I64ToF64 => one([EVEX_Vcvtqq2pd_xmm_k1z_xmmm128b64; 2], none),
        Op::F64ToI64 => one([EVEX_Vcvttpd2qq_xmm_k1z_xmmm128b64; 2], none),
        Op::F32ToF64 => Row {
            places: &[V(Dst), H(A)],
            ..alone([EVEX_Vcvtps2pd_xmm_k1z_xmmm64b32, VEX_Vcvtps2pd_xmm_xmmm64])
        },
        Op::F64ToF32 => Row {
            places: &[H(Dst), V(A)],
            ..alone([EVEX_Vcvtpd2ps_xmm_k1z_xmmm128b64, VEX_Vcvtpd2ps_xmm_xmmm128])
        },
        Op::I32ToF64 => Row {
            places: &[V(Dst), H(A)],
            ..alone([EVEX_Vcvtdq2pd_xmm_k1z_xmmm64b32, VEX_Vcvtdq2pd_xmm_xmmm64])
        },
        Op::F64ToI32 => Row {
            places: &[H(Dst), V(A)],
            ..alone([EVEX_Vcvttpd2dq_xmm_k1z_xmmm128b64, VEX_Vcvttpd2dq_xmm_xmmm128])
        },
        Op::F32ToI64 => {
            Row { places: &[V(Dst), H(A)], ..alone([EVEX_Vcvttps2qq_xmm_k1z_xmmm64b32, INVALID]) }
        }
        Op::I64ToF32 => {
            Row { places: &[H(Dst), V(A)], ..alone([EVEX_Vcvtqq2ps_xmm_k1z_xmmm128b64, INVALID]) }
        }
        Op::I32ToI64 => Row {
            places: &[V(Dst), H(A)],
            ..alone([EVEX_Vpmovsxdq_xmm_k1z_xmmm64, VEX_Vpmovsxdq_xmm_xmmm64])
        },
        Op::I64ToI32 => {
            Row { places: &[H(Dst), V(A)], ..alone([EVEX_Vpmovqd_xmmm64_k1z_xmm, INVALID]) }
        }
        Op::Load => Row {
            places: &[V(Dst), M],
            memory: None,
            ..one(
                [EVEX_Vmovups_xmm_k1z_xmmm128, EVEX_Vmovupd_xmm_k1z_xmmm128],
                [VEX_Vmovups_xmm_xmmm128; 2],
            )
        },
        Op::Store => Row {
            places: &[M, V(A)],
            memory: None,
            ..one(
                [EVEX_Vmovups_xmmm128_k1z_xmm, EVEX_Vmovupd_xmmm128_k1z_xmm],
                [VEX_Vmovups_xmmm128_xmm; 2],
            )
        },
        Op::LoadOne => fixed(
            pick(
                [EVEX_Vmovss_xmm_k1z_m32, EVEX_Vmovsd_xmm_k1z_m64],
                [VEX_Vmovss_xmm_m32, VEX_Vmovsd_xmm_m64],
            ),
            &[X(Dst), M],
        ),
        Op::StoreOne => fixed(
            pick(
                [EVEX_Vmovss_m32_k1_xmm, EVEX_Vmovsd_m64_k1_xmm],
                [VEX_Vmovss_m32_xmm, VEX_Vmovsd_m64_xmm],
            ),
            &[M, X(A)],
        ),
        Op::LoadV => Row {
            places: &[V(Dst), V(A), M],
            memory: None,
            ..one(none, [VEX_Vmaskmovps_xmm_xmm_m128, VEX_Vmaskmovpd_xmm_xmm_m128])
        },
        Op::LoadBytes => {
            fixed(if wide { EVEX_Vmovdqu8_xmm_k1z_xmmm128 } else { INVALID }, &[X(Dst), M])
        }
        Op::StoreBytes => {
            fixed(if wide { EVEX_Vmovdqu8_xmmm128_k1z_xmm } else { INVALID }, &[M, X(A)])
        }
        Op::Widen => Row {
            places: &[V(Dst), X(A)],
            memory: None,
            ..one([EVEX_Vpmovzxbd_xmm_k1z_xmmm32; 2], [VEX_Vpmovzxbd_xmm_xmmm32; 2])
        },
        Op::Narrow => Row {
            places: &[X(Dst), V(A)],
            memory: None,
            ..one([EVEX_Vpmovdb_xmmm32_k1z_xmm; 2], none)
        },
        Op::InsertByte => fixed(
            if wide { EVEX_Vpinsrb_xmm_xmm_r32m8_imm8 } else { VEX_Vpinsrb_xmm_xmm_r32m8_imm8 },
            &[X(Dst), X(A), M, I],
        ),
        Op::ExtractByte => fixed(
            if wide { EVEX_Vpextrb_r32m8_xmm_imm8 } else { VEX_Vpextrb_r32m8_xmm_imm8 },
            &[M, X(A), I],
        ),
        Op::Splat => Row {
            places: &[V(Dst), X(A)],
            splats: false,
            ..one(
                [EVEX_Vpbroadcastd_xmm_k1z_xmmm32, EVEX_Vpbroadcastq_xmm_k1z_xmmm64],
                [VEX_Vpbroadcastd_xmm_xmmm32, VEX_Vpbroadcastq_xmm_xmmm64],
            )
        },
        Op::SplatG => Row {
            places: if narrow { &[V(Dst), D(A)] } else { &[V(Dst), Q(A)] },
            memory: None,
            ..one([EVEX_Vpbroadcastd_xmm_k1z_r32, EVEX_Vpbroadcastq_xmm_k1z_r64], none)
        },
        Op::FromG => fixed(
            pick(
                [EVEX_Vmovd_xmm_rm32, EVEX_Vmovq_xmm_rm64],
                [VEX_Vmovd_xmm_rm32, VEX_Vmovq_xmm_rm64],
            ),
            if narrow { &[X(Dst), D(A)] } else { &[X(Dst), Q(A)] },
        ),
        Op::ToG => fixed(
            pick(
                [EVEX_Vmovd_rm32_xmm, EVEX_Vmovq_rm64_xmm],
                [VEX_Vmovd_rm32_xmm, VEX_Vmovq_rm64_xmm],
            ),
            if narrow { &[D(Dst), X(A)] } else { &[Q(Dst), X(A)] },
        ),
        Op::Align => Row {
            places: ABI,
            ..two(
                [
                    EVEX_Valignd_xmm_k1z_xmm_xmmm128b32_imm8,
                    EVEX_Valignq_xmm_k1z_xmm_xmmm128b64_imm8,
                ],
                none,
            )
        },
        Op::Swap => Row {
            places: ONE_I,
            ..one([EVEX_Vpshufd_xmm_k1z_xmmm128b32_imm8; 2], [VEX_Vpshufd_xmm_xmmm128_imm8; 2])
        },
        Op::Quarters => {
            fixed(if wide { INVALID } else { VEX_Vperm2f128_ymm_ymm_ymmm256_imm8 }, ABI)
        }
        Op::UnpackLow => two(
            [EVEX_Vunpcklps_xmm_k1z_xmm_xmmm128b32, EVEX_Vunpcklpd_xmm_k1z_xmm_xmmm128b64],
            [VEX_Vunpcklps_xmm_xmm_xmmm128, VEX_Vunpcklpd_xmm_xmm_xmmm128],
        ),
        Op::UnpackHigh => two(
            [EVEX_Vunpckhps_xmm_k1z_xmm_xmmm128b32, EVEX_Vunpckhpd_xmm_k1z_xmm_xmmm128b64],
            [VEX_Vunpckhps_xmm_xmm_xmmm128, VEX_Vunpckhpd_xmm_xmm_xmmm128],
        ),
        Op::InsertQuarter => fixed(
            if wide {
                EVEX_Vinsertf32x4_zmm_k1z_zmm_xmmm128_imm8
            } else {
                VEX_Vinsertf128_ymm_ymm_xmmm128_imm8
            },
            &[V(Dst), V(A), M, I],
        ),
        Op::StoreQuarter => fixed(
            if wide {
                EVEX_Vextractf32x4_xmmm128_k1z_zmm_imm8
            } else {
                VEX_Vextractf128_xmmm128_ymm_imm8
            },
            &[M, V(A), I],
        ),
        Op::Join => fixed(
            if wide { INVALID } else { VEX_Vinsertf128_ymm_ymm_xmmm128_imm8 },
            &[V(Dst), V(A), X(B), I],
        ),
        Op::InsertOne => fixed(
            match (wide, narrow) {
                (false, true) => VEX_Vinsertps_xmm_xmm_xmmm32_imm8,
                (false, false) => VEX_Vmovhpd_xmm_xmm_m64,
                (true, _) => INVALID,
            },
            if narrow { &[X(Dst), X(A), M, I] } else { &[X(Dst), X(A), M] },
        ),
        // There are as many indices, of four bytes, as lanes.
        Op::Gather => Row {
            places: &[V(Dst), M],
            memory: None,
            ..one([EVEX_Vgatherdps_xmm_k1_vm32x, EVEX_Vgatherdpd_xmm_k1_vm32x], none)
        },
        Op::Scatter => Row {
            places: &[M, V(A)],
            memory: None,
            ..one([EVEX_Vscatterdps_vm32x_k1_xmm, EVEX_Vscatterdpd_vm32x_k1_xmm], none)
        },
        Op::AndK => fixed(VEX_Kandw_kr_kr_kr, &[K(Dst), K(A), K(B)]),
        Op::OrK => fixed(VEX_Korw_kr_kr_kr, &[K(Dst), K(A), K(B)]),
        Op::XorK => fixed(VEX_Kxorw_kr_kr_kr, &[K(Dst), K(A), K(B)]),
        Op::AndNotK => fixed(VEX_Kandnw_kr_kr_kr, &[K(Dst), K(A), K(B)]),
        Op::NotK => fixed(VEX_Knotw_kr_kr, &[K(Dst), K(A)]),
        Op::ShiftRightK => fixed(VEX_Kshiftrw_kr_kr_imm8, &[K(Dst), K(A), I]),
        Op::KFromG => fixed(VEX_Kmovw_kr_r32, &[K(Dst), D(A)]),
        Op::KToG => fixed(VEX_Kmovw_r32_kr, &[D(Dst), K(A)]),
        Op::OnesK => Row {
            places: &[V(Dst), K(A)],
            memory: None,
            ..one([EVEX_Vpmovm2d_xmm_kr, EVEX_Vpmovm2q_xmm_kr], none)
        },
        Op::Zero => Row {
            places: &[V(Dst), V(Dst), V(Dst)],
            memory: None,
            ..two([EVEX_Vpxord_xmm_k1z_xmm_xmmm128b32; 2], [VEX_Vpxor_xmm_xmm_xmmm128; 2])
        },
        Op::LoadG => fixed(Mov_r64_rm64, &[Q(Dst), M]),
        Op::LoadByteG => fixed(Movzx_r32_rm8, &[D(Dst), M]),
        Op::Prefetch => fixed(Prefetcht1_m8, &[M]),
        Op::Lea => fixed(Lea_r64_m, &[Q(Dst), M]),
        Op::ScaleG => fixed(Imul_r64_rm64_imm32, &[Q(Dst), Q(A), I]),
        // Written by the encoder, in more than one instruction or with targets.
        Op::Fma
        | Op::Copy
        | Op::SetG
        | Op::MulG
        | Op::ShrG
        | Op::AndG
        | Op::LeastG
        | Op::StoreByteG
        | Op::Label(_)
        | Op::Exit(_)
        | Op::Again(_)
        | Op::Leave(_)
        | Op::Back(_) => fixed(INVALID, &[]),
    }
}

/// Shifts by a constant read memory only with AVX-512.
fn shift(wide: bool, row: Row) -> Row {
    Row { places: ONE_I, memory: if wide { Some(0) } else { None }, ..row }
}

/// `dst = a · b + c`: of the operand that the result overwrites, and the order of the two others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FmaForm {
    /// `x1 = x1 · x3 + x2`
    F132,
    /// `x1 = x2 · x1 + x3`
    F213,
    /// `x1 = x2 · x3 + x1`
    F231,
}

/// The instruction for `a · b + c`, or `c - a · b` if `flipped`.
pub(super) fn fma(level: Level, form: FmaForm, flipped: bool, width: u8) -> Code {
    let narrow = width == 4;
    match (level, form, flipped) {
        (Level::Avx512, FmaForm::F132, false) if narrow => EVEX_Vfmadd132ps_xmm_k1z_xmm_xmmm128b32,
        (Level::Avx512, FmaForm::F132, false) => EVEX_Vfmadd132pd_xmm_k1z_xmm_xmmm128b64,
        (Level::Avx512, FmaForm::F213, false) if narrow => EVEX_Vfmadd213ps_xmm_k1z_xmm_xmmm128b32,
        (Level::Avx512, FmaForm::F213, false) => EVEX_Vfmadd213pd_xmm_k1z_xmm_xmmm128b64,
        (Level::Avx512, FmaForm::F231, false) if narrow => EVEX_Vfmadd231ps_xmm_k1z_xmm_xmmm128b32,
        (Level::Avx512, FmaForm::F231, false) => EVEX_Vfmadd231pd_xmm_k1z_xmm_xmmm128b64,
        (Level::Avx512, FmaForm::F132, true) if narrow => EVEX_Vfnmadd132ps_xmm_k1z_xmm_xmmm128b32,
        (Level::Avx512, FmaForm::F132, true) => EVEX_Vfnmadd132pd_xmm_k1z_xmm_xmmm128b64,
        (Level::Avx512, FmaForm::F213, true) if narrow => EVEX_Vfnmadd213ps_xmm_k1z_xmm_xmmm128b32,
        (Level::Avx512, FmaForm::F213, true) => EVEX_Vfnmadd213pd_xmm_k1z_xmm_xmmm128b64,
        (Level::Avx512, FmaForm::F231, true) if narrow => EVEX_Vfnmadd231ps_xmm_k1z_xmm_xmmm128b32,
        (Level::Avx512, FmaForm::F231, true) => EVEX_Vfnmadd231pd_xmm_k1z_xmm_xmmm128b64,
        (Level::Avx2, FmaForm::F132, false) if narrow => VEX_Vfmadd132ps_xmm_xmm_xmmm128,
        (Level::Avx2, FmaForm::F132, false) => VEX_Vfmadd132pd_xmm_xmm_xmmm128,
        (Level::Avx2, FmaForm::F213, false) if narrow => VEX_Vfmadd213ps_xmm_xmm_xmmm128,
        (Level::Avx2, FmaForm::F213, false) => VEX_Vfmadd213pd_xmm_xmm_xmmm128,
        (Level::Avx2, FmaForm::F231, false) if narrow => VEX_Vfmadd231ps_xmm_xmm_xmmm128,
        (Level::Avx2, FmaForm::F231, false) => VEX_Vfmadd231pd_xmm_xmm_xmmm128,
        (Level::Avx2, FmaForm::F132, true) if narrow => VEX_Vfnmadd132ps_xmm_xmm_xmmm128,
        (Level::Avx2, FmaForm::F132, true) => VEX_Vfnmadd132pd_xmm_xmm_xmmm128,
        (Level::Avx2, FmaForm::F213, true) if narrow => VEX_Vfnmadd213ps_xmm_xmm_xmmm128,
        (Level::Avx2, FmaForm::F213, true) => VEX_Vfnmadd213pd_xmm_xmm_xmmm128,
        (Level::Avx2, FmaForm::F231, true) if narrow => VEX_Vfnmadd231ps_xmm_xmm_xmmm128,
        (Level::Avx2, FmaForm::F231, true) => VEX_Vfnmadd231pd_xmm_xmm_xmmm128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wide::encode::sized;

    #[rustfmt::skip]
    const OPS: [Op; 67] = [
        Op::AddF, Op::SubF, Op::MulF, Op::DivF, Op::MinF, Op::MaxF, Op::SqrtF, Op::RoundF, Op::AddI, Op::SubI, Op::MulI,
        Op::MinI, Op::MaxI, Op::AbsI, Op::And, Op::Or, Op::Xor, Op::Shl, Op::Shr, Op::Sar, Op::CompareF, Op::CompareI,
        Op::CompareU, Op::EqualI, Op::GreaterI, Op::Test, Op::TestBytes, Op::Blend, Op::BlendV, Op::I32ToF32,
        Op::F32ToI32, Op::I64ToF64, Op::F64ToI64, Op::F32ToF64, Op::F64ToF32, Op::I32ToF64, Op::F64ToI32, Op::F32ToI64,
        Op::I64ToF32, Op::I32ToI64, Op::I64ToI32, Op::Load, Op::Store, Op::LoadOne, Op::StoreOne, Op::LoadV,
        Op::LoadBytes, Op::StoreBytes, Op::Widen, Op::Narrow, Op::InsertByte, Op::ExtractByte, Op::Splat, Op::SplatG,
        Op::FromG, Op::ToG, Op::Align, Op::Swap, Op::Quarters, Op::UnpackLow, Op::UnpackHigh, Op::InsertQuarter,
        Op::Join, Op::Gather, Op::Scatter, Op::OnesK, Op::Zero,
    ];

    /// The assembler's codes for longer vectors follow those for 128 bits.
    #[test]
    fn codes_of_longer_vectors_follow() {
        let mut seen = 0;
        for level in [Level::Avx2, Level::Avx512] {
            for (op, width) in OPS.into_iter().flat_map(|op| [(op, 4), (op, 8)]) {
                let row = row(level, op, width);
                if row.code == INVALID || row.fixed {
                    continue;
                }
                for size in 0..=level.size() {
                    let code = sized(row.code, size);
                    assert_eq!(code.mnemonic(), row.code.mnemonic(), "{op:?} {width} {size}");
                    assert_eq!(code.op_code().l(), u32::from(size), "{op:?} {width} {code:?}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 200, "{seen}");
        for form in [FmaForm::F132, FmaForm::F213, FmaForm::F231] {
            for (flipped, width) in [(false, 4), (false, 8), (true, 4), (true, 8)] {
                let code = fma(Level::Avx512, form, flipped, width);
                assert_eq!(sized(code, 2).mnemonic(), code.mnemonic());
                assert_eq!(sized(code, 2).op_code().l(), 2);
                let code = fma(Level::Avx2, form, flipped, width);
                assert_eq!(sized(code, 1).mnemonic(), code.mnemonic());
                assert_eq!(sized(code, 1).op_code().l(), 1);
            }
        }
    }
}
