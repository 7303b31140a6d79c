//! Which release a kernel is, by its own word.

use super::error::KernelError;
use super::package::{LONGEST_VERSION, is_name};

/// What every kernel prints first: `Linux version 6.1.0-56-cloud-amd64 (…`.
const BANNER: &[u8] = b"Linux version ";

/// The release in a kernel's banner, as `uname -r` says it: begins with a number and a dot.
///
/// # Errors
/// [`KernelError::BadImage`] where there is no banner.
pub(crate) fn of(vmlinux: &[u8]) -> Result<String, KernelError> {
    let mut rest = vmlinux;
    while let Some(at) = find(rest, BANNER) {
        rest = &rest[at + BANNER.len()..];
        let window = &rest[..rest.len().min(LONGEST_VERSION + 1)];
        if let Some(end) = window.iter().position(|byte| *byte == b' ')
            && let Ok(release) = str::from_utf8(&window[..end])
            && is_release(release)
        {
            return Ok(release.to_owned());
        }
    }
    Err(KernelError::BadImage {
        fault: "it does not say which version it is",
    })
}

/// Whether a text can be a release. Names of kernels have no dot, so that name and release can be told apart where they
/// are joined.
fn is_release(text: &str) -> bool {
    let number = text.split('.').next().unwrap_or_default();
    is_name(text.as_bytes())
        && text.len() > number.len()
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn find(data: &[u8], text: &[u8]) -> Option<usize> {
    data.windows(text.len()).position(|window| window == text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_kernel_says_its_release_in_its_banner() {
        for (text, release) in [
            (
                "..Linux version 6.1.0-56-cloud-amd64 (debian",
                "6.1.0-56-cloud-amd64",
            ),
            ("Linux version %s\0Linux version 5.10 (a@b)", "5.10"),
            ("Linux version Linux version 6.12.3+ (x", "6.12.3+"),
        ] {
            assert_eq!(of(text.as_bytes()).unwrap(), release);
        }
        for text in [
            "",
            "Linux version ",
            "Linux version 6 (x",
            "Linux version 6-1.0 (x",
            "Linux version ../../x (x",
            "Linux version .1 (x",
            "Linux version 6.1/../x (x",
            "Linux version 6.1",
        ] {
            let error = of(text.as_bytes()).unwrap_err();
            assert_eq!(
                error.to_string(),
                "the kernel image is unusable: it does not say which version it is",
                "{text}"
            );
        }
        let long = format!("Linux version 6.{} (x", "1".repeat(63));
        assert!(of(long.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(rest in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut data = BANNER.to_vec();
            data.extend(rest);
            let _ = of(&data);
        }
    }
}
