//! Numbers as a person reads them.

use jiff::Timestamp;

const MIB: f64 = (1u64 << 20) as f64;
const GIB: f64 = (1u64 << 30) as f64;

/// `2 GiB`, `1536 MiB`.
pub fn memory(mib: u64) -> String {
    model::Size::from_bytes(mib.saturating_mul(1 << 20)).to_string()
}

/// What is used of a disk, in the unit of its size: `0.1 of 8 GiB`.
pub fn disk(used: u64, size: u64) -> String {
    let size = model::Size::from_bytes(size).to_string();
    let used = used as f64;
    match size.rsplit_once(' ') {
        Some((_, "TiB")) => format!("{:.1} of {size}", used / GIB / 1024.0),
        Some((_, "GiB")) => format!("{:.1} of {size}", used / GIB),
        Some((_, "MiB")) => format!("{:.0} of {size}", used / MIB),
        _ => format!("{used} B of {size}"),
    }
}

/// Bytes in the largest unit that makes them at least 1, two or three digits of it: `1.4 MiB`, `139 MiB`, `0 B`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next().unwrap_or(&"KiB");
    // 1023.7 would be shown as 1024.
    while value >= 1023.5 {
        match units.next() {
            Some(next) => (value, unit) = (value / 1024.0, next),
            None => break,
        }
    }
    if value < 9.95 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

/// Time since then, in the largest unit that makes it at least 1: `12 s`, `3 min`, `5 h`, `12 d`. A time that a clock
/// has put into the future is `0 s`.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Milliseconds as seconds: `2.9 s`.
pub fn milliseconds(milliseconds: u64) -> String {
    format!("{:.1} s", milliseconds as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_the_unit_that_fits() {
        assert_eq!(memory(2048), "2 GiB");
        assert_eq!(memory(1536), "1536 MiB");
        assert_eq!(disk(107_374_182, 8 << 30), "0.1 of 8 GiB");
        assert_eq!(disk(12 << 20, 512 << 20), "12 of 512 MiB");
        assert_eq!(disk(1 << 40, 16 << 40), "1.0 of 16 TiB");
        assert_eq!(disk(5, 100), "5 B of 100 B");
        assert_eq!(
            disk(u64::MAX, u64::MAX),
            "18446744073709552000 B of 18446744073709551615 B"
        );
    }

    #[test]
    fn bytes_are_in_the_largest_unit_with_few_digits() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (10_188, "9.9 KiB"),
            (10_189, "10 KiB"),
            (1_448_000, "1.4 MiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (145_832_000, "139 MiB"),
            (8 << 30, "8.0 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn ages_are_in_the_largest_unit_that_is_not_zero() {
        let then = Timestamp::from_second(1_000_000).unwrap();
        for (seconds, text) in [
            (-5, "0 s"),
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (86_399, "23 h"),
            (86_400, "1 d"),
            (40 * 86_400, "40 d"),
        ] {
            assert_eq!(
                age(then, Timestamp::from_second(1_000_000 + seconds).unwrap()),
                text
            );
        }
    }

    #[test]
    fn times_have_one_decimal() {
        assert_eq!(milliseconds(1_449), "1.4 s");
        assert_eq!(milliseconds(94_000), "94.0 s");
    }
}
