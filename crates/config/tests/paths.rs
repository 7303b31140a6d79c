//! Where things lie, and whom the directories may belong to.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use config::{Environment, Paths, PathsError};

fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Everything below `folder`.
fn paths_in(folder: &Path) -> Paths {
    Paths::personal(
        &Environment::new(uid())
            .with("HOME", folder)
            .with("XDG_RUNTIME_DIR", folder.join("run")),
    )
    .expect("HOME is set and short")
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it is there").mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
}

#[test]
fn without_xdg_variables_everything_is_below_home_and_the_sockets_below_tmp() {
    let paths = Paths::personal(&Environment::new(1234).with("HOME", "/home/ann")).unwrap();
    assert_eq!(
        paths.config_file(),
        Path::new("/home/ann/.config/banger/config.toml")
    );
    assert_eq!(paths.state(), Path::new("/home/ann/.local/state/banger"));
    assert_eq!(paths.cache(), Path::new("/home/ann/.cache/banger"));
    assert_eq!(paths.runtime(), Path::new("/tmp/banger-1234"));
    assert_eq!(paths.socket(), Path::new("/tmp/banger-1234/bangerd.sock"));
    assert_eq!(paths.vm("x"), Path::new("/home/ann/.local/state/banger/vms/x"));
}

#[test]
fn xdg_variables_win_and_relative_ones_are_ignored() {
    let environment = Environment::new(1)
        .with("HOME", "/h")
        .with("XDG_STATE_HOME", "/s")
        .with("XDG_CACHE_HOME", "relative")
        .with("XDG_CONFIG_HOME", "")
        .with("XDG_RUNTIME_DIR", "/run/user/1");
    let paths = Paths::personal(&environment).unwrap();
    assert_eq!(paths.state(), Path::new("/s/banger"));
    assert_eq!(paths.cache(), Path::new("/h/.cache/banger"));
    assert_eq!(paths.config_file(), Path::new("/h/.config/banger/config.toml"));
    assert_eq!(paths.runtime(), Path::new("/run/user/1/banger"));
}

#[test]
fn home_is_needed_only_where_a_variable_does_not_say_it() {
    let environment = Environment::new(1)
        .with("XDG_CONFIG_HOME", "/c")
        .with("XDG_STATE_HOME", "/s");
    let error = Paths::personal(&environment).unwrap_err();
    assert!(error.to_string().contains("XDG_CACHE_HOME"), "{error}");
    assert!(error.hint().unwrap().contains("HOME"));
    assert!(Paths::personal(&environment.with("XDG_CACHE_HOME", "/k")).is_ok());
}

#[test]
fn a_socket_path_that_could_not_be_bound_is_refused() {
    let environment = Environment::new(1)
        .with("HOME", "/h")
        .with("XDG_RUNTIME_DIR", format!("/{}", "r".repeat(100)));
    assert!(matches!(
        Paths::personal(&environment),
        Err(PathsError::SocketPathTooLong { .. })
    ));
}

#[test]
fn a_folder_whose_name_cannot_be_written_down_is_refused_in_one_line() {
    for name in [
        "XDG_CONFIG_HOME",
        "XDG_STATE_HOME",
        "XDG_CACHE_HOME",
        "XDG_RUNTIME_DIR",
        "HOME",
    ] {
        for bytes in [
            &b"/tmp/\xff"[..],
            b"/tmp/a\nb",
            b"/tmp/\x1b[31m",
            b"/tmp/\xc2\x85",
        ] {
            let environment = Environment::new(1)
                .with("HOME", "/h")
                .with(name, OsStr::from_bytes(bytes));
            let error = Paths::personal(&environment).unwrap_err();
            assert!(matches!(error, PathsError::Characters { .. }), "{name} {bytes:?}");
            assert!(!error.to_string().contains(char::is_control), "{error}");
        }
    }
}

#[test]
fn preparing_makes_private_directories_and_may_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths_in(folder.path());
    for _ in 0..2 {
        paths.prepare().unwrap();
        let made = [
            paths.vms(),
            paths.images(),
            paths.kernels(),
            paths.layers(),
            paths.blobs(),
            paths.initramfs(),
            paths.recipes(),
        ];
        for path in made
            .iter()
            .map(AsRef::as_ref)
            .chain([paths.state(), paths.cache(), paths.runtime()])
        {
            assert_eq!(mode(path), 0o700, "{}", path.display());
        }
    }
}

#[test]
fn a_runtime_directory_that_vanished_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths_in(folder.path());
    paths.prepare().unwrap();
    fs::remove_dir(paths.runtime()).unwrap();
    paths.prepare_runtime().unwrap();
    assert_eq!(mode(paths.runtime()), 0o700);
}

#[test]
fn a_runtime_directory_that_is_a_link_a_file_or_open_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths_in(folder.path());
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    set_mode(&elsewhere, 0o700);
    fs::create_dir(folder.path().join("run")).unwrap();
    symlink(&elsewhere, paths.runtime()).unwrap();
    assert!(matches!(paths.prepare(), Err(PathsError::NotADirectory { .. })));
    fs::remove_file(paths.runtime()).unwrap();
    fs::write(paths.runtime(), "").unwrap();
    assert!(matches!(paths.prepare(), Err(PathsError::NotADirectory { .. })));
    fs::remove_file(paths.runtime()).unwrap();
    fs::create_dir(paths.runtime()).unwrap();
    for open in [0o755, 0o710, 0o701, 0o1777] {
        set_mode(paths.runtime(), open);
        let error = paths.prepare().unwrap_err();
        assert!(matches!(error, PathsError::OpenToOthers { .. }), "{error}");
        assert_eq!(mode(paths.runtime()), open, "it is left as it was");
    }
}

#[test]
fn a_state_directory_that_others_can_read_is_closed_and_one_they_can_write_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths_in(folder.path());
    fs::create_dir_all(paths.state()).unwrap();
    set_mode(paths.state(), 0o755);
    paths.prepare().unwrap();
    assert_eq!(mode(paths.state()), 0o700);
    set_mode(paths.state(), 0o775);
    let error = paths.prepare().unwrap_err();
    assert!(matches!(error, PathsError::OpenToOthers { .. }), "{error}");
    assert!(error.hint().unwrap().starts_with("chmod 700 "));
}

#[test]
fn a_cache_that_the_user_has_put_on_another_disk_by_a_link_is_fine() {
    let folder = tempfile::tempdir().unwrap();
    let paths = paths_in(folder.path());
    let elsewhere = folder.path().join("big-disk");
    fs::create_dir(&elsewhere).unwrap();
    fs::create_dir(folder.path().join(".cache")).unwrap();
    symlink(&elsewhere, paths.cache()).unwrap();
    paths.prepare().unwrap();
    assert_eq!(mode(&elsewhere), 0o700);
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    // Who "somebody else" is turns on whom the caller claims to be: this needs no second user.
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment::new(uid() + 1).with("HOME", folder.path());
    let error = Paths::personal(&environment).unwrap().prepare().unwrap_err();
    assert!(matches!(error, PathsError::ForeignOwner { .. }), "{error}");
}

#[test]
fn a_way_out_is_named_that_the_user_has_where_another_made_the_folder_in_tmp() {
    let path = || std::path::PathBuf::from("/tmp/banger-1001");
    let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    for error in [
        PathsError::ForeignOwner {
            path: path(),
            owner: 65534,
            uid: 1001,
        },
        PathsError::NotADirectory { path: path() },
        PathsError::Open {
            path: path(),
            source: denied,
        },
    ] {
        let hint = error.hint().unwrap();
        assert!(
            hint.contains("set XDG_RUNTIME_DIR to a folder of your own"),
            "{hint}"
        );
    }
    let own = PathsError::NotADirectory {
        path: "/home/ada/.cache/banger".into(),
    };
    assert!(!own.hint().unwrap().contains("XDG_RUNTIME_DIR"));
}
