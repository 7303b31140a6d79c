//! What a module says of itself: the `.modinfo` section and the symbols that it exports.

use super::elf::{BadElf, Elf};

/// Symbols that stand for what a module exports begin with this.
const EXPORT: &[u8] = b"__ksymtab_";

/// One module's own words.
#[derive(Debug, Default)]
pub(crate) struct ModInfo {
    /// Names of modules that must be loaded before it.
    pub(crate) depends: Vec<Vec<u8>>,
    /// Patterns of devices and other things that it is for.
    pub(crate) aliases: Vec<Vec<u8>>,
    /// `pre: a b post: c`
    pub(crate) softdeps: Vec<Vec<u8>>,
    /// What it exports.
    pub(crate) symbols: Vec<Vec<u8>>,
    /// Release of the kernel that it was built for: the first word of its `vermagic`.
    pub(crate) built_for: Option<Vec<u8>>,
}

impl ModInfo {
    /// Reads an ELF file.
    pub(crate) fn parse(module: &[u8]) -> Result<Self, BadElf> {
        let elf = Elf::parse(module)?;
        let section = elf.section(".modinfo")?.ok_or(BadElf)?;
        let mut info = Self::default();
        for (key, value) in fields(section) {
            match key {
                b"depends" => info.depends.extend(
                    value
                        .split(|byte| *byte == b',')
                        .filter(|name| !name.is_empty())
                        .map(module_name),
                ),
                b"alias" if is_plain(value) => info.aliases.push(value.to_vec()),
                b"vermagic" => info.built_for = value.split(|byte| *byte == b' ').next().map(<[u8]>::to_vec),
                b"softdep" if is_plain(value) => info.softdeps.push(value.to_vec()),
                _ => {}
            }
        }
        let exports = elf.symbols()?.filter_map(|name| name.strip_prefix(EXPORT));
        info.symbols = exports
            .filter(|name| is_plain(name))
            .map(<[u8]>::to_vec)
            .collect();
        Ok(info)
    }

    /// Bytes that it takes in memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let all = [&self.depends, &self.aliases, &self.softdeps, &self.symbols];
        all.into_iter().flatten().map(|text| text.len() + 24).sum()
    }

    /// Modules that it wants to have loaded before it, if they are there.
    pub(crate) fn wanted_before(&self) -> impl Iterator<Item = &[u8]> {
        self.softdeps.iter().flat_map(|softdep| {
            let words = softdep
                .split(|byte| *byte == b' ')
                .filter(|word| !word.is_empty());
            words
                .scan(false, |before, word| {
                    match word {
                        b"pre:" => *before = true,
                        b"post:" => *before = false,
                        _ => return Some(before.then_some(word)),
                    }
                    Some(None)
                })
                .flatten()
        })
    }
}

/// Keys and values of a `.modinfo` section.
pub(crate) fn fields(section: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    section.split(|byte| *byte == 0).filter_map(|field| {
        let equals = field.iter().position(|byte| *byte == b'=')?;
        Some((&field[..equals], &field[equals + 1..]))
    })
}

/// The name under which the kernel knows a module: file names have `-` where it has `_`.
pub(crate) fn module_name(name: &[u8]) -> Vec<u8> {
    name.iter()
        .map(|byte| if *byte == b'-' { b'_' } else { *byte })
        .collect()
}

/// Printable ASCII: all that fits in a line of an index.
pub(crate) fn is_plain(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| (b' '..=b'~').contains(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::elf::tests::module;
    use super::*;

    #[test]
    fn a_modules_words_are_read() {
        let data = module(
            b"license=GPL\0alias=virtio:d00000001v*\0depends=virtio-ring,virtio,\0\0alias=bad\nline\0\
              softdep=pre: crc32c a post: b pre: c\0nothing\0vermagic=6.1.0-9 SMP mod_unload \0",
            &["__ksymtab_one", "two", "__ksymtab_three"],
        );
        let info = ModInfo::parse(&data).unwrap();
        assert_eq!(info.depends, [&b"virtio_ring"[..], b"virtio"]);
        assert_eq!(info.aliases, [b"virtio:d00000001v*"]);
        assert_eq!(info.symbols, [&b"one"[..], b"three"]);
        assert_eq!(info.built_for.as_deref(), Some(&b"6.1.0-9"[..]));
        let before: Vec<_> = info.wanted_before().collect();
        assert_eq!(before, [&b"crc32c"[..], b"a", b"c"]);
    }

    #[test]
    fn what_has_no_modinfo_is_no_module() {
        assert!(ModInfo::parse(&super::super::elf::tests::kernel(1000)).is_err());
        assert!(ModInfo::parse(b"text").is_err());
    }

    proptest! {
        #[test]
        fn no_section_makes_it_panic(section in prop::collection::vec(any::<u8>(), 0..300)) {
            let info = ModInfo::parse(&module(&section, &[])).unwrap();
            let _ = info.wanted_before().count();
        }
    }
}
