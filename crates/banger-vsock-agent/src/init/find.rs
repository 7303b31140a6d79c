//! Which init an image brings, if any.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

/// Where inits lie, most particular first.
const PLACES: [&str; 5] = [
    "/sbin/init",
    "/lib/systemd/systemd",
    "/usr/lib/systemd/systemd",
    "/etc/init",
    "/bin/init",
];

/// An inittab is a page of text.
const MAX_INITTAB: u64 = 64 * 1024;

/// The image's init. A container's image has none that could run.
pub(super) fn init() -> Option<PathBuf> {
    init_below(Path::new("/"))
}

fn init_below(root: &Path) -> Option<PathBuf> {
    PLACES
        .iter()
        .map(PathBuf::from)
        .find(|place| is_init(root, &below(root, place)))
}

fn is_init(root: &Path, path: &Path) -> bool {
    is_program(path) && (!is_busybox(path) || busybox_has_work(root))
}

fn is_program(path: &Path) -> bool {
    let file = fs::metadata(path).is_ok_and(|about| about.is_file());
    file && rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

fn is_busybox(path: &Path) -> bool {
    fs::canonicalize(path)
        .ok()
        .and_then(|path| Some(path.file_name()?.to_string_lossy().starts_with("busybox")))
        .unwrap_or(false)
}

/// Every image with busybox has its init, containers' ones too; it does something only if the first program that
/// its inittab starts is there. Without an inittab that is `/etc/init.d/rcS`.
fn busybox_has_work(root: &Path) -> bool {
    let inittab = below(root, Path::new("/etc/inittab"));
    let small = fs::metadata(&inittab).is_ok_and(|about| about.is_file() && about.len() <= MAX_INITTAB);
    let text = if small { fs::read(&inittab).ok() } else { None };
    match text {
        Some(text) => first_program(&String::from_utf8_lossy(&text))
            .is_some_and(|program| is_program(&below(root, Path::new(program)))),
        None => is_program(&below(root, Path::new("/etc/init.d/rcS"))),
    }
}

/// The program of the first `id:runlevels:sysinit:process` line.
fn first_program(inittab: &str) -> Option<&str> {
    inittab
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let mut fields = line.splitn(4, ':').skip(2);
            (fields.next()? == "sysinit").then(|| fields.next())?
        })
        .and_then(|process| process.split_ascii_whitespace().next())
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn image(files: &[(&str, &str, u32)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text, mode) in files {
            let path = below(root.path(), Path::new(path));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        root
    }

    fn found(root: &tempfile::TempDir) -> Option<String> {
        init_below(root.path()).map(|path| path.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_first_program_among_the_known_places_is_the_init() {
        let root = image(&[("/lib/systemd/systemd", "", 0o755), ("/bin/init", "", 0o755)]);
        assert_eq!(found(&root).as_deref(), Some("/lib/systemd/systemd"));
        fs::create_dir(root.path().join("sbin")).unwrap();
        symlink("../lib/systemd/systemd", root.path().join("sbin/init")).unwrap();
        assert_eq!(found(&root).as_deref(), Some("/sbin/init"));
    }

    #[test]
    fn what_cannot_be_executed_is_no_init() {
        let root = image(&[("/sbin/init", "", 0o644), ("/etc/init/job.conf", "", 0o644)]);
        symlink("/nowhere", root.path().join("init")).unwrap();
        assert_eq!(found(&root), None);
    }

    #[test]
    fn busybox_is_an_init_only_where_it_has_something_to_start() {
        let busybox = ("/bin/busybox", "", 0o755);
        let inittab = (
            "/etc/inittab",
            "# a\n::sysinit:/sbin/openrc sysinit\n::wait:/bin/busybox\n",
            0o644,
        );
        let with_link = |files: &[(&str, &str, u32)]| {
            let root = image(files);
            fs::create_dir_all(root.path().join("sbin")).unwrap();
            symlink("../bin/busybox", root.path().join("sbin/init")).unwrap();
            found(&root)
        };
        assert_eq!(with_link(&[busybox]), None);
        assert_eq!(with_link(&[busybox, inittab]), None);
        let openrc = ("/sbin/openrc", "", 0o755);
        assert_eq!(
            with_link(&[busybox, inittab, openrc]).as_deref(),
            Some("/sbin/init")
        );
        let rcs = ("/etc/init.d/rcS", "", 0o755);
        assert_eq!(with_link(&[busybox, rcs]).as_deref(), Some("/sbin/init"));
    }

    proptest::proptest! {
        #[test]
        fn no_inittab_makes_it_panic(text in "(.|\n|:){0,200}") {
            let _ = first_program(&text);
        }
    }
}
