//! Whose `config.toml` is read, and what may lie in its place.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use config::{Config, ConfigError, Environment};

#[test]
fn a_file_that_others_can_change_is_refused_and_so_is_one_of_another_user() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, "").unwrap();
    let load = || Config::load(&path, &Environment::new(0));
    let mode =
        |path: &std::path::Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    for bits in [0o600, 0o644] {
        mode(&path, bits);
        load().unwrap_or_else(|error| panic!("{bits:o}: {error}"));
    }
    // The group's bits are those of a list of access rights, too, whoever is on it.
    for bits in [0o606, 0o660, 0o664] {
        mode(&path, bits);
        let error = load().unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with(&format!("has mode {bits:04o}, others can change it")),
            "{error}"
        );
    }
    let error = load().unwrap_err();
    assert!(
        error.hint().unwrap().contains("chmod go-w "),
        "{:?}",
        error.hint()
    );
    mode(&path, 0o600);
    mode(folder.path(), 0o777);
    let error = load().unwrap_err();
    assert!(
        error.to_string().contains("has mode 0777"),
        "others can replace it: {error}"
    );
    mode(folder.path(), 0o700);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(4242), None).unwrap();
        let error = load().unwrap_err();
        assert!(error.to_string().contains("belongs to uid 4242"), "{error}");
    } else {
        println!("only root can make a file another user's; the modes were checked");
    }
}

#[test]
fn a_file_below_a_folder_that_others_can_replace_is_refused_by_either_path() {
    let place = tempfile::tempdir().unwrap();
    let inner = place.path().join("open/inner");
    std::fs::create_dir_all(&inner).unwrap();
    let path = inner.join("config.toml");
    std::fs::write(&path, "").unwrap();
    let link = place.path().join("config.toml");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let open = place.path().join("open");
    let mode = |mode| std::fs::set_permissions(&open, Permissions::from_mode(mode)).unwrap();
    for (bits, sound) in [(0o755, true), (0o1777, true), (0o777, false), (0o775, false)] {
        mode(bits);
        for path in [&path, &link] {
            let read = Config::load(path, &Environment::new(0));
            assert_eq!(read.is_ok(), sound, "{bits:o}, {}: {read:?}", path.display());
        }
    }
}

#[test]
fn a_pipe_in_the_files_place_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let error = Config::load(&path, &Environment::new(0)).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }), "{error}");
}
