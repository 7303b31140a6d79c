//! The bundles of a catalog: an image and a kernel, honest or not.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::RegistryLie;
use super::packed::{giant_window, gzip, run, zstd};
use super::server::{Asked, Reply, json as told, response};
use crate::container::digest;
use crate::hostile::ESCAPES;
use crate::hostile::members::{file, link, member, resized};
use crate::kernel::vmlinux;

/// Where the image's bundle is.
const IMAGE: &str = "boxed.tar.zst";
/// Where the kernel's is.
const KERNEL: &str = "metal.tar.zst";

/// A catalog and its bundles.
#[derive(Debug)]
pub(super) struct Bundles {
    pub(super) catalog: Value,
    files: HashMap<&'static str, Vec<u8>>,
    lie: Option<RegistryLie>,
}

impl Bundles {
    pub(super) fn new(lie: Option<RegistryLie>) -> Self {
        let files = HashMap::from([(IMAGE, image(lie)), (KERNEL, kernel(lie))]);
        let bundle = |file: &str| {
            let bytes = &files[file];
            let sum = digest(bytes);
            json!({"url": file, "sha256": sum.trim_start_matches("sha256:"), "size": bytes.len()})
        };
        let catalog = json!({
            "schema_version": 1,
            "images": [{
                "name": "boxed", "distro": "test", "arch": "amd64", "kernel": "metal", "description": "a box",
                "bundle": bundle(IMAGE),
            }],
            "kernels": [{
                "name": "metal", "distro": "test", "arch": "amd64", "description": "a kernel",
                "bundle": bundle(KERNEL),
            }],
        });
        Self { catalog, files, lie }
    }

    /// As an honest server answers. A bundle may be what a lie consists of.
    pub(super) fn answer(&self, path: &str) -> Reply {
        if path == "/catalog.json" {
            return Reply::honest(told(self.catalog.to_string().as_bytes()));
        }
        let Some(bytes) = self.files.get(path.trim_start_matches('/')) else {
            return Reply::honest(response(404, &[], b""));
        };
        let concerned = match self.lie {
            Some(lie) if lie >= RegistryLie::KernelDots => KERNEL,
            _ => IMAGE,
        };
        Reply {
            is_lie: self.lie.is_some() && path.ends_with(concerned),
            ..Reply::honest(response(200, &[], bytes))
        }
    }
}

/// What is told in the place of a bundle.
pub(super) fn answer(lie: RegistryLie, asked: &Asked, bundles: &Bundles) -> Option<Reply> {
    let bundle = bundles.files.get(asked.path().trim_start_matches('/'))?;
    Some(Reply::lie(match lie {
        RegistryLie::BundleOther => {
            let other: Vec<u8> = bundle.iter().map(|byte| byte ^ 1).collect();
            response(200, &[], &other)
        }
        RegistryLie::BundleLonger => response(200, &[], &[bundle.as_slice(), b"more"].concat()),
        RegistryLie::BundleShorter => response(200, &[], &bundle[..bundle.len() / 2]),
        _ => return None,
    }))
}

/// What begins like an EROFS.
fn rootfs() -> Vec<u8> {
    let mut rootfs = vec![7; 8192];
    rootfs[1024..1028].copy_from_slice(&0xe0f5_e1e2_u32.to_le_bytes());
    rootfs
}

fn manifest_of_image(name: &str, bytes: u64, config: &Value) -> Value {
    json!({
        "kind": "image", "schema_version": 1, "name": name, "distro": "test", "arch": "amd64", "description": "a box",
        "kernel": "metal", "config": config,
        "rootfs": {"bytes": bytes, "sha256": digest(&rootfs()).trim_start_matches("sha256:"), "entries": 1},
    })
}

fn manifest_of_kernel() -> Value {
    json!({
        "kind": "kernel", "schema_version": 1, "name": "metal", "distro": "test", "arch": "amd64",
        "description": "a kernel",
    })
}

fn plain(name: &str, bytes: &[u8]) -> Vec<u8> {
    member(b'0', name, "", 0o644, bytes)
}

/// The header of a member of so many bytes.
fn sized(name: &str, length: u64) -> Vec<u8> {
    resized(name, &length.to_be_bytes(), 0x80)
}

/// Members, then a byte so many times, all of it packed.
fn bomb(members: &[Vec<u8>], byte: u8, length: u64) -> Vec<u8> {
    [zstd(&members.concat()), run(byte, length)].concat()
}

fn bundle(members: &[Vec<u8>]) -> Vec<u8> {
    zstd(&[members.concat().as_slice(), &[0; 1024]].concat())
}

fn image(lie: Option<RegistryLie>) -> Vec<u8> {
    const HUGE: u64 = 256 << 20;
    let rootfs = rootfs();
    let said = |manifest: Value| plain("manifest.json", manifest.to_string().as_bytes());
    let fine = json!({
        "env": [["A", "b"]], "entrypoint": [], "cmd": ["true"], "user": "", "working_dir": "", "exposed_ports": [],
        "labels": {},
    });
    let named = |name: &str| said(manifest_of_image(name, 8192, &fine));
    let configured = |config: Value| said(manifest_of_image("boxed", 8192, &config));
    let (manifest, root) = (named("boxed"), plain("rootfs.erofs", &rootfs));
    let Some(lie) = lie else {
        return bundle(&[manifest, root]);
    };
    bundle(&match lie {
        RegistryLie::BundleNotPacked => return gzip(&[manifest, root].concat()),
        RegistryLie::BundleWindow => return giant_window(),
        RegistryLie::BundleBomb => {
            let manifest = said(manifest_of_image("boxed", HUGE, &json!(null)));
            return bomb(&[manifest, sized("rootfs.erofs", HUGE)], 0, HUGE);
        }
        RegistryLie::BundlePadding => return bomb(&[manifest, root], 0, HUGE),
        RegistryLie::BundleManifest => return bomb(&[sized("manifest.json", HUGE)], b' ', HUGE),
        RegistryLie::BundleDots => vec![manifest, plain("../../rootfs.erofs", &rootfs)],
        RegistryLie::BundleLink => vec![manifest, link(b'2', "rootfs.erofs", "/etc/passwd")],
        RegistryLie::BundleDevice => vec![manifest, link(b'4', "rootfs.erofs", "")],
        RegistryLie::BundleMore => vec![manifest, root, file(ESCAPES)],
        RegistryLie::BundleName => vec![named(&format!("../../{ESCAPES}")), root],
        RegistryLie::BundleRootfs => {
            let mut other = rootfs;
            other[5000] ^= 1;
            vec![manifest, plain("rootfs.erofs", &other)]
        }
        RegistryLie::BundleConfig => vec![configured(json!({ESCAPES: ESCAPES})), root],
        RegistryLie::BundleOddConfig => vec![
            configured(json!({
                "env": [[format!("A{ESCAPES}=\0"), ESCAPES]], "entrypoint": ["\0"], "cmd": [], "user": ESCAPES,
                "working_dir": "../..", "exposed_ports": [], "labels": {ESCAPES: ESCAPES},
            })),
            root,
        ],
        RegistryLie::BundleKind => vec![said(manifest_of_kernel()), plain("vmlinux", &vmlinux("6.1.0"))],
        _ => vec![manifest, root],
    })
}

fn kernel(lie: Option<RegistryLie>) -> Vec<u8> {
    let manifest = plain("manifest.json", manifest_of_kernel().to_string().as_bytes());
    let kernel = |release: &str| plain("vmlinux", &vmlinux(release));
    let good = kernel("6.1.0");
    bundle(&match lie {
        Some(RegistryLie::KernelDots) => vec![manifest, good, plain("modules/../../../evil.ko", b"evil")],
        Some(RegistryLie::KernelLink) => vec![manifest, good, link(b'2', "modules/evil.ko", "/etc/passwd")],
        Some(RegistryLie::KernelNone) => vec![manifest, plain("vmlinux", ESCAPES.as_bytes())],
        Some(RegistryLie::KernelHuge) => {
            return bomb(&[manifest, sized("vmlinux", 1 << 30)], 0, 1 << 30);
        }
        Some(RegistryLie::KernelVersion) => vec![manifest, kernel("6.1/../../../evil")],
        Some(RegistryLie::KernelText) => vec![manifest, kernel(&format!("6.1{ESCAPES}"))],
        Some(RegistryLie::KernelModules) => {
            let modules = (0..5000).map(|number| plain(&format!("modules/m{number}.ko"), b"evil"));
            vec![manifest, good, modules.flatten().collect()]
        }
        Some(RegistryLie::KernelInitrd) => {
            return bomb(&[manifest, good, sized("initrd.img", 2 << 30)], b'x', 2 << 30);
        }
        _ => vec![manifest, good],
    })
}
