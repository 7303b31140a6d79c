use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use super::*;

fn own() -> Trust {
    Trust {
        user: rustix::process::geteuid().as_raw(),
        host_is_overflow: false,
        is_anybody: false,
    }
}

/// Trust of a user to whom this path is another user's.
fn stranger_to(path: &Path) -> Trust {
    if own().user == ROOT {
        chown(path, Some(4242), None).unwrap();
        return own();
    }
    Trust {
        user: own().user + 1,
        host_is_overflow: false,
        is_anybody: false,
    }
}

fn folder(path: PathBuf, mode: u32) -> PathBuf {
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn a_daemon_of_another_user_is_not_trusted_by_root_either() {
    for (owner, user, trusted) in [
        (1000, 1000, true),
        (1001, 1000, false),
        (0, 1000, true),
        (1000, 0, false),
        (65534, 0, false),
        (0, 0, true),
    ] {
        for host_is_overflow in [false, true] {
            let trust = Trust {
                is_anybody: false,
                user,
                host_is_overflow,
            };
            assert_eq!(trust.admits(owner), trusted, "{owner}'s daemon, {user} calls");
        }
    }
}

#[test]
fn a_folder_is_trusted_if_nobody_else_can_put_a_socket_there() {
    let root = tempfile::tempdir().unwrap();
    let private = folder(root.path().join("private"), 0o700);
    let handle = own().open_folder(&private).unwrap();
    assert_eq!(
        fstat(&handle).unwrap().st_ino,
        fs::metadata(&private).unwrap().ino()
    );
    for mode in [0o702, 0o720, 0o770, 0o775, 0o777, 0o1777] {
        let open = folder(root.path().join(format!("{mode:o}")), mode);
        let error = own().open_folder(&open).unwrap_err();
        let told = format!(
            "{} has mode {mode:04o}, others can put files there",
            open.display()
        );
        assert_eq!(error.to_string(), told);
    }
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = own().open_folder(&path).unwrap_err();
        assert!(matches!(error, FolderError::NotADirectory { .. }), "{error:?}");
    }
    let missing = own().open_folder(&root.path().join("missing")).unwrap_err();
    assert!(matches!(missing, FolderError::Open { .. }), "{missing:?}");
}

#[test]
fn a_folder_of_another_user_is_not_trusted_nor_one_below_it() {
    let root = tempfile::tempdir().unwrap();
    let outer = folder(root.path().join("outer"), 0o700);
    let inner = folder(outer.join("inner"), 0o700);
    let trust = stranger_to(&outer);
    for path in [&outer, &inner] {
        let error = trust.open_folder(path).unwrap_err();
        assert!(matches!(error, FolderError::ForeignOwner { .. }), "{error:?}");
        assert!(error.to_string().contains("belongs to uid"), "{error}");
    }
}

#[test]
fn a_folder_above_that_others_can_write_is_trusted_only_if_it_is_sticky() {
    let root = tempfile::tempdir().unwrap();
    for (mode, trusted) in [
        (0o777, false),
        (0o707, false),
        (0o1777, true),
        (0o775, true),
        (0o755, true),
    ] {
        let outer = folder(root.path().join(format!("{mode:o}")), mode);
        let inner = folder(outer.join("inner"), 0o700);
        match own().open_folder(&inner) {
            Ok(_) => assert!(trusted, "{mode:o}"),
            Err(error) => {
                assert!(!trusted, "{mode:o}: {error}");
                let told = format!("{} has mode {mode:04o}, others can replace", outer.display());
                assert!(error.to_string().starts_with(&told), "{error}");
            }
        }
    }
}

#[test]
fn links_lead_on_if_they_are_the_users_own_and_never_at_the_end() {
    let root = tempfile::tempdir().unwrap();
    let outer = folder(root.path().join("outer"), 0o700);
    let inner = folder(outer.join("inner"), 0o700);
    let at = |name: &str| root.path().join(name);
    symlink("outer", at("relative")).unwrap();
    symlink(&outer, at("absolute")).unwrap();
    symlink("../outer/./inner/..", outer.join("winding")).unwrap();
    for way in [
        "relative/inner",
        "absolute/inner",
        "outer/winding/inner",
        "outer/../outer/inner",
    ] {
        let handle = own().open_folder(&at(way)).unwrap();
        assert_eq!(
            fstat(&handle).unwrap().st_ino,
            fs::metadata(&inner).unwrap().ino(),
            "{way}"
        );
    }
    for way in ["relative", "absolute"] {
        let error = own().open_folder(&at(way)).unwrap_err();
        assert!(
            matches!(error, FolderError::NotADirectory { .. }),
            "{way}: {error:?}"
        );
    }
    symlink("loop", at("loop")).unwrap();
    let error = own().open_folder(&at("loop/inner")).unwrap_err();
    assert!(matches!(error, FolderError::Open { .. }), "{error:?}");
}

#[test]
fn a_link_of_another_user_leads_nowhere() {
    let root = tempfile::tempdir().unwrap();
    let outer = folder(root.path().join("outer"), 0o700);
    let inner = folder(outer.join("inner"), 0o700);
    let link = root.path().join("link");
    symlink(&outer, &link).unwrap();
    if own().user != ROOT {
        // No right to make a link of another user's: the check of owners is the one of folders, held above.
        assert!(own().open_folder(&link.join("inner")).is_ok());
        return;
    }
    std::os::unix::fs::lchown(&link, Some(4242), None).unwrap();
    let error = own().open_folder(&link.join("inner")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} belongs to uid 4242", link.display())
    );
    assert!(own().open_folder(&inner).is_ok(), "the folder itself is good");
}

#[test]
fn the_hosts_folders_count_as_roots_only_where_they_have_no_number() {
    assert!(maps("         0          0 4294967295\n", OVERFLOW));
    assert!(maps("0 1000 1\n1 100000 65536\n", OVERFLOW));
    assert!(!maps("0 1000 1\n", OVERFLOW));
    assert!(!maps("1000 1000 1\n", OVERFLOW));
    assert!(!maps("", OVERFLOW) && !maps("nonsense\n", OVERFLOW));
    for (host_is_overflow, owns) in [(false, false), (true, true)] {
        let trust = Trust {
            is_anybody: false,
            user: 1000,
            host_is_overflow,
        };
        assert_eq!(trust.owns(OVERFLOW), owns);
        assert!(!trust.admits(OVERFLOW), "a daemon of that uid is anybody's");
    }
}

#[test]
fn a_way_leads_over_the_users_own_links_to_where_nothing_is_yet_and_past_no_stranger() {
    let root = tempfile::tempdir().unwrap();
    let outer = folder(root.path().join("outer"), 0o700);
    symlink("outer", root.path().join("link")).unwrap();
    for way in ["outer", "link", "link/new/newer", "new"] {
        own().check_way(&root.path().join(way)).unwrap();
    }
    fs::set_permissions(&outer, fs::Permissions::from_mode(0o777)).unwrap();
    let error = own().check_way(&outer.join("new")).unwrap_err();
    assert!(matches!(error, FolderError::OpenToOthers { .. }), "{error:?}");
    fs::set_permissions(&outer, fs::Permissions::from_mode(0o700)).unwrap();

    let theirs = folder(root.path().join("theirs"), 0o755);
    symlink("/", theirs.join("link")).unwrap();
    let trust = stranger_to(&theirs);
    for way in ["link", "new", "link/new"] {
        let error = trust.check_way(&theirs.join(way)).unwrap_err();
        assert!(matches!(error, FolderError::ForeignOwner { .. }), "{error:?}");
    }
}

#[test]
fn who_shows_the_number_of_strangers_trusts_root_alone() {
    let daemons = |user, map| [user, 0].map(|uid| Trust::of(user, Some(map)).admits(uid));
    // This host's own, and a namespace with a number for all.
    assert_eq!(
        daemons(OVERFLOW, "         0          0 4294967295\n"),
        [true, true]
    );
    for map in [
        "0 100000 65536\n",
        "1000 1000 1\n",
        "",
        "0 0 1000\n1001 1001 100\n",
    ] {
        assert_eq!(daemons(OVERFLOW, map), [false, true], "{map:?}");
        assert_eq!(daemons(1000, map), [true, true], "{map:?}");
    }
}
