//! The least that is taken for a kernel.

/// An ELF executable for x86-64 that loads itself and says that it is Linux.
#[must_use]
pub fn vmlinux(release: &str) -> Vec<u8> {
    let banner = format!("Linux version {release} (somebody@somewhere) #1 SMP\n");
    let size = 120 + banner.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(120, 0);
    elf[16] = 2;
    elf[18] = 62;
    elf[32] = 64;
    elf[54] = 56;
    elf[56] = 1;
    elf[64] = 1;
    elf[96..104].copy_from_slice(&size.to_le_bytes());
    elf.extend(banner.bytes());
    elf
}

/// The archive that a kernel is sent in.
///
/// # Panics
/// A path is no member's name.
#[must_use]
pub fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, data) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, *data)
            .expect("memory takes it");
    }
    tar.into_inner().expect("memory takes it")
}
