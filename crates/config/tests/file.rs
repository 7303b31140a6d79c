//! What `config.toml` may say, and what is said about one that is wrong.

use std::path::Path;
use std::time::Duration;

use config::{
    Compression, Config, ConfigError, Confinement, Environment, HostShape, IpNetwork, LimitSettings,
    LogLevel, VmmChoice,
};
use model::NetworkMode;
use proptest::prelude::*;

const HOST: HostShape = HostShape {
    cpus: 8,
    memory_mib: 16384,
};

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("config.toml"), HOST)
}

#[test]
fn a_mark_at_the_start_of_a_file_is_no_part_of_it() {
    let config = parse("\u{feff}log_level = \"debug\"\n").unwrap();
    assert_eq!(config.log_level, LogLevel::Debug);
    let mistake = parse("\u{feff}log_level = \"debug\"\r\ncolour = 1\r\n").unwrap_err();
    assert_eq!(mistake.to_string(), "config.toml:2: unknown key `colour`");
}

#[test]
fn every_key_is_read() {
    let config = parse(
        r#"
        log_level = "debug"
        vmm = "qemu"
        qemu_bin = "/opt/qemu/bin/qemu-system-x86_64"
        firecracker_bin = "firecracker-1.12"
        jailer_bin = "jailer-1.12"
        jailer_enabled = true
        jailer_chroot_base = "/srv/jails"
        passt_bin = "passt.avx2"
        ssh_key_path = "/home/ann/.ssh/sandboxes"
        default_image_name = "mine"
        catalog_url = "https://banger.example/catalog.json"
        idle_timeout = "30s"
        auto_stop_stale_after = "2h"
        [image]
        compression = "lz4"
        [registry_mirrors]
        "docker.io" = ["https://mirror.example", "http://localhost:5001/"]
        [limits]
        disk_bandwidth = "100M"
        free_space_reserve = "3G"
        disk_operations = 2000
        [recipe]
        mirror = "http://mirror.example:3142/debian"
        keyring = "/usr/share/keyrings/mirror.gpg"
        [vm_defaults]
        vcpu = 3
        memory_mib = 1000
        disk_size = "20G"
        network = "none"
        [network]
        allow = ["192.168.7.0/24", "10.1.2.3/32", "fd12:3456:789a::/48"]
        ipv6 = true
        [guest]
        ca_certificates = ["/etc/company.pem"]
        "#,
    )
    .unwrap();
    assert_eq!(config.log_level, LogLevel::Debug);
    assert_eq!(config.vmm, VmmChoice::Qemu);
    assert_eq!(
        config.qemu_bin.as_deref(),
        Some(Path::new("/opt/qemu/bin/qemu-system-x86_64"))
    );
    assert_eq!(config.jailer_bin.as_deref(), Some(Path::new("jailer-1.12")));
    assert!(config.jailer_enabled && !parse("").unwrap().jailer_enabled);
    let jails = config.jailer_chroot_base.as_deref();
    assert_eq!(jails, Some(Path::new("/srv/jails")));
    assert_eq!(
        config.firecracker_bin.as_deref(),
        Some(Path::new("firecracker-1.12"))
    );
    assert_eq!(
        parse("vmm = \"firecracker\"").unwrap().vmm,
        VmmChoice::Firecracker
    );
    assert_eq!(config.passt_bin.as_deref(), Some(Path::new("passt.avx2")));
    assert_eq!(
        config.ssh_key_path.as_deref(),
        Some(Path::new("/home/ann/.ssh/sandboxes"))
    );
    assert_eq!(config.default_image_name, "mine");
    assert_eq!(
        config.catalog_url.as_deref(),
        Some("https://banger.example/catalog.json")
    );
    assert_eq!(config.idle_timeout, Duration::from_secs(30));
    assert_eq!(config.auto_stop_stale_after, Some(Duration::from_secs(7200)));
    assert_eq!(
        config.recipe.mirror.as_deref(),
        Some("http://mirror.example:3142/debian")
    );
    assert_eq!(
        config.recipe.keyring.as_deref(),
        Some(Path::new("/usr/share/keyrings/mirror.gpg"))
    );
    assert_eq!(config.image.compression, Compression::Lz4);
    let mirrors = config.registry_mirrors.of("docker.io").iter();
    let mirrors: Vec<_> = mirrors
        .map(|mirror| (mirror.host.as_str(), mirror.plain_http))
        .collect();
    assert_eq!(mirrors, [("mirror.example", false), ("localhost:5001", true)]);
    assert_eq!(config.registry_mirrors.of("ghcr.io"), []);
    assert_eq!(config.limits.disk_bandwidth.unwrap().get(), 100 << 20);
    assert_eq!(config.limits.disk_operations.unwrap().get(), 2000);
    assert_eq!(config.limits.free_space_reserve, Some(3 << 30));
    assert_eq!(config.vm_defaults.vcpu.get(), 3);
    assert_eq!(config.vm_defaults.memory.mib(), 1000);
    assert_eq!(config.vm_defaults.disk_size.bytes(), 20 << 30);
    assert_eq!(config.vm_defaults.network, NetworkMode::None);
    let allowed =
        ["192.168.7.0/24", "10.1.2.3/32", "fd12:3456:789a::/48"].map(|text| IpNetwork::parse(text).unwrap());
    assert_eq!(config.network.allow, allowed);
    assert!(config.network.ipv6);
    assert_eq!(config.guest.ca_certificates, [Path::new("/etc/company.pem")]);
}

#[test]
fn an_empty_or_missing_file_gives_the_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config, Config::defaults(HOST));
    assert_eq!(config.log_level, LogLevel::Info);
    assert_eq!(config.vmm, VmmChoice::Auto);
    assert_eq!(config.default_image_name, "debian-bookworm");
    assert_eq!(config.image.compression, Compression::None);
    assert_eq!(config.limits, LimitSettings::default());
    assert_eq!(config.idle_timeout, Duration::from_secs(600));
    let folder = tempfile::tempdir().unwrap();
    let loaded = Config::load(&folder.path().join("none/config.toml"), &Environment::new(0)).unwrap();
    assert_eq!(loaded, Config::defaults(HostShape::of_host()));
}

#[test]
fn a_registrys_mirrors_are_servers_and_nothing_more() {
    for bad in [
        "",
        "mirror.example",
        "https://",
        "https://mirror.example/v2/copies",
        "https://ann:secret@mirror.example",
        "https://mirror.example:0",
        "https://mirror.example:65536",
        "https://Mirror.example",
        "ftp://mirror.example",
        "https://a b",
        "https://mirror.example/a//b",
        "https://mirror.example/..",
        "https://mirror.example/a/../b",
        "https://mirror.example/a?b",
        "https://mirror.example/a#b",
        "https://mirror.example/a%2fb",
        "https://mirror.example/me@b",
        "https://mirror.example/v2/a",
    ] {
        let error = parse(&format!("[registry_mirrors]\n\"docker.io\" = [{bad:?}]")).unwrap_err();
        let expected = format!(
            "`registry_mirrors.docker.io[0]`: {bad:?} is no mirror's address, such as https://mirror.example or https://harbor.example/project"
        );
        assert_eq!(error.to_string(), format!("config.toml:2: {expected}"));
    }
    for (address, host, path) in [
        ("https://mirror.example", "mirror.example", ""),
        ("https://mirror.example/", "mirror.example", ""),
        ("https://harbor.example:8443/hub", "harbor.example:8443", "hub"),
        ("http://nexus.example/a/B-c_d.e/", "nexus.example", "a/B-c_d.e"),
        (
            "https://art.example/artifactory/api/docker/hub/v2",
            "art.example",
            "artifactory/api/docker/hub/v2",
        ),
        (
            "https://1.dkr.ecr.eu-west-1.amazonaws.com/docker-hub",
            "1.dkr.ecr.eu-west-1.amazonaws.com",
            "docker-hub",
        ),
    ] {
        let config = parse(&format!("[registry_mirrors]\n\"docker.io\" = [{address:?}]")).unwrap();
        let [mirror] = config.registry_mirrors.of("docker.io") else {
            panic!("{address} is one mirror");
        };
        assert_eq!((mirror.host.as_str(), mirror.path.as_str()), (host, path));
    }
    for bad in ["https://docker.io", "docker.io/library", ""] {
        let error = parse(&format!("[registry_mirrors]\n{bad:?} = []")).unwrap_err();
        assert!(
            error.to_string().contains(&format!("{bad:?} is no registry")),
            "{error}"
        );
    }
}

#[test]
fn a_catalog_is_at_an_address_of_the_web() {
    for bad in [
        "",
        "catalog.json",
        "https://",
        "https:///x",
        "file:///catalog.json",
        "https://u:p@a/x",
        "https://a b",
        "http://a:99999/catalog.json",
        "http://a:0",
        "http://a:",
        "http://a:+80",
        "http://a:80:90",
        "http://::1/",
        "http://[::1",
        "http://[::1]8080",
        "http://[::g]/",
        "http://a?b@c\"",
        "http://a/<b>",
        "http://[::1]:/",
        "http://\u{e9}",
    ] {
        let error = parse(&format!("catalog_url = {bad:?}")).unwrap_err().to_string();
        let expected = format!("config.toml:1: `catalog_url`: {bad:?} is not an http or https address");
        assert!(error.starts_with(&expected), "{error}");
    }
    for good in [
        "http://a:65535/catalog.json",
        "https://a.example",
        "http://[::1]:8080/x?y=z@1",
        "http://[fe80::1]",
        "http://127.0.0.1:1/",
    ] {
        let config = parse(&format!("catalog_url = {good:?}")).unwrap();
        assert_eq!(config.catalog_url.as_deref(), Some(good));
    }
    for (bad, rule) in [
        ("http://a:99999/x", "a port is a number from 1 to 65535"),
        ("http://[::1", "its `[` has no `]`"),
        ("https://u:p@a/x", "no login belongs into it"),
    ] {
        let error = parse(&format!("catalog_url = {bad:?}")).unwrap_err().to_string();
        assert!(error.ends_with(&format!("address: {rule}")), "{error}");
    }
    assert_eq!(parse("").unwrap().catalog_url, None);
}

#[test]
fn a_wall_is_let_be_missing_by_its_own_word_only() {
    let defaults = parse("").unwrap();
    assert_eq!(defaults.confinement, Confinement::Required);
    assert!(!defaults.network.insecure_builtin && !defaults.network.ipv6);
    for (text, told) in [
        ("confinement = \"none\"", "`confinement`: unknown variant `none`"),
        (
            "confinement = \"Unconfined\"",
            "`confinement`: unknown variant `Unconfined`",
        ),
        ("confinement = false", "`confinement`: "),
        (
            "[network]\ninsecure_builtin = \"true\"",
            "`network.insecure_builtin`: invalid type",
        ),
        (
            "[network]\ninsecure_builtin = 1",
            "`network.insecure_builtin`: invalid type",
        ),
        ("insecure_builtin = true", "unknown key `insecure_builtin`"),
        ("[network]\nipv6 = \"yes\"", "`network.ipv6`: invalid type"),
        ("ipv6 = true", "unknown key `ipv6`"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(told), "{text}: {error}");
    }
}

#[test]
fn unused_vms_run_on_unless_a_time_is_given() {
    for never in [
        "",
        "auto_stop_stale_after = 0",
        "auto_stop_stale_after = \"0\"",
        "auto_stop_stale_after = \"0s\"",
    ] {
        assert_eq!(parse(never).unwrap().auto_stop_stale_after, None, "{never}");
    }
    for bad in ["10", "\"10\"", "-1", "\"-1h\"", "true", "\"soon\""] {
        let error = parse(&format!("auto_stop_stale_after = {bad}\n")).unwrap_err();
        let told = error.to_string();
        assert!(
            told.starts_with("config.toml:1: `auto_stop_stale_after`: "),
            "{told}"
        );
    }
}

#[test]
fn the_shape_of_a_vm_follows_the_host_within_limits() {
    for (cpus, memory_mib, vcpu, memory) in [
        (1, 1024, 1, 512),
        (8, 16384, 2, 2048),
        (64, 1 << 20, 4, 8192),
        (0, 0, 1, 512),
        (u32::MAX, u64::MAX, 4, 8192),
    ] {
        let shape = HostShape { cpus, memory_mib }.vm_defaults();
        assert_eq!((shape.vcpu.get(), shape.memory.mib()), (vcpu, memory));
        assert_eq!(shape.disk_size.bytes(), 8 << 30);
        assert_eq!(shape.network, NetworkMode::User);
    }
    let host = HostShape::of_host();
    assert!(host.cpus >= 1 && host.memory_mib > 64);
}

#[test]
fn a_mistake_is_one_line_with_file_line_and_key() {
    for (text, message) in [
        (
            "log_level = \"info\"\n\nimagename = \"x\"\n",
            "config.toml:3: unknown key `imagename`",
        ),
        (
            "[vm_defaults]\ncpu = 1\n",
            "config.toml:2: unknown key `vm_defaults.cpu`",
        ),
        ("[guests]\n", "config.toml:1: unknown key `guests`"),
        (
            "[vm_defaults]\nvcpu = 0\n",
            "config.toml:2: `vm_defaults.vcpu`: \"0\" is not a number of virtual processors",
        ),
        (
            "[vm_defaults]\nvcpu = \"two\"\n",
            "config.toml:2: `vm_defaults.vcpu`: ",
        ),
        (
            "\n[vm_defaults]\nmemory_mib = 64\n",
            "config.toml:3: `vm_defaults.memory_mib`: \"64 MiB\" is not a memory size",
        ),
        (
            "[vm_defaults]\nmemory_mib = -1\n",
            "config.toml:2: `vm_defaults.memory_mib`: ",
        ),
        (
            "[vm_defaults]\ndisk_size = \"1M\"\n",
            "config.toml:2: `vm_defaults.disk_size`: \"1M\" is not a disk size",
        ),
        (
            "[vm_defaults]\nnetwork = \"nat\"\n",
            "config.toml:2: `vm_defaults.network`: unknown variant `nat`",
        ),
        (
            "vmm = \"bochs\"\n",
            "config.toml:1: `vmm`: unknown variant `bochs`",
        ),
        (
            "[image]\ncompression = \"zstd\"\n",
            "config.toml:2: `image.compression`: unknown variant `zstd`",
        ),
        (
            "[limits]\ndisk_bandwidth = \"fast\"\n",
            "config.toml:2: `limits.disk_bandwidth`: ",
        ),
        (
            "[limits]\ndisk_bandwidth = \"0\"\n",
            "config.toml:2: `limits.disk_bandwidth`: it must be more than nothing",
        ),
        (
            "[limits]\nfree_space_reserve = \"some\"\n",
            "config.toml:2: `limits.free_space_reserve`: ",
        ),
        (
            "[limits]\ndisk_operations = 0\n",
            "config.toml:2: `limits.disk_operations`: ",
        ),
        ("log_level = 3\n", "config.toml:1: `log_level`: "),
        (
            "idle_timeout = \"10\"\n",
            "config.toml:1: `idle_timeout`: \"10\" is not a length of time",
        ),
        ("idle_timeout = 10\n", "config.toml:1: `idle_timeout`: "),
        (
            "idle_timeout = \"0s\"\n",
            "config.toml:1: `idle_timeout`: \"0s\" leaves no time for a first call: write 1s or more",
        ),
        (
            "idle_timeout = \"0h\"\n",
            "config.toml:1: `idle_timeout`: \"0h\" leaves no time for a first call: ",
        ),
        (
            "qemu_bin = \"./qemu\"\n",
            "config.toml:1: `qemu_bin`: \"./qemu\" is neither",
        ),
        (
            "default_image_name = \"\"\n",
            "config.toml:1: `default_image_name`: ",
        ),
        (
            "[recipe]\nmirror = \"ftp://x\"\n",
            "config.toml:2: `recipe.mirror`: \"ftp://x\" is not",
        ),
        (
            "[recipe]\nmirror = \"http://x [trusted=yes]\"\n",
            "config.toml:2: `recipe.mirror`: ",
        ),
        (
            "[recipe]\nmirror = \"http://x:99999/debian\"\n",
            "config.toml:2: `recipe.mirror`: \"http://x:99999/debian\" is not an http, https or file address: a port is",
        ),
        (
            "[recipe]\nmirror = \"http://\"\n",
            "config.toml:2: `recipe.mirror`: ",
        ),
        (
            "[recipe]\nkeyring = \"keys.gpg\"\n",
            "config.toml:2: `recipe.keyring`: \"keys.gpg\" is not an absolute path",
        ),
        (
            "[network]\nallow = [\"192.168.7.1/24\"]\n",
            "config.toml:2: `network.allow[0]`: \"192.168.7.1/24\" cannot be opened to guests: a network of /24 begins",
        ),
        (
            "[network]\nallow = [\"10.0.0.0/8\", \"64:ff9b::/96\"]\n",
            "config.toml:2: `network.allow[1]`: \"64:ff9b::/96\" cannot be opened to guests: its addresses stand for IPv4",
        ),
        (
            "[network]\nallow = \"10.0.0.0/8\"\n",
            "config.toml:2: `network.allow`: ",
        ),
        (
            "[network]\ndeny = []\n",
            "config.toml:2: unknown key `network.deny`",
        ),
        (
            "[guest]\nca_certificates = [\"/a\", \"b\"]\n",
            "config.toml:2: `guest.ca_certificates",
        ),
        ("vmm = \n", "config.toml:1: "),
        ("vmm = \"auto\"\nvmm = \"qemu\"\n", "config.toml:2: "),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(
            error.starts_with(message),
            "{text:?}\n  gives {error}\n  not   {message}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn an_unknown_key_comes_with_the_known_ones() {
    let hint = parse("[recipe]\nmirrors = \"x\"\n").unwrap_err().hint().unwrap();
    assert!(hint.contains("`mirror`") && hint.contains("`keyring`"), "{hint}");
}

#[test]
fn a_misspelt_key_gets_the_nearest_of_its_table() {
    for (text, meant) in [
        ("idle_timeuot = \"5m\"\n", Some("idle_timeout")),
        ("idle-timeout = \"5m\"\n", Some("idle_timeout")),
        ("[vm_defaults]\ncpu = 2\n", Some("vcpu")),
        ("[vm_defaults]\ncpus = 2\n", Some("vcpu")),
        ("[vm_defaults]\nmem = \"1G\"\n", Some("memory_mib")),
        ("[vm_defaults]\ndisk = \"9G\"\n", Some("disk_size")),
        ("[networks]\nipv6 = true\n", Some("network")),
        ("[network]\nipv4 = true\n", Some("ipv6")),
        ("[network]\ncolour = true\n", None),
    ] {
        let hint = parse(text).unwrap_err().hint().unwrap();
        let suggested = hint
            .split_once("did you mean `")
            .map(|(_, rest)| rest.split('`').next().unwrap());
        assert_eq!(suggested, meant, "{text}: {hint}");
        assert!(hint.contains("known here: `"), "{hint}");
    }
}

#[test]
fn the_variable_wins_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, "log_level = \"warn\"\n").unwrap();
    let load = |environment| Config::load(&path, &environment);
    assert_eq!(load(Environment::new(0)).unwrap().log_level, LogLevel::Warn);
    assert_eq!(
        load(Environment::new(0).with("BANGER_LOG_LEVEL", "trace"))
            .unwrap()
            .log_level,
        LogLevel::Trace
    );
    assert_eq!(
        load(Environment::new(0).with("BANGER_LOG_LEVEL", ""))
            .unwrap()
            .log_level,
        LogLevel::Warn
    );
    let error = load(Environment::new(0).with("BANGER_LOG_LEVEL", "loud")).unwrap_err();
    assert!(error.to_string().contains("\"loud\""), "{error}");
}

#[test]
fn a_file_that_is_no_text_or_too_large_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    for bytes in [b"\xff\xfe".to_vec(), vec![b'#'; (1 << 20) + 1]] {
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(
            Config::load(&path, &Environment::new(0)),
            Err(ConfigError::Read { .. })
        ));
    }
    assert!(matches!(
        Config::load(folder.path(), &Environment::new(0)),
        Err(ConfigError::Read { .. })
    ));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_in_one_line(text in "[\\[\\]a-z_=\"0-9\n .{}#']{0,200}") {
        if let Err(error) = parse(&text) {
            prop_assert_eq!(error.to_string().lines().count(), 1);
        }
    }
}

#[test]
fn files_to_sync_lie_below_the_home_and_go_below_roots() {
    let entry = |host: &str, guest: &str, more: &str| {
        parse(&format!(
            "[[file_sync]]\nhost = {host:?}\nguest = {guest:?}\n{more}"
        ))
    };
    let synced = entry("~/.gitconfig", "/root/.gitconfig", "mode = \"0600\"\n").unwrap();
    let synced = &synced.file_sync[0];
    let home = Path::new("/home/ada");
    assert_eq!(synced.host.resolve(home), home.join(".gitconfig"));
    assert_eq!(
        (synced.guest.as_path(), synced.mode),
        (Path::new(".gitconfig"), Some(0o600))
    );
    let absolute = entry("/home/ada/x", "~/y/z", "").unwrap();
    assert_eq!(absolute.file_sync[0].host.resolve(home), Path::new("/home/ada/x"));
    for (host, guest, more) in [
        ("x", "~/x", ""),
        ("~", "~/x", ""),
        ("~/../x", "~/x", ""),
        ("~/x", "/etc/x", ""),
        ("~/x", "/root", ""),
        ("~/x", "/root/../etc/x", ""),
        ("~/x", "~/x", "mode = \"4755\""),
        ("~/x", "~/x", "mode = \"rw\""),
        ("~/x", "~/x", "owner = \"ada\""),
    ] {
        let error = entry(host, guest, more).unwrap_err().to_string();
        assert!(error.starts_with("config.toml:"), "{error}");
        assert!(error.contains("file_sync"), "{error}");
    }
}
