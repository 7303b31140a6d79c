use std::process::Command;

use tempfile::TempDir;

use super::*;

/// A folder for `PATH` with programs that say these things when they are asked for their version.
fn host(programs: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, says) in programs {
        // By another process: a file that this one has open for writing, in whatever child, cannot be executed.
        let written = Command::new("sh")
            .args([
                "-c",
                "printf '#!/bin/sh\\necho \"%s\"\\n' \"$1\" >\"$0\" && chmod +x \"$0\"",
            ])
            .arg(folder.path().join(name))
            .arg(says)
            .status();
        assert!(written.unwrap().success());
    }
    folder
}

/// The name of what is chosen and why, or what keeps it from being used.
fn told(wanted: Wanted, host: &TempDir, no_kvm: Option<&NoKvm>) -> String {
    let path = Some(host.path().as_os_str());
    let told = match choose_from(wanted, &Binaries::default(), path, no_kvm) {
        Ok((backend, reason)) => format!("{} {reason}", backend.name()).trim_end().to_owned(),
        Err(error) => error.to_string(),
    };
    told.replace(&format!("{}/", host.path().display()), "")
}

const NO_KVM: Option<&NoKvm> = Some(&NoKvm::NoDevice);

#[test]
fn a_vmm_that_is_asked_for_by_name_is_used_without_kvm_too() {
    let host = host(&[
        (QEMU, "QEMU emulator version 7.2.22"),
        (FIRECRACKER, "Firecracker v1.12.1"),
    ]);
    for (wanted, kvm, expected) in [
        (Wanted::Qemu, None, "qemu/kvm"),
        (Wanted::Qemu, NO_KVM, "qemu/tcg no KVM: there is no /dev/kvm"),
        (Wanted::Firecracker, None, "firecracker/1.12.1"),
        (
            Wanted::Firecracker,
            NO_KVM,
            "firecracker/1.12.1 no KVM: there is no /dev/kvm",
        ),
    ] {
        assert_eq!(told(wanted, &host, kvm), expected);
    }
}

#[test]
fn firecracker_is_taken_by_itself_where_kvm_is_usable_and_it_is_fit() {
    const QEMU_HERE: (&str, &str) = (QEMU, "QEMU emulator version 7.2.22");
    let taps = taps().is_ok();
    for (firecracker, kvm, expected) in [
        (Some("Firecracker v1.12.1"), None, "firecracker/1.12.1"),
        (
            Some("Firecracker v1.12.1"),
            NO_KVM,
            "qemu/tcg no KVM: there is no /dev/kvm",
        ),
        (
            Some("Firecracker v1.14.0"),
            None,
            "qemu/kvm firecracker is Firecracker 1.14.0, known to let guests break out (CVE-2026-5747)",
        ),
        (
            Some("Firecracker v1.7.0"),
            None,
            "qemu/kvm firecracker is Firecracker 1.7.0, older than 1.8.0, the first that is used",
        ),
        (None, None, "qemu/kvm"),
    ] {
        let programs = firecracker.map(|says| (FIRECRACKER, says));
        let programs: Vec<_> = programs.into_iter().chain([QEMU_HERE]).collect();
        let host = host(&programs);
        let told = told(Wanted::Auto, &host, kvm);
        if expected.starts_with("firecracker") && !taps {
            let expected = "qemu/kvm firecracker/1.12.1 would have no network: /dev/net/tun does not open: ";
            assert!(told.starts_with(expected), "{told}");
        } else {
            assert_eq!(told, expected);
        }
    }
    // Without QEMU there is nothing else to take, and what is missing is QEMU.
    let host = host(&[(FIRECRACKER, "Firecracker v1.14.0")]);
    assert_eq!(
        told(Wanted::Auto, &host, None),
        "qemu-system-x86_64 was not found"
    );
}

#[test]
fn what_is_configured_and_cannot_be_used_is_said_where_another_one_is_taken() {
    let host = host(&[
        (QEMU, "QEMU emulator version 7.2.22"),
        (FIRECRACKER, "Firecracker v1.12.1"),
    ]);
    let path = Some(host.path().as_os_str());
    let missing = Binaries {
        firecracker: Some("/nowhere/firecracker".into()),
        ..Binaries::default()
    };
    let (backend, reason) = choose_from(Wanted::Auto, &missing, path, None).unwrap();
    assert_eq!(
        (backend.name(), &*reason),
        ("qemu/kvm", "/nowhere/firecracker was not found")
    );
    let jailed = Binaries {
        jails: Some(host.path().join("jail")),
        ..Binaries::default()
    };
    let (backend, reason) = choose_from(Wanted::Auto, &jailed, path, None).unwrap();
    let expected = if rustix::process::geteuid().is_root() {
        "jailer was not found"
    } else {
        "only root can use the jailer"
    };
    assert_eq!((backend.name(), &*reason), ("qemu/kvm", expected));
}

#[test]
fn a_firecracker_that_guests_are_not_run_on_is_not_used_even_by_name() {
    for (says, expected) in [
        (
            "Firecracker v1.7.0",
            "firecracker is Firecracker 1.7.0, older than 1.8.0, the first that is used",
        ),
        (
            "Firecracker v1.14.0",
            "firecracker is Firecracker 1.14.0, known to let guests break out (CVE-2026-5747)",
        ),
        ("Firefox 145", "firecracker could not be started"),
    ] {
        let host = host(&[(FIRECRACKER, says)]);
        assert_eq!(told(Wanted::Firecracker, &host, None), expected);
    }
}

#[test]
fn a_missing_vmm_is_named() {
    let empty = host(&[]);
    assert_eq!(
        told(Wanted::Auto, &empty, None),
        "qemu-system-x86_64 was not found"
    );
    assert_eq!(
        told(Wanted::Firecracker, &empty, None),
        "firecracker was not found"
    );
    let configured = empty.path().join("my-qemu");
    let error = find_binary(QEMU, Some(&configured), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} was not found", configured.display())
    );
}

#[test]
fn a_vm_stays_with_its_kind_of_vmm_or_is_told_why_not() {
    let qemu = (QEMU, "QEMU emulator version 7.2.22");
    let both = host(&[qemu, (FIRECRACKER, "Firecracker v1.12.1")]);
    let flawed = host(&[qemu, (FIRECRACKER, "Firecracker v1.14.0")]);
    let qemu_only = host(&[qemu]);
    for (wanted, host, before, expected) in [
        (Wanted::Auto, &both, "firecracker/1.8.0", "firecracker/1.12.1"),
        (Wanted::Auto, &both, "qemu/tcg", "qemu/kvm"),
        (Wanted::Firecracker, &both, "", "firecracker/1.12.1"),
        (
            Wanted::Qemu,
            &both,
            "firecracker/1.12.1",
            "qemu/kvm the configuration asks for it; it ran on firecracker/1.12.1 before",
        ),
        (
            Wanted::Auto,
            &qemu_only,
            "firecracker/1.12.1",
            "qemu/kvm it ran on firecracker/1.12.1 before, which cannot be used now: firecracker was not found",
        ),
        (
            Wanted::Auto,
            &flawed,
            "firecracker/1.14.0",
            "qemu/kvm it ran on firecracker/1.14.0 before, which cannot be used now: firecracker is Firecracker \
             1.14.0, known to let guests break out (CVE-2026-5747)",
        ),
    ] {
        let path = Some(host.path().as_os_str());
        let (backend, reason) = again::again(wanted, &Binaries::default(), path, None, before).unwrap();
        let told = format!("{} {reason}", backend.name());
        let told = told
            .trim_end()
            .replace(&format!("{}/", host.path().display()), "");
        assert_eq!(told, expected);
    }
    let error = again::again(Wanted::Firecracker, &Binaries::default(), None, None, "qemu/kvm").unwrap_err();
    assert_eq!(error.to_string(), "firecracker was not found");
}

#[test]
fn a_configured_name_is_looked_for_as_the_default_one_is() {
    let host = host(&[("fc-1.12", "Firecracker v1.12.1")]);
    let path = Some(host.path().as_os_str());
    let found = find_binary(FIRECRACKER, Some(Path::new("fc-1.12")), path).unwrap();
    assert_eq!(found, host.path().join("fc-1.12"));
}

#[test]
fn a_missing_jailer_is_named_where_jails_are_asked_for() {
    let host = host(&[(FIRECRACKER, "Firecracker v1.12.1")]);
    let binaries = Binaries {
        jails: Some(host.path().join("jail")),
        ..Binaries::default()
    };
    let path = Some(host.path().as_os_str());
    let error = choose_from(Wanted::Firecracker, &binaries, path, None).unwrap_err();
    let expected = if rustix::process::geteuid().is_root() {
        "jailer was not found"
    } else {
        "only root can use the jailer"
    };
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_folder_in_the_working_directory_is_not_searched() {
    let error = find_binary(QEMU, None, Some(OsStr::new(".:bin:"))).unwrap_err();
    assert!(matches!(error, VmmError::BinaryMissing { .. }));
}
