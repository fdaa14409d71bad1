//! The hwcap subdirectories that glibc up to 2.36 searched: their names and bits, from its `dl-procinfo.c`.

use super::arch::Arch;
use crate::elf::Class;

/// The bit of the `tls` directory, unless it is a hwcap of the architecture.
const TLS_BIT: usize = 63;

/// The names of one architecture.
struct Names {
    /// The names of the bits of `AT_HWCAP`, from bit 0.
    hwcaps: &'static [&'static str],
    /// Those of them whose directories are searched.
    important: &'static [&'static str],
    /// The values of `AT_PLATFORM`, whose directories are searched.
    platforms: &'static [&'static str],
    /// The bit of the first platform.
    first_platform: usize,
}

impl Names {
    fn of(arch: Arch, class: Class) -> &'static Self {
        match (arch, class) {
            (Arch::X86, _) => &X86,
            (Arch::Arm, Class::Bits32) => &ARM,
            (Arch::Arm, Class::Bits64) => &AARCH64,
            (Arch::PowerPc, _) => &POWERPC,
            (Arch::S390, _) => &S390,
            (Arch::Mips, _) => &MIPS,
            _ => &NONE,
        }
    }

    fn bit(&self, name: &[u8]) -> Option<usize> {
        let position = |names: &[&str]| names.iter().position(|known| known.as_bytes() == name);
        position(self.hwcaps)
            .or_else(|| Some(self.first_platform + position(self.platforms)?))
            .or_else(|| (name == b"tls").then_some(TLS_BIT))
    }
}

/// Whether glibc searches a directory of this name in a library directory.
#[must_use]
pub(super) fn is_searched(arch: Arch, class: Class, name: &[u8]) -> bool {
    let names = Names::of(arch, class);
    name == b"tls"
        || names
            .important
            .iter()
            .chain(names.platforms)
            .any(|known| known.as_bytes() == name)
}

/// Returns the sum of the bits of the trailing components of a directory's path.
#[must_use]
pub(super) fn of_path(arch: Arch, class: Class, path: &[u8]) -> u64 {
    let names = Names::of(arch, class);
    // For ldconfig, a path without a slash has no last component.
    path.split(|&byte| byte == b'/')
        .skip(1)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .map_while(|component| names.bit(component))
        .fold(0, |sum: u64, bit| sum.wrapping_add(1 << bit))
}

const NONE: Names = Names {
    hwcaps: &[],
    important: &[],
    platforms: &[],
    first_platform: 0,
};

const X86: Names = Names {
    hwcaps: &["sse2", "x86_64", "avx512_1"],
    important: &["sse2", "x86_64", "avx512_1"],
    platforms: &["i586", "i686", "haswell", "xeon_phi"],
    first_platform: 48,
};

const ARM: Names = Names {
    hwcaps: &[
        "swp", "half", "thumb", "26bit", "fastmult", "fpa", "vfp", "edsp", "java", "iwmmxt",
        "crunch", "thumbee", "neon", "vfpv3", "vfpv3d16", "tls", "vfpv4", "idiva", "idivt",
        "vfpd32", "lpae", "evtstrm", "aes", "pmull", "sha1", "sha2", "crc32",
    ],
    important: &["vfp", "neon"],
    platforms: &[],
    first_platform: 0,
};

const AARCH64: Names = Names {
    hwcaps: &[
        "fp", "asimd", "evtstrm", "aes", "pmull", "sha1", "sha2", "crc32", "atomics", "fphp",
        "asimdhp", "cpuid", "asimdrdm", "jscvt", "fcma", "lrcpc", "dcpop", "sha3", "sm3", "sm4",
        "asimddp", "sha512", "sve", "asimdfhm", "dit", "uscat", "ilrcpc", "flagm", "ssbs", "sb",
        "paca", "pacg",
    ],
    important: &["atomics"],
    platforms: &[],
    first_platform: 0,
};

/// Names that are empty in glibc are `/` here, which matches no component.
const POWERPC: Names = Names {
    hwcaps: &[
        "ppcle",
        "true_le",
        "/",
        "/",
        "/",
        "/",
        "archpmu",
        "vsx",
        "arch_2_06",
        "power6x",
        "dfp",
        "pa6t",
        "arch_2_05",
        "ic_snoop",
        "smt",
        "booke",
        "cellbe",
        "power5+",
        "power5",
        "power4",
        "notb",
        "efpdouble",
        "efpsingle",
        "spe",
        "ucache",
        "4xxmac",
        "mmu",
        "fpu",
        "altivec",
        "ppc601",
        "ppc64",
        "ppc32",
        "/",
        "/",
        "/",
        "/",
        "/",
        "/",
        "/",
        "/",
        "/",
        "/",
        "/",
        "/",
        "/",
        "/",
        "/",
        "/",
        "/",
        "mma",
        "arch_3_1",
        "htm-no-suspend",
        "scv",
        "darn",
        "ieee128",
        "arch_3_00",
        "htm-nosc",
        "vcrypto",
        "tar",
        "isel",
        "ebb",
        "dscr",
        "htm",
        "arch_2_07",
    ],
    important: &["altivec", "dfp"],
    platforms: &[
        "power4",
        "ppc970",
        "power5",
        "power5+",
        "power6",
        "ppc-cell-be",
        "power6x",
        "power7",
        "ppca2",
        "ppc405",
        "ppc440",
        "ppc464",
        "ppc476",
        "power8",
        "power9",
        "power10",
    ],
    first_platform: 32,
};

const S390: Names = Names {
    hwcaps: &[
        "esan3", "zarch", "stfle", "msa", "ldisp", "eimm", "dfp", "edat", "etf3eh", "highgprs",
        "te", "vx", "vxd", "vxe", "gs", "vxe2", "vxp", "sort", "dflt", "vxp2", "nnpa", "pcimio",
        "sie",
    ],
    important: &["zarch", "ldisp", "eimm", "dfp", "vx", "vxe", "vxe2"],
    platforms: &[
        "g5", "z900", "z990", "z9-109", "z10", "z196", "zEC12", "z13", "z14", "z15", "z16",
    ],
    first_platform: 32,
};

const MIPS: Names = Names {
    hwcaps: &[],
    important: &[],
    platforms: &["loongson2e", "loongson2f", "octeon", "octeon2"],
    first_platform: 0,
};
