//! apt's reports on its `APT::Status-Fd`: `dlstatus:<file>:<percent>:<text>`.

/// One report.
#[derive(Debug, PartialEq)]
pub(super) struct Status {
    /// 0 to 100.
    pub percent: f64,
    /// For a person; may be empty.
    pub detail: String,
}

/// Reads a line; other lines are none.
pub(super) fn parse(line: &str) -> Option<Status> {
    let mut fields = line.strip_prefix("dlstatus:")?.splitn(3, ':');
    let _file = fields.next()?;
    let percent: f64 = fields.next()?.parse().ok()?;
    if !(0.0..=100.0).contains(&percent) {
        return None;
    }
    Some(Status {
        percent,
        detail: fields.next().unwrap_or_default().trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reports_are_told_from_other_lines() {
        let status = parse("dlstatus:1:20.0157:Retrieving file 1 of 3 (2s remaining)").unwrap();
        assert_eq!(status.percent as u64, 20);
        assert_eq!(status.detail, "Retrieving file 1 of 3 (2s remaining)");
        for other in [
            "",
            "Get:1 http://a b",
            "dlstatus:",
            "dlstatus:1",
            "dlstatus:1:x:y",
            "dlstatus:1:101:y",
            "dlstatus:1:NaN:",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "(dlstatus:)?\\PC*") {
            let _ = parse(&line);
        }
    }
}
