//! What confined programs do not need of the kernel, by kind. What is denied here was, or is like, a way out of
//! sandboxes, or takes a part of the kernel along that programs in them never use.

use std::ffi::c_long;

use nix::libc;

use super::Call;

/// A kind of system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Large parts of the kernel behind one call: io_uring, bpf, userfaultfd, performance counters, keys, file system
    /// watches of whole mounts, modules, other kernels, swap, clocks, ports and segments of the processor. Told as a
    /// kernel tells that lacks them (`ENOSYS`), so that a program takes another way.
    Kernel,
    /// Looking into other processes: ptrace, their memory, their descriptors (`EPERM`).
    Processes,
    /// Mounts and roots, in both interfaces (`EPERM`).
    Mounts,
    /// Changes of a mount that is there, for what may mount: one that is read-only stays so (`EPERM`; `ENOSYS` where a
    /// program takes `mount(2)` then). [`Kind::Mounts`] has them all.
    Remounts,
    /// New namespaces and others' ones (`EPERM`). `clone3`, whose flags a filter cannot see, is told as missing (`ENOSYS`);
    /// the C library takes `clone` then.
    Namespaces,
    /// Sockets of other families than Unix and IP: AF_VSOCK, AF_NETLINK, AF_PACKET, AF_ALG, … (`EAFNOSUPPORT`); of IP,
    /// other protocols than TCP, UDP and ICMP (`EPROTONOSUPPORT`).
    Sockets,
    /// Memory, and objects of the kernel's, that stay where no process has them mapped, so that no limit of a process counts
    /// them: System V's shared memory, queues and semaphores, POSIX's queues. Told as missing (`ENOSYS`). For a VMM; what
    /// builds software may need them.
    Unmapped,
    /// The same in files that have no name and are in memory (`ENOSYS`).
    Unnamed,
}

impl Kind {
    /// All that no program needs which banger confines; but [`Kind::Unmapped`] and [`Kind::Unnamed`].
    pub const ALL: [Self; 5] = [
        Self::Kernel,
        Self::Processes,
        Self::Mounts,
        Self::Namespaces,
        Self::Sockets,
    ];
    /// What no VMM needs: each there is.
    pub const OF_VMM: [Self; 7] = [
        Self::Kernel,
        Self::Processes,
        Self::Mounts,
        Self::Namespaces,
        Self::Sockets,
        Self::Unmapped,
        Self::Unnamed,
    ];

    /// Its calls, each with the error that it fails with.
    pub(super) fn calls(self) -> Vec<(u32, Call)> {
        let all = |numbers: &[c_long], error| failing(numbers.iter().copied().map(Call::from), error);
        match self {
            Self::Kernel => all(KERNEL, libc::ENOSYS),
            Self::Processes => all(PROCESSES, libc::EPERM),
            Self::Mounts => all(MOUNTS, libc::EPERM),
            Self::Remounts => {
                let remount = u32::try_from(libc::MS_REMOUNT).expect("a flag of 32 bits");
                let again = Call::from(libc::SYS_mount).masked(3, remount, remount);
                let mut calls = failing([again, libc::SYS_fspick.into()], libc::EPERM);
                calls.extend(all(
                    &[libc::SYS_mount_setattr, OPEN_TREE_ATTRIBUTES],
                    libc::ENOSYS,
                ));
                calls
            }
            Self::Unmapped => all(UNMAPPED, libc::ENOSYS),
            Self::Unnamed => all(UNNAMED, libc::ENOSYS),
            Self::Namespaces => {
                let clones = NAMESPACES.map(|flag| Call::from(libc::SYS_clone).masked(0, flag, flag));
                let mut calls = all(&[libc::SYS_unshare, libc::SYS_setns], libc::EPERM);
                calls.extend(failing(clones, libc::EPERM));
                calls.extend(all(&[libc::SYS_clone3], libc::ENOSYS));
                calls
            }
            Self::Sockets => {
                let both = [libc::SYS_socket, libc::SYS_socketpair].map(Call::from);
                let families = both.map(|call| except(call, 0, &FAMILIES));
                let protocols = IP.map(|family| {
                    except(
                        Call::from(libc::SYS_socket).with(0, number(family)),
                        2,
                        &PROTOCOLS,
                    )
                });
                let mut calls = failing(families, libc::EAFNOSUPPORT);
                calls.extend(failing(protocols, libc::EPROTONOSUPPORT));
                calls
            }
        }
    }
}

fn failing(calls: impl IntoIterator<Item = Call>, error: i32) -> Vec<(u32, Call)> {
    calls.into_iter().map(|call| (number(error), call)).collect()
}

/// The call with any value of an argument but these.
fn except(call: Call, argument: u8, values: &[i32]) -> Call {
    values
        .iter()
        .fold(call, |call, &value| call.without(argument, number(value)))
}

fn number(value: i32) -> u32 {
    value.cast_unsigned()
}

/// Newer than what `libc` has, and of the same number on each architecture (asm-generic/unistd.h).
const OPEN_TREE_ATTRIBUTES: c_long = 467;

const IP: [i32; 2] = [libc::AF_INET, libc::AF_INET6];
const FAMILIES: [i32; 3] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];
const PROTOCOLS: [i32; 5] = [
    0,
    libc::IPPROTO_TCP,
    libc::IPPROTO_UDP,
    libc::IPPROTO_ICMP,
    libc::IPPROTO_ICMPV6,
];

/// Those that `clone(2)` takes. (The one of time is for `unshare` alone.)
const NAMESPACES: [u32; 7] = [
    libc::CLONE_NEWNS.cast_unsigned(),
    libc::CLONE_NEWCGROUP.cast_unsigned(),
    libc::CLONE_NEWUTS.cast_unsigned(),
    libc::CLONE_NEWIPC.cast_unsigned(),
    libc::CLONE_NEWUSER.cast_unsigned(),
    libc::CLONE_NEWPID.cast_unsigned(),
    libc::CLONE_NEWNET.cast_unsigned(),
];

const KERNEL: &[c_long] = &[
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_open_by_handle_at,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_vmsplice,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
];

const PROCESSES: &[c_long] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
];

const MOUNTS: &[c_long] = &[
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    OPEN_TREE_ATTRIBUTES,
    libc::SYS_mount_setattr,
];

const UNNAMED: &[c_long] = &[libc::SYS_memfd_create, libc::SYS_memfd_secret];

const UNMAPPED: &[c_long] = &[
    libc::SYS_shmget,
    libc::SYS_msgget,
    libc::SYS_semget,
    libc::SYS_mq_open,
];
