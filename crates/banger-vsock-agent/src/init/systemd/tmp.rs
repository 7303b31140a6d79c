//! `/tmp` as it stays, from the first command on.
//!
//! A command may run long before systemd has booted, and what it writes to `/tmp` must outlive that boot. systemd would
//! mount a tmpfs over it (`tmp.mount`) and empty the folder (`systemd-tmpfiles --remove`), each where the image says so.
//! So both happen here, before there can be a command: the tmpfs is mounted, which systemd then takes as its own; what
//! the last boot left is removed, and systemd told to leave this one folder alone.

use std::ffi::CString;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::mount::{MountFlags, mount};

use super::unit;

const FOLDER: &str = "/tmp";
const MOUNT: &str = "tmp.mount";
const CLEANER: &str = "systemd-tmpfiles-setup.service";

/// Does to `/tmp` now what the image's systemd would do later.
pub(super) fn settle(units: &Path) -> io::Result<()> {
    let root = Path::new("/");
    if let Some(options) = tmpfs(root) {
        mount_tmpfs(&options)?;
    }
    let Some(cleaner) = unit::read(root, CLEANER).and_then(|text| Cleaner::of(&text)) else {
        return Ok(());
    };
    let drop_ins = units.join(format!("{CLEANER}.d"));
    fs::create_dir_all(&drop_ins)?;
    fs::write(drop_ins.join("banger.conf"), cleaner.drop_in())?;
    // A new machine has nothing there, and need not wait.
    match fs::read_dir(FOLDER)?.next() {
        Some(_) => cleaner.empty_folder(),
        None => Ok(()),
    }
}

/// The command of the unit that both removes and makes, in words.
struct Cleaner(Vec<String>);

impl Cleaner {
    /// None where the unit is not of the kind that is known here: then it is left as it is.
    fn of(text: &str) -> Option<Self> {
        let commands = unit::values(text, "ExecStart");
        let [command] = commands[..] else { return None };
        // No quotes, no escapes, nothing that asks for something special in front.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || " /_=.,-".contains(c);
        let words: Vec<String> = command.split_ascii_whitespace().map(str::to_owned).collect();
        let does = |what: &str| words.iter().skip(1).any(|word| word == what);
        let known = command.chars().all(is_plain) && !command.starts_with('-');
        (known && does("--remove") && does("--create")).then_some(Self(words))
    }

    fn without(&self, word: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .map(String::as_str)
            .filter(move |other| *other != word)
    }

    fn drop_in(&self) -> String {
        let line = |without: &str| self.without(without).collect::<Vec<_>>().join(" ");
        format!(
            "# What lies in {FOLDER} was removed before the first command could run.\n\
             [Service]\n\
             ExecStart=\n\
             ExecStart={} --exclude-prefix={FOLDER}\n\
             ExecStart={}\n",
            line("--create"),
            line("--remove")
        )
    }

    fn empty_folder(&self) -> io::Result<()> {
        let mut words = self.without("--create");
        let program = words.next().unwrap_or_default();
        let status = Command::new(program)
            .args(words)
            .arg(format!("--prefix={FOLDER}"))
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("{program}: {status}")))
        }
    }
}

/// The options of the tmpfs that systemd would mount.
fn tmpfs(root: &Path) -> Option<String> {
    if !unit::is_wanted(root, "local-fs.target", MOUNT) {
        return None;
    }
    let text = unit::read(root, MOUNT)?;
    let is = |setting: &str, value: &str| unit::values(&text, setting).last() == Some(&value);
    let options = unit::values(&text, "Options").last().copied().unwrap_or_default();
    let options = options.replace("%%", "%");
    (is("What", "tmpfs") && is("Type", "tmpfs") && is("Where", FOLDER)).then_some(options)
}

fn mount_tmpfs(options: &str) -> io::Result<()> {
    // systemd's own condition: such a link leads to a folder that is somebody else's.
    if fs::symlink_metadata(FOLDER)?.is_symlink() {
        return Ok(());
    }
    let (flags, data) = split(options);
    let data = CString::new(data)?;
    Ok(mount(c"tmpfs", FOLDER, c"tmpfs", flags, Some(data.as_c_str()))?)
}

/// What the kernel takes as flags, and what the file system takes as text.
fn split(options: &str) -> (MountFlags, String) {
    let mut flags = MountFlags::empty();
    let mut data = Vec::new();
    for option in options
        .split(',')
        .map(str::trim)
        .filter(|option| !option.is_empty())
    {
        match option {
            "nosuid" => flags |= MountFlags::NOSUID,
            "nodev" => flags |= MountFlags::NODEV,
            "noexec" => flags |= MountFlags::NOEXEC,
            "noatime" => flags |= MountFlags::NOATIME,
            "relatime" => flags |= MountFlags::RELATIME,
            "strictatime" => flags |= MountFlags::STRICTATIME,
            "defaults" | "rw" | "suid" | "dev" | "exec" => {}
            // Words for systemd itself.
            option if option.starts_with("x-") => {}
            option => data.push(option),
        }
    }
    (flags, data.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOKWORM: &str = "[Service]\nType=oneshot\nExecStart=systemd-tmpfiles --create --remove --boot --exclude-prefix=/dev\n";

    #[test]
    fn systemd_removes_everywhere_but_in_tmp_and_makes_all() {
        let text = Cleaner::of(BOOKWORM).unwrap().drop_in();
        assert_eq!(
            unit::values(&text, "ExecStart"),
            [
                "systemd-tmpfiles --remove --boot --exclude-prefix=/dev --exclude-prefix=/tmp",
                "systemd-tmpfiles --create --boot --exclude-prefix=/dev",
            ]
        );
    }

    #[test]
    fn a_cleaner_of_another_kind_is_left_alone() {
        for line in [
            "ExecStart=systemd-tmpfiles --create --boot",
            "ExecStart=-systemd-tmpfiles --create --remove",
            "ExecStart=sh -c 'systemd-tmpfiles --create --remove'",
            "ExecStart=systemd-tmpfiles --create --remove $MORE",
            "ExecStart=one --create --remove\nExecStart=two --create --remove",
            "",
        ] {
            assert!(Cleaner::of(line).is_none(), "{line}");
        }
    }

    #[test]
    fn a_tmpfs_is_mounted_only_where_the_image_wants_it() {
        let root = tempfile::tempdir().unwrap();
        let units = root.path().join("usr/lib/systemd/system");
        let text = "[Mount]\nWhat=tmpfs\nWhere=/tmp\nType=tmpfs\nOptions=mode=1777,nosuid,size=50%%\n";
        fs::create_dir_all(units.join("local-fs.target.wants")).unwrap();
        fs::write(units.join(MOUNT), text).unwrap();
        assert_eq!(tmpfs(root.path()), None);
        fs::write(units.join("local-fs.target.wants").join(MOUNT), "").unwrap();
        assert_eq!(tmpfs(root.path()).as_deref(), Some("mode=1777,nosuid,size=50%"));
        fs::write(units.join(MOUNT), text.replace("What=tmpfs", "What=/dev/vdz")).unwrap();
        assert_eq!(tmpfs(root.path()), None);
    }

    #[test]
    fn options_are_split_into_flags_and_text() {
        let (flags, data) = split("mode=1777,strictatime,nosuid,nodev,size=50%,x-systemd.x=1,");
        assert_eq!(
            flags,
            MountFlags::STRICTATIME | MountFlags::NOSUID | MountFlags::NODEV
        );
        assert_eq!(data, "mode=1777,size=50%");
    }

    proptest::proptest! {
        #[test]
        fn no_unit_makes_it_panic(text in "(.|\n|=|ExecStart=){0,200}") {
            let _ = Cleaner::of(&text).map(|cleaner| cleaner.drop_in());
            let _ = split(&text);
        }
    }
}
