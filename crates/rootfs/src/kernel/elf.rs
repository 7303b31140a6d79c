//! Just enough of ELF for kernels and modules: 64 bits, little-endian, sections by name. Every offset is checked.

const HEADER: usize = 64;
const SECTION: usize = 64;
const SEGMENT: usize = 56;
const SYMBOL: usize = 24;
const EXECUTABLE: u16 = 2;
const SHARED: u16 = 3;
const X86_64: u16 = 62;
const LOAD: u32 = 1;
/// A section that takes no room in the file.
const NO_BITS: u32 = 8;

/// What is not an ELF file of that kind, or is cut short.
#[derive(Debug)]
pub(crate) struct BadElf;

/// A file whose tables lie within it.
#[derive(Debug)]
pub(crate) struct Elf<'a> {
    data: &'a [u8],
    sections: &'a [u8],
    segments: &'a [u8],
    /// Names of the sections.
    names: &'a [u8],
}

impl<'a> Elf<'a> {
    pub(crate) fn parse(data: &'a [u8]) -> Result<Self, BadElf> {
        let header = data.get(..HEADER).ok_or(BadElf)?;
        if !header.starts_with(b"\x7fELF\x02\x01\x01") {
            return Err(BadElf);
        }
        let table = |offset: usize, size: usize, count: usize, expected: usize| {
            let (count, entry) = (u16_at(header, count)?, u16_at(header, size)?);
            match (count, usize::from(entry) == expected) {
                (0, _) => Ok(&data[..0]),
                (_, true) => part(data, u64_at(header, offset)?, u64::from(count) * u64::from(entry)),
                (_, false) => Err(BadElf),
            }
        };
        let segments = table(32, 54, 56, SEGMENT)?;
        let sections = table(40, 58, 60, SECTION)?;
        let mut elf = Self {
            data,
            sections,
            segments,
            names: &[],
        };
        let names = usize::from(u16_at(header, 62)?);
        let section = elf.sections().nth(names);
        if let Some(section) = section {
            elf.names = elf.content(section)?;
        }
        Ok(elf)
    }

    /// Whether it is an x86-64 executable whose segments lie within the file.
    pub(crate) fn is_kernel(&self) -> bool {
        let kind = u16_at(self.data, 16);
        let machine = u16_at(self.data, 18);
        let mut loads = 0;
        let whole = self.segments.chunks_exact(SEGMENT).all(|segment| {
            let found = (u32_at(segment, 0), u64_at(segment, 8), u64_at(segment, 32));
            let (Ok(kind), Ok(offset), Ok(size)) = found else {
                return false;
            };
            loads += usize::from(kind == LOAD);
            part(self.data, offset, size).is_ok()
        });
        matches!(kind, Ok(EXECUTABLE | SHARED)) && matches!(machine, Ok(X86_64)) && whole && loads > 0
    }

    /// The content of a section; nothing if there is no such section.
    pub(crate) fn section(&self, name: &str) -> Result<Option<&'a [u8]>, BadElf> {
        let found = self.sections().find(|section| {
            u32_at(section, 0).is_ok_and(|at| text_at(self.names, at) == Some(name.as_bytes()))
        });
        found.map(|section| self.content(section)).transpose()
    }

    /// The names of all symbols.
    pub(crate) fn symbols(&self) -> Result<impl Iterator<Item = &'a [u8]>, BadElf> {
        let symbols = self.section(".symtab")?.unwrap_or_default();
        let names = self.section(".strtab")?.unwrap_or_default();
        let names = symbols
            .chunks_exact(SYMBOL)
            .filter_map(move |symbol| text_at(names, u32_at(symbol, 0).ok()?));
        Ok(names)
    }

    fn sections(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.sections.chunks_exact(SECTION)
    }

    fn content(&self, section: &[u8]) -> Result<&'a [u8], BadElf> {
        if u32_at(section, 4)? == NO_BITS {
            return Ok(&[]);
        }
        part(self.data, u64_at(section, 24)?, u64_at(section, 32)?)
    }
}

fn part(data: &[u8], offset: u64, length: u64) -> Result<&[u8], BadElf> {
    let start = usize::try_from(offset).map_err(|_| BadElf)?;
    let length = usize::try_from(length).map_err(|_| BadElf)?;
    let end = start.checked_add(length).ok_or(BadElf)?;
    data.get(start..end).ok_or(BadElf)
}

/// The zero-terminated text at an offset.
fn text_at(names: &[u8], at: u32) -> Option<&[u8]> {
    let rest = names.get(at as usize..)?;
    rest.split(|byte| *byte == 0).next()
}

fn array<const N: usize>(data: &[u8], at: usize) -> Result<[u8; N], BadElf> {
    let bytes = data.get(at..at + N).ok_or(BadElf)?;
    bytes.try_into().map_err(|_| BadElf)
}

fn u16_at(data: &[u8], at: usize) -> Result<u16, BadElf> {
    array(data, at).map(u16::from_le_bytes)
}

fn u32_at(data: &[u8], at: usize) -> Result<u32, BadElf> {
    array(data, at).map(u32::from_le_bytes)
}

fn u64_at(data: &[u8], at: usize) -> Result<u64, BadElf> {
    array(data, at).map(u64::from_le_bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(kind: u16, segments: (u64, u16), sections: (u64, u16), names: u16) -> Vec<u8> {
        let mut out = b"\x7fELF\x02\x01\x01".to_vec();
        out.resize(HEADER, 0);
        out[16..18].copy_from_slice(&kind.to_le_bytes());
        out[18..20].copy_from_slice(&X86_64.to_le_bytes());
        out[32..40].copy_from_slice(&segments.0.to_le_bytes());
        out[40..48].copy_from_slice(&sections.0.to_le_bytes());
        for (at, value) in [
            (54, SEGMENT as u16),
            (56, segments.1),
            (58, SECTION as u16),
            (60, sections.1),
            (62, names),
        ] {
            out[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        out
    }

    /// A kernel of `size` bytes that would not boot.
    pub(crate) fn kernel(size: usize) -> Vec<u8> {
        let mut out = header(EXECUTABLE, (HEADER as u64, 1), (0, 0), 0);
        let mut segment = [0; SEGMENT];
        segment[0] = LOAD as u8;
        let start = HEADER + SEGMENT;
        segment[8..16].copy_from_slice(&(start as u64).to_le_bytes());
        segment[32..40].copy_from_slice(&((size - start) as u64).to_le_bytes());
        out.extend(segment);
        out.extend((start..size).map(|at| (at * at / 3) as u8));
        out
    }

    /// A module with these sections, and these symbols if any.
    pub(crate) fn module(modinfo: &[u8], symbols: &[&str]) -> Vec<u8> {
        let mut strings = vec![0];
        let mut table = vec![0; SYMBOL];
        for symbol in symbols {
            let mut entry = [0; SYMBOL];
            entry[..4].copy_from_slice(&(strings.len() as u32).to_le_bytes());
            table.extend(entry);
            strings.extend(symbol.bytes());
            strings.push(0);
        }
        let names = b"\0.modinfo\0.symtab\0.strtab\0.shstrtab\0";
        let contents: [(u32, &[u8]); 5] = [(0, &[]), (1, modinfo), (10, &table), (18, &strings), (26, names)];
        let mut body: Vec<u8> = Vec::new();
        let mut sections = Vec::new();
        for (name, content) in contents {
            let mut section = [0; SECTION];
            section[..4].copy_from_slice(&name.to_le_bytes());
            section[24..32].copy_from_slice(&((HEADER + body.len()) as u64).to_le_bytes());
            section[32..40].copy_from_slice(&(content.len() as u64).to_le_bytes());
            sections.extend(section);
            body.extend(content);
        }
        let mut out = header(1, (0, 0), ((HEADER + body.len()) as u64, 5), 4);
        out.extend(body);
        out.extend(sections);
        out
    }

    #[test]
    fn sections_and_symbols_are_found_by_name() {
        let data = module(b"a=b\0", &["first", "second"]);
        let elf = Elf::parse(&data).unwrap();
        assert_eq!(elf.section(".modinfo").unwrap(), Some(&b"a=b\0"[..]));
        assert_eq!(elf.section(".text").unwrap(), None);
        let symbols: Vec<_> = elf.symbols().unwrap().collect();
        assert_eq!(symbols, [&b""[..], b"first", b"second"]);
        assert!(!elf.is_kernel());
    }

    #[test]
    fn a_kernel_that_is_cut_short_is_none() {
        let data = kernel(2000);
        assert!(Elf::parse(&data).unwrap().is_kernel());
        assert!(!Elf::parse(&data[..1999]).unwrap().is_kernel());
        assert!(Elf::parse(&data[..100]).is_err());
        assert!(Elf::parse(b"").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(flips in prop::collection::vec((0_usize..2000, any::<u8>()), 0..12)) {
            let mut data = module(b"depends=a,b\0name=c\0", &["__ksymtab_x"]);
            for (at, byte) in flips {
                let at = at % data.len();
                data[at] = byte;
            }
            if let Ok(elf) = Elf::parse(&data) {
                let _ = elf.is_kernel();
                let _ = elf.section(".modinfo");
                if let Ok(symbols) = elf.symbols() {
                    let _ = symbols.count();
                }
            }
        }
    }
}
