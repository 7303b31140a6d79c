use super::*;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

fn found(network: Card) -> Found {
    Found {
        kernel: "/k,ernel".into(),
        initramfs: "/initramfs".into(),
        drives: vec![10, 11],
        console: 5,
        agent: 6,
        control: 7,
        network,
    }
}

fn spec() -> MachineSpec {
    MachineSpec {
        id: "a,b".into(),
        folder: "/vm".into(),
        vcpu: 2,
        memory_mib: 512,
        kernel: "/elsewhere/kernel".into(),
        initramfs: "/elsewhere/initramfs".into(),
        command_line: " own=1 ".into(),
        drives: vec![
            Drive {
                path: "/im,age\"".into(),
                read_only: true,
                limit: RateLimit::default(),
            },
            Drive {
                path: "/layer".into(),
                read_only: false,
                limit: RateLimit::default(),
            },
        ],
        network: None,
    }
}

fn built(spec: &MachineSpec, acceleration: Acceleration) -> Vec<String> {
    let network = match spec.network {
        Some(NetworkDevice::Socket { .. }) => Card::Stream(8),
        _ => Card::BuiltIn,
    };
    arguments(spec, acceleration, &found(network))
        .into_iter()
        .map(|argument| argument.into_string().unwrap())
        .collect()
}

/// The values of each time an option is given.
fn values<'a>(arguments: &'a [String], option: &str) -> Vec<&'a str> {
    arguments
        .windows(2)
        .filter(|pair| pair[0] == option)
        .map(|pair| pair[1].as_str())
        .collect()
}

#[test]
fn odd_names_and_paths_arrive_as_they_are() {
    let built = built(&spec(), Acceleration::Tcg);
    assert_eq!(values(&built, "-kernel"), ["/k,ernel"]);
    assert_eq!(values(&built, "-name"), ["banger-a,,b"]);
}

#[test]
fn disks_are_opened_by_descriptors_and_their_paths_stay_unknown() {
    let built = built(&spec(), Acceleration::Tcg);
    let disks = values(&built, "-blockdev");
    let sets = values(&built, "-add-fd");
    assert_eq!(sets, ["fd=5,set=1", "fd=10,set=2", "fd=11,set=3"]);
    for (disk, set) in disks.into_iter().zip(["/dev/fdset/2", "/dev/fdset/3"]) {
        let disk: Value = serde_json::from_str(disk).unwrap();
        assert_eq!(disk["file"]["filename"], set);
    }
    assert!(!built.iter().any(|argument| argument.contains("im,age")));
}

#[test]
fn only_what_may_be_written_gives_space_back_and_every_flush_reaches_the_disk() {
    let built = built(&spec(), Acceleration::Tcg);
    let drives: Vec<Value> = values(&built, "-blockdev")
        .into_iter()
        .map(|drive| serde_json::from_str(drive).unwrap())
        .collect();
    for (drive, read_only) in drives.iter().zip([true, false]) {
        for node in [drive, &drive["file"]] {
            assert_eq!(node["read-only"], read_only);
            assert_eq!(node["cache"]["no-flush"], false);
            assert_eq!(node.get("discard").is_some(), !read_only);
        }
    }
}

#[test]
fn the_command_line_ends_with_what_is_the_vms_own() {
    let built = built(&spec(), Acceleration::Tcg);
    let line = values(&built, "-append")[0];
    assert!(
        line.starts_with("console=ttyS0 quiet ") && line.ends_with(" own=1"),
        "{line}"
    );
}

#[test]
fn hardware_is_used_where_it_is_asked_for() {
    for (acceleration, machine, processor) in [
        (Acceleration::Tcg, "accel=tcg", "max,-erms,-fsrm"),
        (Acceleration::Kvm, "accel=kvm", "host"),
    ] {
        let built = built(&spec(), acceleration);
        assert!(values(&built, "-machine")[0].contains(machine));
        assert_eq!(values(&built, "-cpu"), [processor]);
        assert!(values(&built, "-sandbox")[0].contains("spawn=deny"));
    }
}

#[test]
fn a_tap_is_attached_by_its_name_and_no_script_is_run() {
    let mac = "52:54:00:00:00:01".to_owned();
    let network = Some(NetworkDevice::BuiltIn { mac });
    let spec = MachineSpec { network, ..spec() };
    let built = arguments(&spec, Acceleration::Kvm, &found(Card::Tap));
    let built: Vec<_> = built
        .into_iter()
        .map(|argument| argument.into_string().unwrap())
        .collect();
    let backend: Value = serde_json::from_str(values(&built, "-netdev")[0]).unwrap();
    let expected =
        json!({"type": "tap", "id": "network", "ifname": "vm0", "script": "no", "downscript": "no"});
    assert_eq!(backend, expected);
}

#[test]
fn a_machine_without_a_network_has_no_device_for_one() {
    let mac = "52:54:00:00:00:01".to_owned();
    let (socket, _peer) = UnixStream::pair().unwrap();
    let stream = NetworkDevice::Socket {
        socket: OwnedFd::from(socket).into(),
        mac: mac.clone(),
        mtu: 1500,
    };
    let table = [
        (None, None, 0),
        (Some(stream), Some(json!({"type": "fd", "str": "8"})), 1),
        (Some(NetworkDevice::BuiltIn { mac: mac.clone() }), None, 1),
    ];
    for (network, address, count) in table {
        let built = built(&MachineSpec { network, ..spec() }, Acceleration::Tcg);
        let devices: Vec<_> = values(&built, "-device")
            .into_iter()
            .filter(|device| device.contains(&mac))
            .collect();
        let backends = values(&built, "-netdev");
        assert_eq!((devices.len(), backends.len()), (count, count));
        let backend: Value = backends
            .first()
            .map_or(Value::Null, |backend| serde_json::from_str(backend).unwrap());
        assert_eq!(backend.get("addr"), address.as_ref());
        // QEMU's own would have it by itself, and no filter stands before that.
        let is_own = backend["type"] == "user";
        assert_eq!(backend.get("ipv6"), is_own.then_some(&json!(false)));
    }
}

#[test]
fn a_disk_with_a_limit_lies_behind_a_throttle_of_its_own() {
    let mut spec = spec();
    spec.drives[1].limit = RateLimit {
        bytes_per_second: NonZeroU64::new(1 << 20),
        operations_per_second: NonZeroU64::new(100),
    };
    let built = built(&spec, Acceleration::Tcg);
    let objects = values(&built, "-object");
    assert!(objects.contains(
        &r#"{"id":"limit1","limits":{"bps-total":1048576,"iops-total":100},"qom-type":"throttle-group"}"#
    ));
    let disks = values(&built, "-blockdev");
    assert!(!disks[0].contains("throttle"));
    let disk: Value = serde_json::from_str(disks[1]).unwrap();
    assert_eq!(
        (&disk["driver"], &disk["node-name"]),
        (&json!("throttle"), &json!("disk1"))
    );
    assert_eq!(
        (&disk["throttle-group"], &disk["file"]["driver"]),
        (&json!("limit1"), &json!("raw"))
    );
    assert!(disk["file"].get("node-name").is_none());
}
