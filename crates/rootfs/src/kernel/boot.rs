//! The modules that a guest loads before it has a disk, in load order.

use super::error::KernelError;
use super::modules::{Found, ModuleId, Modules};

/// What a guest cannot come up without: the bus, its disks, the channel to the host, the file systems, its network.
const REQUIRED: [&[u8]; 7] = [
    b"virtio_pci",
    b"virtio_blk",
    b"virtio_console",
    b"erofs",
    b"ext4",
    b"overlay",
    b"virtio_net",
];
/// What some VMMs need and some kernels lack: Firecracker's bus, entropy, and its channel.
const WELCOME: [&[u8]; 3] = [b"virtio_mmio", b"virtio_rng", b"vmw_vsock_virtio_transport"];
/// Numbers have two digits.
const MOST: usize = 100;

/// The modules to load, each after what it depends on. What is built in is left out.
///
/// # Errors
/// [`KernelError::Lacks`] where something that has to be there is neither a module nor built in, and
/// [`KernelError::TooMuch`].
pub(crate) fn order(modules: &Modules) -> Result<Vec<ModuleId>, KernelError> {
    let mut order = Vec::new();
    let wanted = REQUIRED.map(|name| (name, true)).into_iter();
    for (name, required) in wanted.chain(WELCOME.map(|name| (name, false))) {
        match modules.find(name) {
            Found::Module(id) => add(modules, id, &mut order)?,
            Found::Nowhere if required => {
                return Err(KernelError::Lacks {
                    name: String::from_utf8_lossy(name).into_owned(),
                });
            }
            Found::BuiltIn | Found::Nowhere => {}
        }
        if order.len() > MOST {
            return Err(KernelError::TooMuch {
                what: "modules to boot with",
                limit: MOST,
            });
        }
    }
    Ok(order)
}

/// Adds a module after what it needs, and after what it only asks for: there is no modprobe in an initramfs that the
/// kernel could call for `crc32c` later.
fn add(modules: &Modules, id: ModuleId, order: &mut Vec<ModuleId>) -> Result<(), KernelError> {
    let needed = modules.needs(id)?;
    for id in needed.into_iter().chain([id]) {
        if order.contains(&id) {
            continue;
        }
        for name in modules.all[id].info.wanted_before() {
            if let Found::Module(wanted) = modules.find_alias(&super::modinfo::module_name(name)) {
                for id in modules.needs(wanted)?.into_iter().chain([wanted]) {
                    push(order, id);
                }
            }
        }
        push(order, id);
    }
    Ok(())
}

fn push(order: &mut Vec<ModuleId>, id: ModuleId) {
    if !order.contains(&id) {
        order.push(id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::modules::Lists;
    use super::super::modules::tests::{modules, names};
    use super::*;

    const ALL: [(&str, &[&str]); 12] = [
        ("virtio.ko", &["virtio_ring"]),
        ("virtio_ring.ko", &[]),
        (
            "virtio_pci.ko",
            &["virtio_ring", "virtio_pci_modern_dev", "virtio"],
        ),
        ("virtio_pci_modern_dev.ko", &[]),
        ("virtio_blk.ko", &["virtio", "virtio_ring"]),
        ("virtio_console.ko", &["virtio", "virtio_ring"]),
        ("virtio-rng.ko", &["virtio"]),
        ("erofs.ko", &["libcrc32c"]),
        ("libcrc32c.ko", &[]),
        ("crc32c_generic.ko", &[]),
        ("overlay.ko", &[]),
        ("other.ko", &["virtio"]),
    ];

    fn lists() -> Lists {
        Lists {
            builtin: b"kernel/fs/ext4/ext4.ko\nkernel/drivers/net/virtio_net.ko\n".to_vec(),
            ..Lists::default()
        }
    }

    #[test]
    fn just_what_a_guest_boots_with_comes_in_load_order() {
        let mut modules = modules(&ALL, &lists());
        let position = |name: &[u8]| modules.all.iter().position(|module| module.name == name).unwrap();
        let (library, generic) = (position(b"libcrc32c"), position(b"crc32c_generic"));
        modules.all[library].info.softdeps = vec![b"pre: crc32c".to_vec()];
        modules.all[generic].info.aliases = vec![b"crc32c".to_vec()];
        let order = order(&modules).unwrap();
        assert_eq!(
            names(&modules, &order),
            [
                "virtio_ring",
                "virtio_pci_modern_dev",
                "virtio",
                "virtio_pci",
                "virtio_blk",
                "virtio_console",
                "crc32c_generic",
                "libcrc32c",
                "erofs",
                "overlay",
                "virtio_rng",
            ]
        );
    }

    #[test]
    fn a_kernel_that_cannot_boot_a_guest_is_refused_by_what_it_lacks() {
        for missing in [
            "virtio_blk.ko",
            "overlay.ko",
            "erofs.ko",
            "virtio_pci.ko",
            "virtio_console.ko",
        ] {
            let rest: Vec<_> = ALL.into_iter().filter(|(path, _)| *path != missing).collect();
            let error = order(&modules(&rest, &lists())).unwrap_err();
            let name = missing.trim_end_matches(".ko");
            assert_eq!(
                error.to_string(),
                format!("the kernel has no `{name}`, neither as a module nor built in: it cannot boot here")
            );
        }
    }
}
