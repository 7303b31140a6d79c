//! Loading the initramfs's kernel modules, in the order that their names give.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::InitError;

/// Where the initramfs has them.
pub(super) const FOLDER: &str = "/modules";

/// A module's file: `NN-name.ko`, loaded in the order of `NN`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ModuleFile {
    order: u32,
    name: String,
    file: String,
}

impl ModuleFile {
    fn parse(file: &OsStr) -> Result<Self, InitError> {
        let parts = || {
            let file = file.to_str()?;
            let (order, name) = file.strip_suffix(".ko")?.split_once('-')?;
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            let numbered = (2..=4).contains(&order.len()) && order.bytes().all(|byte| byte.is_ascii_digit());
            let named = !name.is_empty() && name.len() <= 64 && name.bytes().all(plain);
            (numbered && named).then_some((file, order.parse().ok()?, name))
        };
        let (file, order, name) = parts().ok_or_else(|| InitError::ModuleName {
            file: file.to_string_lossy().into_owned(),
        })?;
        Ok(Self {
            order,
            name: name.to_owned(),
            file: file.to_owned(),
        })
    }
}

/// Loads what the initramfs holds there; nothing, for a kernel that has all built in.
pub(super) fn load_all(folder: &'static str) -> Result<(), InitError> {
    for module in list(folder)? {
        load(folder, &module)?;
    }
    Ok(())
}

fn list(folder: &'static str) -> Result<Vec<ModuleFile>, InitError> {
    let failed = |source| InitError::Modules { folder, source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut modules = Vec::new();
    for entry in entries {
        modules.push(ModuleFile::parse(&entry.map_err(failed)?.file_name())?);
    }
    modules.sort_unstable();
    Ok(modules)
}

fn load(folder: &str, module: &ModuleFile) -> Result<(), InitError> {
    let failed = |source: io::Error| {
        let missing = source.raw_os_error() == Some(Errno::NOENT.raw_os_error());
        InitError::Module {
            name: module.name.clone(),
            symbol: missing.then(|| missing_symbol(&module.name)).flatten(),
            source,
        }
    };
    let file = File::open(format!("{folder}/{}", module.file)).map_err(failed)?;
    match rustix::system::finit_module(&file, c"", 0) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(failed(error.into())),
    }
}

/// The kernel names an unknown symbol only in its log.
fn missing_symbol(module: &str) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let log = rustix::fs::open("/dev/kmsg", flags, rustix::fs::Mode::empty()).ok()?;
    let mut log = File::from(log);
    let mut record = [0; 8192];
    let mut symbol = None;
    // One record a read, until the log's end would block.
    loop {
        match log.read(&mut record) {
            Ok(0) => return symbol,
            Ok(count) => {
                symbol = unknown_symbol(&String::from_utf8_lossy(&record[..count]), module).or(symbol);
            }
            // Records were overwritten while we read; reading goes on after them.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(_) => return symbol,
        }
    }
}

/// Reads `6,123,456,-;virtio: Unknown symbol vring_new (err -2)`.
fn unknown_symbol(record: &str, module: &str) -> Option<String> {
    let (_, message) = record.split_once(';')?;
    let (name, rest) = message.split_once(": Unknown symbol ")?;
    let symbol = rest.split_ascii_whitespace().next()?;
    (name.replace('-', "_") == module.replace('-', "_")).then(|| symbol.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_load_in_the_order_of_their_numbers() {
        let mut files: Vec<ModuleFile> = [
            "10-virtio_net.ko",
            "02-virtio.ko",
            "100-ext4.ko",
            "01-virtio_ring.ko",
        ]
        .iter()
        .map(|name| ModuleFile::parse(OsStr::new(name)).unwrap())
        .collect();
        files.sort_unstable();
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["virtio_ring", "virtio", "virtio_net", "ext4"]);
    }

    #[test]
    fn a_dash_is_part_of_a_modules_name() {
        let file = ModuleFile::parse(OsStr::new("03-crc32c-intel.ko")).unwrap();
        assert_eq!((file.order, file.name.as_str()), (3, "crc32c-intel"));
    }

    #[test]
    fn files_that_are_no_modules_are_refused() {
        for name in [
            "virtio.ko",
            "1-virtio.ko",
            "01-virtio.ko.xz",
            "01-.ko",
            "01virtio.ko",
            "-1-a.ko",
            "+1-a.ko",
            "00001-a.ko",
        ] {
            assert!(ModuleFile::parse(OsStr::new(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn the_kernels_log_names_the_missing_symbol() {
        let record = "4,401,1203442,-;virtio: Unknown symbol vring_create_virtqueue (err -2)\n";
        assert_eq!(
            unknown_symbol(record, "virtio").as_deref(),
            Some("vring_create_virtqueue")
        );
        assert_eq!(unknown_symbol(record, "virtio_pci"), None);
        assert_eq!(unknown_symbol("6,1,2,-;virtio: loaded\n", "virtio"), None);
        assert_eq!(unknown_symbol("virtio: Unknown symbol", "virtio"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_name_or_record_makes_it_panic(name in ".{0,60}", record in "(.|\n){0,200}") {
            let _ = ModuleFile::parse(OsStr::new(&name));
            let _ = unknown_symbol(&record, &name);
        }
    }
}
