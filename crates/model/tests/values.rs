//! What a person may write, and what is refused.

use std::time::Duration;

use model::values::parse_duration;
use model::{DiskSize, MemorySize, Size, VcpuCount, VmName};
use proptest::prelude::*;

#[test]
fn sizes_are_read_with_their_units_and_a_bare_number_is_mib() {
    for (text, bytes) in [
        ("512M", 512 << 20),
        ("512m", 512 << 20),
        ("4G", 4 << 30),
        ("4GiB", 4 << 30),
        ("4gib", 4 << 30),
        ("1T", 1 << 40),
        ("64K", 64 << 10),
        ("2048", 2048 << 20),
        ("0", 0),
    ] {
        assert_eq!(Size::parse(text).unwrap().bytes(), bytes, "{text}");
    }
    for text in [
        "",
        "G",
        "4 G",
        " 4G",
        "4.5G",
        "-1",
        "+1",
        "4GB",
        "0x10",
        "4GG",
        "1e3",
        "99999999999999999999",
        "17592186044416T",
        "４G",
    ] {
        let error = Size::parse(text).unwrap_err().to_string();
        assert!(error.contains(&format!("{text:?}")), "{error}");
    }
}

#[test]
fn sizes_are_shown_in_the_largest_whole_unit() {
    for (bytes, text) in [
        (8u64 << 30, "8 GiB"),
        (1536 << 20, "1536 MiB"),
        (1 << 40, "1 TiB"),
        (1023, "1023 B"),
        (0, "0 B"),
    ] {
        assert_eq!(Size::from_bytes(bytes).to_string(), text);
    }
}

#[test]
fn memory_disk_and_processors_have_limits() {
    assert_eq!(MemorySize::parse("2G").unwrap().mib(), 2048);
    assert_eq!(MemorySize::parse("128").unwrap().mib(), 128);
    for text in ["127", "64M", "2T", "200000K", "1025K", "lots"] {
        assert!(MemorySize::parse(text).is_err(), "{text}");
    }
    assert!(MemorySize::from_mib(u64::MAX).is_err());
    assert_eq!(DiskSize::parse("256M").unwrap().bytes(), 256 << 20);
    assert_eq!(DiskSize::parse("8T").unwrap().bytes(), DiskSize::LARGEST);
    for text in ["255M", "17T", "0", "262145K"] {
        assert!(DiskSize::parse(text).is_err(), "{text}");
    }
    assert!(DiskSize::from_bytes((256 << 20) + 1).is_err());
    assert_eq!(VcpuCount::parse("64").unwrap().get(), 64);
    for text in ["0", "65", "", "+1", "1.0", "two", "4294967297"] {
        assert!(VcpuCount::parse(text).is_err(), "{text}");
    }
}

#[test]
fn vm_names_are_dns_labels_and_nothing_is_normalised() {
    let longest = "a".repeat(63);
    for name in ["a", "quick-otter", "0", "a--b", longest.as_str()] {
        assert_eq!(VmName::parse(name).unwrap().as_str(), name);
    }
    let too_long = "a".repeat(64);
    for (name, rule) in [
        ("", "empty"),
        ("A", "only a to z"),
        ("a b", "only a to z"),
        ("a.b", "only a to z"),
        ("a_b", "only a to z"),
        ("é", "only a to z"),
        ("a\n", "only a to z"),
        ("../x", "only a to z"),
        ("-a", "start or end"),
        ("a-", "start or end"),
        (too_long.as_str(), "63"),
    ] {
        let error = VmName::parse(name).unwrap_err().to_string();
        assert!(error.contains(rule), "{name:?}: {error}");
        assert_eq!(error.lines().count(), 1);
    }
}

#[test]
fn a_huge_text_gives_a_short_line() {
    assert!(VmName::parse(&"X".repeat(1 << 20)).unwrap_err().to_string().len() < 200);
}

#[test]
fn lengths_of_time_need_their_unit() {
    for (text, seconds) in [("30s", 30), ("10m", 600), ("2h", 7200), ("0s", 0)] {
        assert_eq!(parse_duration(text).unwrap(), Duration::from_secs(seconds));
    }
    for text in [
        "",
        "10",
        "m",
        "10 m",
        "-1s",
        "1.5h",
        "10min",
        "9999999h",
        "99999999999999999999s",
    ] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_without_a_panic(text in ".{0,80}") {
        let _ = Size::parse(&text);
        let _ = MemorySize::parse(&text);
        let _ = DiskSize::parse(&text);
        let _ = VcpuCount::parse(&text);
        let _ = parse_duration(&text);
        if let Ok(name) = VmName::parse(&text) {
            prop_assert_eq!(name.as_str(), text);
        }
    }

    #[test]
    fn a_shown_size_reads_back_as_the_same(mib in 0u64..1 << 40) {
        let size = Size::from_bytes(mib << 20);
        let shown = size.to_string().replace(' ', "");
        if shown != "0B" {
            prop_assert_eq!(Size::parse(&shown).unwrap(), size);
        }
    }
}
