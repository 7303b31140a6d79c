//! What lies where on the disk, over simulated machines.
#![expect(clippy::unwrap_used, reason = "a test ends at what fails")]

mod support;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use api::{Space, SpaceItem, SpaceKind};
use support::{Host, delete, run, vm};

fn one(space: &Space, kind: SpaceKind) -> &SpaceItem {
    let mut items = space.items.iter().filter(|item| item.kind == kind);
    let item = items.next().unwrap();
    assert!(items.next().is_none(), "{:?}", space.items);
    item
}

#[tokio::test]
async fn what_nothing_in_use_would_miss_is_told() {
    let host = Host::new();
    let engine = host.engine().await;
    run(&engine, "on").await;
    engine
        .vms()
        .create(vm("off", false))
        .await
        .unwrap()
        .wait()
        .await
        .unwrap();

    let space = engine.space().await.unwrap();
    for kind in [SpaceKind::Image, SpaceKind::Kernel] {
        let shared = one(&space, kind);
        assert_eq!((shared.vms, shared.reclaimable), (2, 0), "{shared:?}");
        assert!(shared.used > 0, "{shared:?}");
    }
    assert_eq!(one(&space, SpaceKind::Image).name, "debian");
    let vm = |name: &str| space.items.iter().find(|item| item.name == name).unwrap();
    assert_eq!((vm("on").size, vm("on").reclaimable), (256 << 20, 0));
    assert!(vm("off").used > 0);
    assert_eq!(vm("off").reclaimable, vm("off").used);
    let caches: Vec<_> = space
        .items
        .iter()
        .filter(|item| item.kind == SpaceKind::Cache)
        .collect();
    assert!(caches.iter().any(|cache| cache.name == "initramfs"), "{caches:?}");
    assert!(
        caches.iter().all(|cache| cache.reclaimable == cache.used),
        "{caches:?}"
    );
    assert!(one(&space, SpaceKind::Daemon).used > 0);
    assert!(space.free > 0);

    for name in ["on", "off"] {
        delete(&engine, name).await;
    }
    let space = engine.space().await.unwrap();
    let image = one(&space, SpaceKind::Image);
    assert_eq!((image.vms, image.reclaimable), (0, image.used));
    assert!(space.items.iter().all(|item| item.kind != SpaceKind::Vm));
}

#[tokio::test]
async fn disks_that_keep_what_their_guests_delete_are_marked() {
    for (vmm, keeps) in [
        ("firecracker/1.12.1", true),
        ("qemu/tcg", false),
        ("qemu/kvm", false),
    ] {
        let mut host = Host::new();
        host.backend = host.backend.clone().named(vmm);
        let engine = host.engine().await;
        run(&engine, "a").await;
        let space = engine.space().await.unwrap();
        let marked: Vec<_> = space
            .items
            .iter()
            .filter(|item| item.keeps_deleted)
            .map(|item| (item.kind, item.name.as_str()))
            .collect();
        let expected = if keeps { vec![(SpaceKind::Vm, "a")] } else { vec![] };
        assert_eq!(marked, expected, "{vmm}");
        delete(&engine, "a").await;
    }
}

#[tokio::test]
async fn a_prune_counts_what_it_gives_back_and_no_holes() {
    let host = Host::new();
    let engine = host.engine().await;
    let before = engine.space().await.unwrap();
    let (image, kernel, blobs) = (
        host.paths.images().join(format!("{}.ext4", "a".repeat(64))),
        host.paths.kernels().join("old-1"),
        host.paths.blobs(),
    );
    fs::create_dir_all(&kernel).unwrap();
    fs::create_dir_all(&blobs).unwrap();
    for file in [
        image,
        kernel.join("vmlinux"),
        blobs.join("b".repeat(64)),
        blobs.join(format!("{}.partial", "c".repeat(64))),
    ] {
        let file = File::create(file).unwrap();
        file.set_len(1 << 30).unwrap();
        file.write_all_at(&[1; 5000], 1 << 20).unwrap();
        file.sync_all().unwrap();
    }
    let used = |space: &Space| space.items.iter().map(|item| item.used).sum::<u64>();
    let all = engine.space().await.unwrap();
    let pruned = engine.images().prune(true).await.unwrap();
    assert_eq!((pruned.blobs, pruned.file_systems, pruned.kernels), (2, 1, 1));
    assert_eq!(pruned.bytes, used(&all) - used(&before));
    assert_eq!(engine.images().prune(false).await.unwrap(), pruned);
    assert_eq!(used(&engine.space().await.unwrap()), used(&before));
}
