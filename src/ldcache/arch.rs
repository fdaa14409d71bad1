//! Differences between architectures: flags of cache entries, directory names, the signedness of `char`.

use goblin::elf::header::{
    EM_386, EM_AARCH64, EM_ARM, EM_LOONGARCH, EM_MIPS, EM_PPC, EM_PPC64, EM_RISCV, EM_S390,
    EM_SPARC, EM_SPARC32PLUS, EM_SPARCV9, EM_X86_64,
};

use crate::elf::{Class, Object, Source};

/// The flag of a library with an unknown C library; used up to glibc 2.36.
pub const FLAG_ELF: u32 = 1;
/// The flag of a library for libc5, which a line of ld.so.conf can claim up to glibc 2.36.
pub const FLAG_ELF_LIBC5: u32 = 2;
/// The flag of a library for glibc, to which architectures add their own.
pub const FLAG_ELF_LIBC6: u32 = 3;

/// A family of machines that ldconfig treats alike.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Arch {
    /// i386, x86-64 and x32.
    X86,
    /// arm and aarch64.
    Arm,
    /// Little-endian and big-endian POWER.
    PowerPc,
    /// s390 and s390x.
    S390,
    /// riscv32 and riscv64.
    RiscV,
    /// mips, mips64, n32.
    Mips,
    /// loongarch64.
    LoongArch,
    /// sparc and sparc64.
    Sparc,
    /// Any other: one ABI without a flag of its own.
    Other,
}

/// The fields of an ELF header that determine a library's flag.
#[derive(Clone, Copy, Debug)]
pub struct Abi {
    /// The word size.
    pub class: Class,
    /// `e_machine`
    pub machine: u16,
    /// `e_flags`
    pub flags: u32,
}

impl Abi {
    /// Returns the ABI of an ELF file.
    #[must_use]
    pub fn of<S: Source + ?Sized>(object: &Object<'_, S>) -> Self {
        Self {
            class: object.class(),
            machine: object.machine(),
            flags: object.flags(),
        }
    }
}

impl Arch {
    /// Returns the family of `e_machine`.
    #[must_use]
    pub fn of(machine: u16) -> Self {
        match machine {
            EM_386 | EM_X86_64 => Self::X86,
            EM_ARM | EM_AARCH64 => Self::Arm,
            EM_PPC | EM_PPC64 => Self::PowerPc,
            EM_S390 => Self::S390,
            EM_RISCV => Self::RiscV,
            EM_MIPS => Self::Mips,
            EM_LOONGARCH => Self::LoongArch,
            EM_SPARC | EM_SPARC32PLUS | EM_SPARCV9 => Self::Sparc,
            _ => Self::Other,
        }
    }

    /// Returns the flag of a library in the cache, or `None` if it does not enter; `base` is the flag for its C library.
    ///
    /// Only x86 checks `e_machine`; the other families accept every library of a known class, as their ldconfig does.
    #[must_use]
    pub fn flag(self, abi: Abi, base: u32) -> Option<u32> {
        use Class::{Bits32, Bits64};
        let libc6 = |flag: u32| Some(flag | FLAG_ELF_LIBC6);
        match (self, abi.class) {
            (Self::X86, class) => match (abi.machine, class) {
                (EM_X86_64, Bits64) => libc6(0x0300),
                (EM_X86_64, Bits32) => libc6(0x0800),
                (EM_386, Bits32) => Some(base),
                _ => None,
            },
            (Self::Arm, Bits64) => libc6(0x0a00),
            (Self::Arm, Bits32) if abi.flags >> 24 == 5 => match abi.flags & 0x600 {
                0x400 => libc6(0x0900),
                0x200 => libc6(0x0b00),
                _ => Some(base),
            },
            (Self::PowerPc, Bits64) => libc6(0x0500),
            (Self::S390, Bits64) => libc6(0x0400),
            (Self::Sparc, Bits64) => libc6(0x0100),
            (Self::RiscV, _) => match abi.flags {
                flags if flags & !7 != 0 => None,
                flags if flags & 6 == 0 => libc6(0x0f00),
                flags if flags & 6 == 4 => libc6(0x1000),
                _ => None,
            },
            (Self::Mips, Bits64) if abi.flags & 0x400 != 0 => libc6(0x0e00),
            (Self::Mips, Bits64) => libc6(0x0700),
            (Self::Mips, Bits32) => match (abi.flags & 0x20 != 0, abi.flags & 0x400 != 0) {
                (true, false) => libc6(0x0600),
                (true, true) => libc6(0x0d00),
                (false, true) => libc6(0x0c00),
                (false, false) => Some(base),
            },
            (Self::LoongArch, _) => match abi.flags & !0x40 {
                3 => libc6(0x1200),
                1 => libc6(0x1100),
                _ => None,
            },
            _ => Some(base),
        }
    }

    /// Returns the flags that the loaders of this family accept: a root may have a loader for each word size.
    #[must_use]
    pub fn loaded_flags(self) -> &'static [u32] {
        match self {
            Self::X86 => &[0x0303, 0x0803, FLAG_ELF_LIBC6, FLAG_ELF],
            Self::Arm => &[0x0a03, 0x0903, 0x0b03, FLAG_ELF_LIBC6],
            Self::PowerPc => &[0x0503, FLAG_ELF_LIBC6, FLAG_ELF],
            Self::S390 => &[0x0403, FLAG_ELF_LIBC6, FLAG_ELF],
            Self::RiscV => &[0x1003, 0x0f03],
            Self::Mips => &[
                0x0703,
                0x0603,
                0x0e03,
                0x0d03,
                0x0c03,
                FLAG_ELF_LIBC6,
                FLAG_ELF,
            ],
            Self::LoongArch => &[0x1203, 0x1103],
            Self::Sparc => &[0x0103, FLAG_ELF_LIBC6, FLAG_ELF],
            Self::Other => &[FLAG_ELF_LIBC6, FLAG_ELF],
        }
    }

    /// Whether `char` is signed, which affects the order of names with bytes above 0x7f.
    #[must_use]
    pub fn char_is_signed(self) -> bool {
        matches!(
            self,
            Self::X86 | Self::Mips | Self::LoongArch | Self::Sparc | Self::Other
        )
    }

    /// Returns the equivalent library directories: a built-in directory that ends in one of them stands for all, in this order.
    /// `glibc` is the minor version: 2.42 removed aarch64's ilp32 ABI.
    #[must_use]
    pub fn sibling_directories(self, class: Class, glibc: u32) -> &'static [&'static str] {
        match (self, class) {
            (Self::X86, Class::Bits64) => &["/lib", "/lib64", "/libx32"],
            (Self::Arm, Class::Bits64) if glibc < 42 => &["/lib", "/lib64", "/libilp32"],
            (Self::Arm | Self::Sparc, Class::Bits64) => &["/lib", "/lib64"],
            (Self::Mips, _) => &["/lib", "/lib32", "/lib64"],
            (Self::RiscV, _) => &[
                "/lib",
                "/lib64/lp64d",
                "/lib64/lp64",
                "/lib32/ilp32d",
                "/lib32/ilp32",
            ],
            (Self::LoongArch, _) => &["/lib", "/lib64", "/lib64/sf"],
            _ => &[],
        }
    }
}
