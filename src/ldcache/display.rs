//! Cache entries in the format of `ldconfig -p` of glibc up to 2.36, which has more details than later ones.

use std::fmt::{Display, Formatter, Result};

use super::format::{CacheEntry, Hwcap};
use crate::printable::escape;

const TYPE_MASK: u32 = 0xff;
const REQUIRED_MASK: u32 = 0xff00;
const TYPES: [&str; 4] = ["libc4", "ELF", "libc5", "libc6"];
const SYSTEMS: [&str; 6] = ["Linux", "Hurd", "Solaris", "FreeBSD", "kNetBSD", "Syllable"];

impl Display for CacheEntry<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} ({}", Printable(self.soname), Flags(self.flags))?;
        match self.hwcap {
            Hwcap::Bits(0) => {}
            Hwcap::Bits(bits) => write!(f, ", hwcap: {bits:#018x}")?,
            Hwcap::Directory { name, .. } => write!(f, ", hwcap: \"{}\"", Printable(name))?,
        }
        if self.os_version != 0 {
            let [system, major, minor, patch] = self.os_version.to_be_bytes();
            let system = SYSTEMS.get(usize::from(system)).unwrap_or(&"Unknown OS");
            write!(f, ", OS ABI: {system} {major}.{minor}.{patch}")?;
        }
        write!(f, ") => {}", Printable(self.path))
    }
}

/// Formats an entry's flags as words.
pub struct Flags(
    /// The flags.
    pub u32,
);

impl Display for Flags {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let kind = usize::try_from(self.0 & TYPE_MASK).ok();
        f.write_str(kind.and_then(|it| TYPES.get(it)).unwrap_or(&"unknown"))?;
        let required = self.0 & REQUIRED_MASK;
        f.write_str(match required {
            0 => "",
            0x0100 | 0x0400 | 0x0500 | 0x0700 => ",64bit",
            0x0200 => ",IA-64",
            0x0300 => ",x86-64",
            0x0600 => ",N32",
            0x0800 => ",x32",
            0x0900 => ",hard-float",
            0x0a00 => ",AArch64",
            0x0b00 | 0x0f00 | 0x1100 => ",soft-float",
            0x0c00 => ",nan2008",
            0x0d00 => ",N32,nan2008",
            0x0e00 => ",64bit,nan2008",
            0x1000 | 0x1200 => ",double-float",
            _ => return write!(f, ",{required}"),
        })
    }
}

/// Escapes bytes from a cache, whose author may be an image's: control characters would reach the terminal.
pub struct Printable<'a>(
    /// The bytes.
    pub &'a [u8],
);

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(&escape(&String::from_utf8_lossy(self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(flags: u32, os_version: u32, hwcap: Hwcap<'_>) -> String {
        let entry = CacheEntry {
            soname: b"liba.so.1",
            path: b"/lib/liba.so.1",
            flags,
            os_version,
            hwcap,
        };
        entry.to_string()
    }

    #[test]
    fn entries_are_printed_as_by_ldconfig() {
        let plain = Hwcap::Bits(0);
        for (flags, os_version, hwcap, words) in [
            (0x303, 0, plain, "libc6,x86-64"),
            (1, 0, plain, "ELF"),
            (7, 0, plain, "unknown"),
            (0xff03, 0, plain, "libc6,65280"),
            (3, 0x0003_0200, plain, "libc6, OS ABI: Linux 3.2.0"),
            (3, 0x0902_0610, plain, "libc6, OS ABI: Unknown OS 2.6.16"),
            (
                0x303,
                0,
                Hwcap::Bits(1 << 50),
                "libc6,x86-64, hwcap: 0x0004000000000000",
            ),
            (
                0x303,
                0x0003_0200,
                Hwcap::Directory {
                    name: b"x86-64-v3",
                    isa_level: 2,
                },
                "libc6,x86-64, hwcap: \"x86-64-v3\", OS ABI: Linux 3.2.0",
            ),
        ] {
            assert_eq!(
                text(flags, os_version, hwcap),
                format!("liba.so.1 ({words}) => /lib/liba.so.1")
            );
        }
    }

    #[test]
    fn each_abi_has_its_words() {
        for (flags, words) in [
            (0x0103, "libc6,64bit"),
            (0x0203, "libc6,IA-64"),
            (0x0403, "libc6,64bit"),
            (0x0503, "libc6,64bit"),
            (0x0603, "libc6,N32"),
            (0x0703, "libc6,64bit"),
            (0x0803, "libc6,x32"),
            (0x0903, "libc6,hard-float"),
            (0x0a03, "libc6,AArch64"),
            (0x0b03, "libc6,soft-float"),
            (0x0c03, "libc6,nan2008"),
            (0x0d03, "libc6,N32,nan2008"),
            (0x0e03, "libc6,64bit,nan2008"),
            (0x0f03, "libc6,soft-float"),
            (0x1003, "libc6,double-float"),
            (0x1103, "libc6,soft-float"),
            (0x1203, "libc6,double-float"),
            (0, "libc4"),
            (2, "libc5"),
        ] {
            assert_eq!(Flags(flags).to_string(), words, "{flags:#x}");
        }
    }

    #[test]
    fn nothing_reaches_the_terminal_that_is_no_text() {
        let text = Printable(b"a\x1b[2J\xff\xc3\xa9").to_string();
        assert_eq!(text, "a\\u{1b}[2J\u{fffd}é");
    }
}
