//! Removes what builds of a killed daemon left, while the next one is in use: a build may have left what takes an hour to
//! remove, or what cannot be removed, and VMs have to be reached meanwhile.

use std::path::Path;
use std::thread;

use catalog::LeftWork;

use crate::error::one_line;

/// Begins to remove what was left below `work`. Folders that are made from now on are left alone.
pub(super) fn remove_left_work(work: &Path) {
    let left = match LeftWork::find(work) {
        Ok(left) => left,
        Err(error) => return warn(work, &one_line(&error)),
    };
    let path = work.to_owned();
    let remove = move || {
        if let Err(error) = left.remove() {
            warn(&path, &one_line(&error));
        }
    };
    let started = thread::Builder::new()
        .name("remove-left-work".to_owned())
        .spawn(remove);
    if let Err(error) = started {
        warn(work, &error.to_string());
    }
}

fn warn(work: &Path, error: &str) {
    tracing::warn!(work = %work.display(), error, "what a build left is not removed");
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_daemon_does_not_wait_for_the_removal_of_what_a_build_left() {
        let work = tempfile::tempdir().unwrap();
        let left = work.path().join("work-left");
        fs::create_dir(&left).unwrap();
        // Neither a folder nor in use: no removal gets rid of it.
        std::os::unix::net::UnixListener::bind(work.path().join("work-socket")).unwrap();
        for number in 0..10_000 {
            fs::write(left.join(number.to_string()), "").unwrap();
        }
        remove_left_work(work.path());
        assert!(left.exists(), "it was waited for");
        let deadline = Instant::now() + Duration::from_secs(20);
        while left.exists() {
            assert!(Instant::now() < deadline, "it is still there");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
