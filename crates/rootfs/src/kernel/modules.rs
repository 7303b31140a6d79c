//! All modules of a kernel, and what depends on what.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use tarball::shown;

use super::error::KernelError;
use super::modinfo::{ModInfo, fields, is_plain, module_name};

/// Most modules that one of them may need; the most that a real one does is below 50.
const MOST_DEPENDENCIES: usize = 1000;
/// Memory for what all modules say of themselves.
const MOST_INFO: usize = 128 << 20;

/// One module.
#[derive(Debug)]
pub(crate) struct Module {
    /// The kernel's name for it.
    pub(crate) name: Vec<u8>,
    /// Path below the modules' root.
    pub(crate) path: Vec<u8>,
    pub(crate) info: ModInfo,
    /// Where the spool has its file.
    pub(crate) spooled: Range<u64>,
}

/// Position of a module in [`Modules::all`].
pub(crate) type ModuleId = usize;

/// All modules in the kernel's own order, and what is built in.
#[derive(Debug)]
pub(crate) struct Modules {
    pub(crate) all: Vec<Module>,
    by_name: HashMap<Vec<u8>, ModuleId>,
    /// Names of what is built in, with the aliases that are known of it.
    pub(crate) builtin: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
}

/// The lists that a package brings along.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// `modules.order`: paths, one a line; which of two drivers for one device comes first.
    pub(crate) order: Vec<u8>,
    /// `modules.builtin`: paths, one a line.
    pub(crate) builtin: Vec<u8>,
    /// `modules.builtin.modinfo`: `module.key=value`, each ended by a zero.
    pub(crate) builtin_modinfo: Vec<u8>,
}

/// Where a module may come from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Module(ModuleId),
    BuiltIn,
    Nowhere,
}

impl Modules {
    /// Brings modules into order.
    ///
    /// # Errors
    /// [`KernelError::DuplicateModule`] and [`KernelError::TooMuch`].
    pub(crate) fn new(mut all: Vec<Module>, lists: &Lists) -> Result<Self, KernelError> {
        let bytes: usize = all.iter().map(|module| module.info.bytes()).sum();
        if bytes > MOST_INFO {
            return Err(KernelError::TooMuch {
                what: "aliases and symbols",
                limit: MOST_INFO,
            });
        }
        let turn: HashMap<_, _> = lines(&lists.order)
            .enumerate()
            .map(|(turn, path)| (uncompressed(path), turn))
            .collect();
        // What the list lacks comes last, by its path.
        all.sort_by_cached_key(|module| {
            let turn = turn.get(uncompressed(&module.path)).copied();
            (turn.unwrap_or(usize::MAX), module.path.clone())
        });
        let mut by_name = HashMap::new();
        for (id, module) in all.iter().enumerate() {
            if by_name.insert(module.name.clone(), id).is_some() {
                return Err(KernelError::DuplicateModule {
                    name: shown(&module.name),
                });
            }
        }
        let mut builtin: BTreeMap<_, Vec<Vec<u8>>> = lines(&lists.builtin)
            .filter_map(|path| Some((name_of(path)?, Vec::new())))
            .collect();
        for (key, value) in fields(&lists.builtin_modinfo) {
            let Some(dot) = key.iter().position(|byte| *byte == b'.') else {
                continue;
            };
            if &key[dot + 1..] == b"alias" && is_plain(value) {
                let aliases = builtin.entry(module_name(&key[..dot])).or_default();
                aliases.push(value.to_vec());
            }
        }
        Ok(Self {
            all,
            by_name,
            builtin,
        })
    }

    /// Whether nothing is known of any module, built in or not.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.builtin.is_empty()
    }

    /// Checks that no module says it was built for another kernel.
    ///
    /// # Errors
    /// [`KernelError::Versions`].
    pub(crate) fn check_version(&self, version: &str) -> Result<(), KernelError> {
        let other = self.all.iter().find_map(|module| {
            let built_for = module.info.built_for.as_deref()?;
            (built_for != version.as_bytes()).then(|| shown(built_for))
        });
        match other {
            None => Ok(()),
            Some(other) => Err(KernelError::Versions {
                one: version.to_owned(),
                other,
            }),
        }
    }

    /// Looks for a module by its name.
    pub(crate) fn find(&self, name: &[u8]) -> Found {
        match self.by_name.get(name) {
            Some(id) => Found::Module(*id),
            None if self.builtin.contains_key(name) => Found::BuiltIn,
            None => Found::Nowhere,
        }
    }

    /// Looks for something by its name or by an alias without wildcards.
    pub(crate) fn find_alias(&self, name: &[u8]) -> Found {
        let is_alias = |aliases: &[Vec<u8>]| aliases.iter().any(|alias| module_name(alias) == name);
        match self.find(name) {
            Found::Nowhere if self.builtin.values().any(|aliases| is_alias(aliases)) => Found::BuiltIn,
            Found::Nowhere => match self.all.iter().position(|module| is_alias(&module.info.aliases)) {
                Some(id) => Found::Module(id),
                None => Found::Nowhere,
            },
            found => found,
        }
    }

    /// All that has to be loaded before a module, in load order. What is neither there nor built in is left out.
    ///
    /// # Errors
    /// [`KernelError::TooMuch`].
    pub(crate) fn needs(&self, id: ModuleId) -> Result<Vec<ModuleId>, KernelError> {
        let mut order = Vec::new();
        let mut seen = std::collections::HashSet::from([id]);
        // Not by recursion: how deep it goes is the package's choice.
        let mut path = vec![(id, 0)];
        while let Some((at, next)) = path.last_mut() {
            let (at, index) = (*at, *next);
            *next += 1;
            match self.all[at].info.depends.get(index) {
                Some(name) => {
                    if let Found::Module(needed) = self.find(name)
                        && seen.insert(needed)
                    {
                        path.push((needed, 0));
                    }
                }
                None => {
                    path.pop();
                    order.push(at);
                }
            }
            if seen.len() > MOST_DEPENDENCIES {
                return Err(KernelError::TooMuch {
                    what: "dependencies of one module",
                    limit: MOST_DEPENDENCIES,
                });
            }
        }
        order.pop();
        Ok(order)
    }
}

/// The lines of a list, without empty ones.
pub(crate) fn lines(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// The kernel's name for the module of a file; nothing where the file is no module.
pub(crate) fn name_of(path: &[u8]) -> Option<Vec<u8>> {
    let file = path.rsplit(|byte| *byte == b'/').next()?;
    let name = uncompressed(file).strip_suffix(b".ko")?;
    (!name.is_empty()).then(|| module_name(name))
}

/// A path without the ending that tells how the file is compressed.
fn uncompressed(path: &[u8]) -> &[u8] {
    let endings = [&b".xz"[..], b".zst", b".gz"];
    let found = endings.into_iter().find_map(|ending| path.strip_suffix(ending));
    found.unwrap_or(path)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Modules by path, each with the names of what it depends on.
    pub(crate) fn modules(all: &[(&str, &[&str])], lists: &Lists) -> Modules {
        let all = all.iter().map(|(path, depends)| Module {
            name: name_of(path.as_bytes()).unwrap(),
            path: path.as_bytes().to_vec(),
            info: ModInfo {
                depends: depends.iter().map(|name| name.as_bytes().to_vec()).collect(),
                ..ModInfo::default()
            },
            spooled: 0..0,
        });
        Modules::new(all.collect(), lists).unwrap()
    }

    pub(crate) fn names(modules: &Modules, ids: &[ModuleId]) -> Vec<String> {
        ids.iter().map(|id| shown(&modules.all[*id].name)).collect()
    }

    fn needs(modules: &Modules, name: &str) -> Vec<String> {
        let Found::Module(id) = modules.find(name.as_bytes()) else {
            panic!("no module {name}");
        };
        names(modules, &modules.needs(id).unwrap())
    }

    #[test]
    fn what_a_module_needs_comes_before_it_and_once() {
        let lists = Lists {
            builtin: b"kernel/lib/crc32.ko\n".to_vec(),
            ..Lists::default()
        };
        let all: [(&str, &[&str]); 5] = [
            ("kernel/virtio_net.ko", &["virtio_ring", "virtio", "net_failover"]),
            ("kernel/virtio.ko.xz", &["virtio_ring", "crc32", "unknown"]),
            ("kernel/virtio_ring.ko.zst", &[]),
            ("kernel/net-failover.ko", &["failover"]),
            ("kernel/failover.ko", &[]),
        ];
        let modules = modules(&all, &lists);
        assert_eq!(
            needs(&modules, "virtio_net"),
            ["virtio_ring", "virtio", "failover", "net_failover"]
        );
        assert_eq!(needs(&modules, "virtio"), ["virtio_ring"]);
        assert_eq!(modules.find(b"crc32"), Found::BuiltIn);
        assert_eq!(modules.find(b"unknown"), Found::Nowhere);
    }

    #[test]
    fn modules_that_need_each_other_have_an_end() {
        let modules = modules(
            &[("a.ko", &["b"]), ("b.ko", &["c"]), ("c.ko", &["a"])],
            &Lists::default(),
        );
        assert_eq!(needs(&modules, "a"), ["c", "b"]);
    }

    #[test]
    fn a_chain_that_is_too_long_is_refused_without_going_deep() {
        let names: Vec<String> = (0..3000).map(|number| format!("m{number}")).collect();
        let all: Vec<_> = (0..2999)
            .map(|number| Module {
                name: names[number].clone().into_bytes(),
                path: format!("{}.ko", names[number]).into_bytes(),
                info: ModInfo {
                    depends: vec![names[number + 1].clone().into_bytes()],
                    ..ModInfo::default()
                },
                spooled: 0..0,
            })
            .collect();
        let modules = Modules::new(all, &Lists::default()).unwrap();
        let Found::Module(first) = modules.find(b"m0") else {
            panic!("no m0");
        };
        assert!(matches!(modules.needs(first), Err(KernelError::TooMuch { .. })));
    }

    #[test]
    fn the_kernels_own_order_counts_before_names() {
        let lists = Lists {
            order: b"kernel/z.ko\nkernel/b.ko\n".to_vec(),
            ..Lists::default()
        };
        let all: [(&str, &[&str]); 4] = [
            ("kernel/a.ko", &[]),
            ("kernel/b.ko.xz", &[]),
            ("extra/y.ko", &[]),
            ("kernel/z.ko", &[]),
        ];
        let modules = modules(&all, &lists);
        assert_eq!(names(&modules, &[0, 1, 2, 3]), ["z", "b", "y", "a"]);
    }

    #[test]
    fn one_name_twice_is_refused() {
        let module = |path: &[u8]| Module {
            name: name_of(path).unwrap(),
            path: path.to_vec(),
            info: ModInfo::default(),
            spooled: 0..0,
        };
        let error = Modules::new(
            vec![module(b"a/x-y.ko"), module(b"b/x_y.ko.xz")],
            &Lists::default(),
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the kernel package holds the module `x_y` twice"
        );
    }

    #[test]
    fn an_alias_of_what_is_built_in_is_found_before_a_module() {
        let lists = Lists {
            builtin: b"kernel/crypto/crc32c_generic.ko\n".to_vec(),
            builtin_modinfo: b"crc32c_generic.alias=crc32c\0crc32c_generic.license=GPL\0".to_vec(),
            ..Lists::default()
        };
        let mut modules = modules(&[("kernel/crc32c-intel.ko", &[])], &lists);
        modules.all[0].info.aliases = vec![b"crc32c".to_vec(), b"crypto-crc32c-intel".to_vec()];
        assert_eq!(modules.find_alias(b"crc32c"), Found::BuiltIn);
        assert_eq!(modules.find_alias(b"crypto_crc32c_intel"), Found::Module(0));
        assert_eq!(modules.find_alias(b"sha1"), Found::Nowhere);
    }
}
