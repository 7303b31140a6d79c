//! Kernels in words.

use api::{CatalogKernel, Kernel};
use jiff::Timestamp;

use super::table::{new, pairs, print};
use super::{age, bytes, one_line};

/// The kernels that are here, a line each, under a head line.
pub fn kernels(kernels: &[Kernel], now: Timestamp) -> String {
    let mut table = new(["NAME", "VERSION", "FROM", "SIZE", "IMAGES", "VMS", "AGE"]);
    for kernel in kernels {
        table.add_row([
            one_line(&kernel.name),
            one_line(&kernel.version),
            kernel.kind.to_string(),
            bytes(kernel.bytes),
            kernel.images.len().to_string(),
            kernel.vms.len().to_string(),
            age(kernel.created_at, now),
        ]);
    }
    print(&table)
}

/// The kernels that can be pulled, a line each, under a head line.
pub fn catalog_kernels(kernels: &[CatalogKernel]) -> String {
    let mut table = new(["NAME", "DISTRO", "HERE", "DESCRIPTION"]);
    for kernel in kernels {
        table.add_row([
            one_line(&kernel.name),
            one_line(&kernel.distro),
            one_line(kernel.here.as_deref().unwrap_or("-")),
            one_line(&kernel.description),
        ]);
    }
    print(&table)
}

/// Everything about a kernel, a line each.
pub fn kernel(kernel: &Kernel) -> String {
    let list = |texts: &[String]| match texts {
        [] => "-".to_owned(),
        texts => texts.join(", "),
    };
    pairs(vec![
        ("name", kernel.name.clone()),
        ("id", kernel.id.clone()),
        ("version", kernel.version.clone()),
        ("kind", kernel.kind.to_string()),
        ("distro", kernel.distro.clone().unwrap_or_else(|| "-".into())),
        ("arch", kernel.arch.clone()),
        ("size", bytes(kernel.bytes)),
        ("initrd", if kernel.initrd { "yes" } else { "no" }.to_owned()),
        ("images", list(&kernel.images)),
        ("vms", list(&kernel.vms)),
        ("created", kernel.created_at.to_string()),
    ])
}

/// What an import has brought.
pub fn imported(kernel: &Kernel) -> String {
    format!(
        "imported {} {}, {}",
        one_line(&kernel.name),
        one_line(&kernel.version),
        bytes(kernel.bytes)
    )
}
