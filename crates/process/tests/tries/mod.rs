//! What a program that was broken into would try, each tried once: its name and how it went.
#![expect(
    unsafe_code,
    reason = "the calls that are tried have no safe interface, and no harmless one"
)]
#![allow(dead_code, reason = "each file of tests tries what it needs")]

use std::ffi::c_long;
use std::io;

use nix::libc;

/// One attempt: what it is called, the call, its arguments, and the error that the filter has for it.
pub type Try = (&'static str, c_long, [usize; 6], i32);

const fn family(name: &'static str, family: i32) -> Try {
    let arguments = [family as usize, libc::SOCK_DGRAM as usize, 0, 0, 0, 0];
    (name, libc::SYS_socket, arguments, libc::EAFNOSUPPORT)
}

const fn plain(name: &'static str, call: c_long, error: i32) -> Try {
    (name, call, [0; 6], error)
}

const THREAD_OF_NONE: usize = libc::SIGCHLD as usize;

/// Each would go through, or fail for another reason, if it were not denied: bad pointers, and namespaces of one's own.
pub const DENIED: &[Try] = &[
    plain("io_uring_setup", libc::SYS_io_uring_setup, libc::ENOSYS),
    plain("io_uring_enter", libc::SYS_io_uring_enter, libc::ENOSYS),
    plain("io_uring_register", libc::SYS_io_uring_register, libc::ENOSYS),
    plain("bpf", libc::SYS_bpf, libc::ENOSYS),
    plain("userfaultfd", libc::SYS_userfaultfd, libc::ENOSYS),
    plain("perf_event_open", libc::SYS_perf_event_open, libc::ENOSYS),
    plain("add_key", libc::SYS_add_key, libc::ENOSYS),
    plain("request_key", libc::SYS_request_key, libc::ENOSYS),
    plain("keyctl", libc::SYS_keyctl, libc::ENOSYS),
    plain("fanotify_init", libc::SYS_fanotify_init, libc::ENOSYS),
    plain("open_by_handle_at", libc::SYS_open_by_handle_at, libc::ENOSYS),
    plain("finit_module", libc::SYS_finit_module, libc::ENOSYS),
    plain("kexec_load", libc::SYS_kexec_load, libc::ENOSYS),
    plain("clock_settime", libc::SYS_clock_settime, libc::ENOSYS),
    plain("vmsplice", libc::SYS_vmsplice, libc::ENOSYS),
    plain("clone3", libc::SYS_clone3, libc::ENOSYS),
    // To a process that is not there.
    (
        "ptrace",
        libc::SYS_ptrace,
        [libc::PTRACE_ATTACH as usize, 0, 0, 0, 0, 0],
        libc::EPERM,
    ),
    plain("process_vm_readv", libc::SYS_process_vm_readv, libc::EPERM),
    plain("process_vm_writev", libc::SYS_process_vm_writev, libc::EPERM),
    plain("process_madvise", libc::SYS_process_madvise, libc::EPERM),
    plain("pidfd_getfd", libc::SYS_pidfd_getfd, libc::EPERM),
    plain("kcmp", libc::SYS_kcmp, libc::EPERM),
    plain("mount", libc::SYS_mount, libc::EPERM),
    plain("umount2", libc::SYS_umount2, libc::EPERM),
    plain("pivot_root", libc::SYS_pivot_root, libc::EPERM),
    plain("chroot", libc::SYS_chroot, libc::EPERM),
    plain("fsopen", libc::SYS_fsopen, libc::EPERM),
    plain("move_mount", libc::SYS_move_mount, libc::EPERM),
    plain("open_tree", libc::SYS_open_tree, libc::EPERM),
    plain("open_tree_attr", 467, libc::EPERM),
    plain("mount_setattr", libc::SYS_mount_setattr, libc::EPERM),
    plain("unshare", libc::SYS_unshare, libc::EPERM),
    plain("setns", libc::SYS_setns, libc::EPERM),
    (
        "clone with a user namespace",
        libc::SYS_clone,
        [libc::CLONE_NEWUSER as usize | THREAD_OF_NONE, 0, 0, 0, 0, 0],
        libc::EPERM,
    ),
    (
        "clone with a network namespace, among other flags",
        libc::SYS_clone,
        [
            libc::CLONE_NEWNET as usize | libc::CLONE_FS as usize | THREAD_OF_NONE,
            0,
            0,
            0,
            0,
            0,
        ],
        libc::EPERM,
    ),
    family("AF_VSOCK", libc::AF_VSOCK),
    family("AF_NETLINK", libc::AF_NETLINK),
    family("AF_PACKET", libc::AF_PACKET),
    family("AF_ALG", libc::AF_ALG),
    family("AF_BLUETOOTH", libc::AF_BLUETOOTH),
    family("AF_TIPC", libc::AF_TIPC),
    family("AF_XDP", libc::AF_XDP),
    (
        "AF_NETLINK, with bits that the kernel drops",
        libc::SYS_socket,
        [
            1 << 32 | libc::AF_NETLINK as usize,
            libc::SOCK_RAW as usize,
            0,
            0,
            0,
            0,
        ],
        libc::EAFNOSUPPORT,
    ),
    (
        "SCTP",
        libc::SYS_socket,
        [
            libc::AF_INET as usize,
            libc::SOCK_STREAM as usize,
            libc::IPPROTO_SCTP as usize,
            0,
            0,
            0,
        ],
        libc::EPROTONOSUPPORT,
    ),
    (
        "MPTCP",
        libc::SYS_socket,
        [
            libc::AF_INET6 as usize,
            libc::SOCK_STREAM as usize,
            libc::IPPROTO_MPTCP as usize,
            0,
            0,
            0,
        ],
        libc::EPROTONOSUPPORT,
    ),
    plain("memfd_create", libc::SYS_memfd_create, libc::ENOSYS),
    plain("memfd_secret", libc::SYS_memfd_secret, libc::ENOSYS),
    (
        "shmget",
        libc::SYS_shmget,
        [libc::IPC_PRIVATE as usize, 4096, 0o600, 0, 0, 0],
        libc::ENOSYS,
    ),
    plain("msgget", libc::SYS_msgget, libc::ENOSYS),
    plain("semget", libc::SYS_semget, libc::ENOSYS),
    plain("mq_open", libc::SYS_mq_open, libc::ENOSYS),
    #[cfg(target_arch = "x86_64")]
    plain(
        "io_uring_setup by its other number",
        0x4000_0000 | libc::SYS_io_uring_setup,
        libc::ENOSYS,
    ),
];

/// What stays: each has to go through.
pub const ALLOWED: &[Try] = &[
    (
        "AF_UNIX",
        libc::SYS_socket,
        [libc::AF_UNIX as usize, libc::SOCK_STREAM as usize, 0, 0, 0, 0],
        0,
    ),
    (
        "AF_INET",
        libc::SYS_socket,
        [libc::AF_INET as usize, libc::SOCK_DGRAM as usize, 17, 0, 0, 0],
        0,
    ),
    (
        "AF_INET6",
        libc::SYS_socket,
        [libc::AF_INET6 as usize, libc::SOCK_STREAM as usize, 6, 0, 0, 0],
        0,
    ),
    plain("getpid", libc::SYS_getpid, 0),
];

/// The error that an attempt ends with, 0 where it goes through.
pub fn attempt((_, call, [a, b, c, d, e, f], _): &Try) -> i32 {
    // SAFETY: no argument is a pointer but null ones, which the kernel refuses where it needs them. A child that comes of
    // a `clone` without a stack goes on as by fork, and ends at once.
    unsafe {
        let result = libc::syscall(*call, *a, *b, *c, *d, *e, *f);
        if *call == libc::SYS_clone && result == 0 {
            libc::_exit(0);
        }
        match result {
            -1 => io::Error::last_os_error().raw_os_error().unwrap_or(-1),
            _ => 0,
        }
    }
}

/// Maps so many bytes, private and writable, without using them; whether it went through.
pub fn map(bytes: usize) -> io::Result<()> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: an anonymous map at a place of the kernel's choice is nobody else's.
    let map = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
    if map == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Has a file that grows too long be an error, not the end.
pub fn outlive_long_files() {
    // SAFETY: no handler of ours runs.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Gives each file that is open for writing this length. The errors, 0 where one went through.
pub fn lengthen(length: u64) -> Vec<i32> {
    let length = length.cast_signed();
    let errors = (3..64).map(|number| {
        // SAFETY: it takes no pointer, and what has that number is no memory of ours.
        match unsafe { libc::ftruncate(number, length) } {
            0 => 0,
            _ => io::Error::last_os_error().raw_os_error().unwrap_or(-1),
        }
    });
    // Nothing is open there, or nothing that has a length.
    errors
        .filter(|error| ![libc::EBADF, libc::EINVAL].contains(error))
        .collect()
}
