//! The descriptors that a program is handed: by their numbers, among its arguments.
#![expect(unsafe_code, reason = "a number becomes a descriptor's owner")]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::fcntl_getfd;

/// The descriptor of a number that was passed on to this process, and that nothing else here knows of.
///
/// # Errors
/// The argument is no such number.
pub(crate) fn take(argument: Option<&String>) -> io::Result<OwnedFd> {
    let number: Option<RawFd> = argument.and_then(|argument| argument.parse().ok());
    // Those below are the standard library's.
    let Some(number) = number.filter(|&number| number > 2) else {
        return Err(io::Error::other("it is handed no descriptor"));
    };
    // SAFETY: the descriptor is only looked at, and none but this program's single thread could close it meanwhile.
    fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) })?;
    // SAFETY: it is open, was open when this program began, and each argument is taken once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
