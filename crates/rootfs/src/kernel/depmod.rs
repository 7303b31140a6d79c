//! The lists and indices that `depmod` makes when a kernel is installed; packages come without them.
//!
//! kmod's `modprobe` reads only the binary indices, other tools (busybox, systemd, people) the text: both are written.

use super::error::KernelError;
use super::index::{Index, TooLarge};
use super::modules::{Module, ModuleId, Modules};

/// Most bytes of one list; `modules.dep` of a full distribution kernel has 0.6 MiB.
const LARGEST: usize = 64 << 20;

/// Names and contents of the files, in a fixed order.
///
/// # Errors
/// [`KernelError::TooMuch`].
pub(crate) fn files(modules: &Modules) -> Result<Vec<(&'static str, Vec<u8>)>, KernelError> {
    let mut dep = List::new("dependencies");
    let mut alias = List::new("aliases");
    let mut symbol = List::new("symbols");
    let mut soft = List::new("soft dependencies");
    let mut devname = List::new("device names");
    alias.line(&[b"# Aliases extracted from modules themselves."])?;
    symbol.line(&[b"# Aliases for symbols, used by symbol_request()."])?;
    soft.line(&[b"# Soft dependencies extracted from modules themselves."])?;
    devname.line(&[b"# Device nodes to trigger on-demand module loading."])?;

    for (id, module) in modules.all.iter().enumerate() {
        let line = dependencies(modules, id)?;
        dep.index.insert(&module.name, &line, priority(id));
        dep.line(&[&line])?;
        for pattern in &module.info.aliases {
            alias.line(&[b"alias ", pattern, b" ", &module.name])?;
            alias
                .index
                .insert(&normalized(pattern), &module.name, priority(id));
        }
        for name in &module.info.symbols {
            let key = [b"symbol:", name.as_slice()].concat();
            symbol.line(&[b"alias ", &key, b" ", &module.name])?;
            symbol.index.insert(&key, &module.name, priority(id));
        }
        for softdep in &module.info.softdeps {
            soft.line(&[b"softdep ", &module.name, b" ", softdep])?;
        }
        if let Some(line) = device(module) {
            devname.line(&[&line])?;
        }
    }
    let mut builtin = List::new("built-in modules");
    let mut builtin_alias = List::new("aliases");
    for (name, aliases) in &modules.builtin {
        builtin.index.insert(name, b"", 0);
        for pattern in aliases {
            builtin_alias.index.insert(&normalized(pattern), name, 0);
        }
    }
    Ok(vec![
        ("modules.alias.bin", alias.encode()?),
        ("modules.alias", alias.text),
        ("modules.builtin.alias.bin", builtin_alias.encode()?),
        ("modules.builtin.bin", builtin.encode()?),
        ("modules.dep.bin", dep.encode()?),
        ("modules.dep", dep.text),
        ("modules.devname", devname.text),
        ("modules.softdep", soft.text),
        ("modules.symbols.bin", symbol.encode()?),
        ("modules.symbols", symbol.text),
    ])
}

/// A text and its index.
struct List {
    what: &'static str,
    text: Vec<u8>,
    index: Index,
}

impl List {
    fn new(what: &'static str) -> Self {
        Self {
            what,
            text: Vec::new(),
            index: Index::default(),
        }
    }

    fn line(&mut self, parts: &[&[u8]]) -> Result<(), KernelError> {
        for part in parts {
            self.text.extend(*part);
        }
        self.text.push(b'\n');
        match self.text.len() > LARGEST {
            true => Err(self.too_large()),
            false => Ok(()),
        }
    }

    fn encode(&mut self) -> Result<Vec<u8>, KernelError> {
        let index = std::mem::take(&mut self.index);
        index.encode().map_err(|TooLarge| self.too_large())
    }

    fn too_large(&self) -> KernelError {
        KernelError::TooMuch {
            what: self.what,
            limit: LARGEST,
        }
    }
}

fn priority(id: ModuleId) -> u32 {
    u32::try_from(id).unwrap_or(u32::MAX)
}

/// `path: path path`; the last is loaded first.
fn dependencies(modules: &Modules, id: ModuleId) -> Result<Vec<u8>, KernelError> {
    let mut line = modules.all[id].path.clone();
    line.push(b':');
    for needed in modules.needs(id)?.into_iter().rev() {
        line.push(b' ');
        line.extend(&modules.all[needed].path);
    }
    Ok(line)
}

/// A pattern as modprobe looks for it: `-` and `_` are the same, but not within brackets.
fn normalized(pattern: &[u8]) -> Vec<u8> {
    let mut within = false;
    let normal = pattern.iter().map(|byte| {
        match byte {
            b'[' => within = true,
            b']' => within = false,
            b'-' if !within => return b'_',
            _ => {}
        }
        *byte
    });
    normal.collect()
}

/// `module name c10:229`, for a module whose device node is to be there before the module is.
fn device(module: &Module) -> Option<Vec<u8>> {
    let aliases = || module.info.aliases.iter();
    let name = aliases().find_map(|alias| alias.strip_prefix(b"devname:"))?;
    let (kind, numbers) = aliases().find_map(|alias| {
        let (kind, numbers) = match alias.strip_prefix(b"char-major-") {
            Some(numbers) => (b'c', numbers),
            None => (b'b', alias.strip_prefix(b"block-major-")?),
        };
        let dash = numbers.iter().position(|byte| *byte == b'-')?;
        let (major, minor) = (&numbers[..dash], &numbers[dash + 1..]);
        let numeric = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        (numeric(major) && numeric(minor)).then(|| (kind, [major, b":", minor].concat()))
    })?;
    let line = [&module.name, &b" "[..], name, b" ", &[kind], &numbers];
    Some(line.concat())
}

#[cfg(test)]
mod tests {
    use super::super::index::tests::read;
    use super::super::modules::Lists;
    use super::super::modules::tests::modules;
    use super::*;

    fn file(files: &[(&'static str, Vec<u8>)], wanted: &str) -> Vec<u8> {
        let found = files.iter().find(|(name, _)| *name == wanted);
        found.unwrap_or_else(|| panic!("no {wanted}")).1.clone()
    }

    fn text(files: &[(&'static str, Vec<u8>)], wanted: &str) -> String {
        String::from_utf8(file(files, wanted)).unwrap()
    }

    #[test]
    fn lists_and_indices_say_the_same() {
        let lists = Lists {
            builtin: b"kernel/fs/ext4/ext4.ko\n".to_vec(),
            builtin_modinfo: b"ext4.alias=fs-ext4\0".to_vec(),
            ..Lists::default()
        };
        let all: [(&str, &[&str]); 3] = [
            ("kernel/a/fuse.ko", &["b"]),
            ("kernel/b.ko.xz", &["c"]),
            ("kernel/c.ko", &[]),
        ];
        let mut modules = modules(&all, &lists);
        modules.all[0].info.aliases = [&b"devname:fuse"[..], b"char-major-10-229", b"x-y:[a-z]-*"]
            .map(<[u8]>::to_vec)
            .to_vec();
        modules.all[1].info.softdeps = vec![b"pre: c".to_vec()];
        modules.all[2].info.symbols = vec![b"c_do".to_vec()];
        let files = files(&modules).unwrap();

        assert_eq!(
            text(&files, "modules.dep"),
            "kernel/a/fuse.ko: kernel/b.ko.xz kernel/c.ko\nkernel/b.ko.xz: kernel/c.ko\nkernel/c.ko:\n"
        );
        let mut index = read(&file(&files, "modules.dep.bin"));
        index.sort();
        let by_name: Vec<_> = index
            .iter()
            .map(|(key, values)| (key.as_slice(), values[0].1.as_slice()))
            .collect();
        assert_eq!(
            by_name,
            [
                (&b"b"[..], &b"kernel/b.ko.xz: kernel/c.ko"[..]),
                (b"c", b"kernel/c.ko:"),
                (b"fuse", b"kernel/a/fuse.ko: kernel/b.ko.xz kernel/c.ko"),
            ]
        );
        assert!(text(&files, "modules.alias").ends_with("\nalias x-y:[a-z]-* fuse\n"));
        let aliases: Vec<_> = read(&file(&files, "modules.alias.bin"))
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        assert!(aliases.contains(&b"x_y:[a-z]_*".to_vec()));
        assert!(text(&files, "modules.softdep").ends_with("\nsoftdep b pre: c\n"));
        assert!(text(&files, "modules.symbols").ends_with("\nalias symbol:c_do c\n"));
        assert!(text(&files, "modules.devname").ends_with("\nfuse fuse c10:229\n"));
        let builtin = read(&file(&files, "modules.builtin.alias.bin"));
        assert_eq!(builtin, [(b"fs_ext4".to_vec(), vec![(0, b"ext4".to_vec())])]);
        assert_eq!(
            read(&file(&files, "modules.builtin.bin")),
            [(b"ext4".to_vec(), vec![(0, Vec::new())])]
        );
    }
}
