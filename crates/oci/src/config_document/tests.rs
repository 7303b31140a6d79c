//! Configurations as builders write them, and as none should.

use proptest::prelude::*;

use super::*;

fn document(text: &str) -> Result<ConfigDocument, OciError> {
    ConfigDocument::parse("x", text.as_bytes())
}

fn parse(config: &str) -> Result<(ImageConfig, Vec<String>), OciError> {
    let text = format!(
        r#"{{"os":"linux","architecture":"amd64","history":[],"rootfs":{{"type":"layers","diff_ids":[]}},"config":{config}}}"#
    );
    document(&text).map(|document| (document.config, document.warnings))
}

/// What is read without a word.
fn sound(config: &str) -> ImageConfig {
    let (read, warnings) = parse(config).unwrap();
    assert_eq!(warnings, Vec::<String>::new(), "{config}");
    read
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn named(ports: &[ExposedPort]) -> Vec<(u16, Protocol)> {
    ports.iter().map(|port| (port.port, port.protocol)).collect()
}

#[test]
fn what_docker_writes_is_read() {
    let config = sound(
        r#"{"Hostname":"","Env":["PATH=/bin","A=b=c","E="],"Cmd":["sh","-c","x y"],"Entrypoint":null,"User":"1000:users",
        "WorkingDir":"/srv","ExposedPorts":{"443":{},"53/udp":{},"80/tcp":{}},"Labels":{"a":"b"},"OnBuild":null}"#,
    );
    assert_eq!(
        config.env,
        [pair("PATH", "/bin"), pair("A", "b=c"), pair("E", "")]
    );
    assert_eq!(config.cmd, ["sh", "-c", "x y"]);
    assert_eq!(config.entrypoint, Vec::<String>::new());
    assert_eq!(
        (config.user.as_str(), config.working_dir.as_str()),
        ("1000:users", "/srv")
    );
    assert_eq!(
        named(&config.exposed_ports),
        [(53, Protocol::Udp), (80, Protocol::Tcp), (443, Protocol::Tcp)]
    );
    assert_eq!(config.labels["a"], "b");
    let kept = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<ImageConfig>(&kept).unwrap(), config);
    assert_eq!(sound("null"), ImageConfig::default());
}

#[test]
fn values_are_read_in_each_way_in_which_docker_reads_them() {
    let ports = |config: &str| named(&sound(config).exposed_ports);
    let tcp = |ports: &[u16]| {
        ports
            .iter()
            .map(|port| (*port, Protocol::Tcp))
            .collect::<Vec<_>>()
    };
    for (config, found) in [
        (
            r#"{"ExposedPorts":{"33060-33062/tcp":{}}}"#,
            tcp(&[33060, 33061, 33062]),
        ),
        (r#"{"ExposedPorts":{"8080/TCP":{},"8080":null}}"#, tcp(&[8080])),
        (r#"{"ExposedPorts":{"80/":{},"81-81":{}}}"#, tcp(&[80, 81])),
        (r#"{"ExposedPorts":["80/tcp",443]}"#, tcp(&[80, 443])),
        (r#"{"ExposedPorts":8080}"#, tcp(&[8080])),
        (r#"{"ExposedPorts":null}"#, tcp(&[])),
    ] {
        assert_eq!(ports(config), found, "{config}");
    }
    for (folder, read) in [
        ("app", "/app"),
        ("./a/../../b/", "/b"),
        (".", "/"),
        ("/a/../b", "/a/../b"),
        ("", ""),
    ] {
        let config = format!(r#"{{"WorkingDir":"{folder}"}}"#);
        assert_eq!(sound(&config).working_dir, read, "{folder}");
    }
    // Names of fields as Docker's language takes them; of two the last.
    let config =
        sound(r#"{"env":["A=1"],"CMD":["a"],"cmd":"b c","workingdir":"/x","USER":1000,"Env":"B=2"}"#);
    assert_eq!(config.env, [pair("B", "2")]);
    assert_eq!(config.cmd, ["b c"]);
    assert_eq!(
        (config.user.as_str(), config.working_dir.as_str()),
        ("1000", "/x")
    );
    assert_eq!(
        sound(r#"{"Entrypoint":"/bin/sh -c id"}"#).entrypoint,
        ["/bin/sh -c id"]
    );
    assert_eq!(sound(r#"{"Cmd":["sleep",60,true]}"#).cmd, ["sleep", "60", "true"]);
    let labels = sound(r#"{"Labels":{"a":1,"b":null,"c":true}}"#).labels;
    assert_eq!(
        labels.into_iter().collect::<Vec<_>>(),
        [pair("a", "1"), pair("b", ""), pair("c", "true")]
    );
    assert_eq!(sound(r#"{"Labels":["a=b=c","d"]}"#).labels["a"], "b=c");
}

#[test]
fn what_cannot_be_read_is_left_out_with_a_warning_and_the_rest_stays() {
    for (field, value) in [
        ("Env", r#""FOO""#),
        ("Env", r#""""#),
        ("Env", r#""=x""#),
        ("Env", r#""Z=a\u0000b""#),
        ("Env", r#"{"a":"b"}"#),
        ("ExposedPorts", r#""0/tcp""#),
        ("ExposedPorts", r#""70000""#),
        ("ExposedPorts", r#""""#),
        ("ExposedPorts", r#""/tcp""#),
        ("ExposedPorts", r#""http""#),
        ("ExposedPorts", r#""+1""#),
        ("ExposedPorts", r#""-1""#),
        ("ExposedPorts", r#""5-4""#),
        ("ExposedPorts", r#""80/icmp""#),
        ("ExposedPorts", r#""1-65535/tcp""#),
        ("ExposedPorts", r#""80:80""#),
        ("Labels", r#"{"x":"y"}"#),
    ] {
        let rest = match field {
            "Env" => "A=b",
            "ExposedPorts" => "80",
            _ => "a=b",
        };
        let text = format!(r#"{{"{field}":["{rest}",{value}]}}"#);
        let (config, warnings) = parse(&text).unwrap();
        assert_eq!(
            config.env.len() + config.exposed_ports.len() + config.labels.len(),
            1,
            "{text}"
        );
        let start = format!("image configuration: {field} ");
        assert!(
            matches!(warnings.as_slice(), [one] if one.starts_with(&start) && one.ends_with(": left out")),
            "{text}: {warnings:?}"
        );
    }
    for (text, warning) in [
        (
            r#"{"Cmd":["a","b\u0000"]}"#,
            "Cmd holds a zero byte, or an argument of more than 128 KiB",
        ),
        (r#"{"Cmd":["a",{}]}"#, "Cmd is no list of texts"),
        (r#"{"Entrypoint":{"a":"b"}}"#, "Entrypoint is no list of texts"),
        (r#"{"Env":{"A":"b"}}"#, "Env is no list of texts"),
        (r#"{"WorkingDir":["/a"]}"#, "WorkingDir is no text"),
        (r#"{"WorkingDir":"/a\u0000"}"#, r"WorkingDir `/a\u{0}` is no path"),
        (r#"{"Labels":{"x\n":[1]}}"#, r"Labels `x\n` is no text"),
        (r#""nothing""#, "config is no object"),
        ("[1]", "config is no object"),
        ("7", "config is no object"),
    ] {
        let (config, warnings) = parse(text).unwrap();
        assert_eq!(config, ImageConfig::default(), "{text}");
        assert_eq!(
            warnings,
            [format!("image configuration: {warning}: left out")],
            "{text}"
        );
    }
    let many: Vec<String> = (0..50).map(|index| format!(r#""no port {index}""#)).collect();
    let (_, warnings) = parse(&format!(r#"{{"ExposedPorts":[{}]}}"#, many.join(","))).unwrap();
    assert_eq!(warnings.len(), WARNINGS_MAX + 1);
    assert_eq!(
        warnings[WARNINGS_MAX],
        "image configuration: 40 more values are left out"
    );
}

#[test]
fn who_runs_an_image_is_read_or_refuses_it() {
    for (config, message) in [
        (
            r#"{"User":"a\nb"}"#,
            r"image configuration: User `a\nb` is no user",
        ),
        (r#"{"User":["root"]}"#, "image configuration: User `` is no text"),
    ] {
        assert_eq!(parse(config).unwrap_err().to_string(), message);
    }
}

#[test]
fn an_image_that_names_no_platform_or_in_its_own_way_is_taken_for_what_docker_takes_it() {
    let amd64 = crate::document::Platform::Amd64;
    for (fields, fits) in [
        (r#""os":"linux","architecture":"x86_64","#, true),
        (r#""OS":"Linux","Architecture":"AMD64","#, true),
        (r#""os":"","architecture":"amd64","#, true),
        (r#""architecture":"amd64","#, true),
        (r#""os":null,"#, true),
        ("", true),
        (r#""os":"linux","architecture":"aarch64","#, false),
        (r#""os":"windows","architecture":"amd64","#, false),
        (r#""os":"linux","architecture":"386","#, false),
    ] {
        let document = document(&format!(r#"{{{fields}"rootfs":{{"diff_ids":[]}}}}"#)).unwrap();
        assert_eq!(amd64.is(&document.os, &document.architecture), fits, "{fields}");
    }
    let arm64 = crate::document::Platform::Arm64;
    assert!(arm64.is("linux", "aarch64") && !arm64.is("linux", "arm"));
}

#[test]
fn what_is_unpacked_is_read_in_one_way_only() {
    for text in [
        "",
        "[]",
        r#"{"rootfs":{"diff_ids":["sha256:12"]}}"#,
        r#"{"rootfs":[]}"#,
        r#"{"rootfs":{"diff_ids":"x"}}"#,
    ] {
        let error = document(text).unwrap_err().to_string();
        assert_eq!(error, "x does not parse", "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_configuration_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = ConfigDocument::parse("x", &bytes);
    }

    #[test]
    fn whatever_stands_in_a_field_the_rest_is_held_to_the_rules(text in r#"[\[{]?["a-c0-9:/,=\-]{0,20}[\]}]?"#) {
        for field in ["Env", "Cmd", "WorkingDir", "ExposedPorts", "Labels"] {
            if let Ok((config, _)) = parse(&format!(r#"{{"{field}":{text}}}"#)) {
                prop_assert!(config.check().is_ok(), "{field}: {text}");
            }
        }
    }
}
