//! Which system calls a process may make (`seccomp(2)`).
//!
//! ```text
//!  SystemCalls::deny(&Kind::ALL)    all but what no confined program of ours needs; a call of it fails, the process goes on
//!  SystemCalls::allow(calls)        nothing but what is listed; any other call ends the process (SIGSYS)
//!
//!  Launch::filter     in force from the program's first instruction on, so an allow list has to hold `execve`, and what
//!                     the loader of dynamic libraries calls
//!  enforce            in force from now on, for this process and all its threads: for a program of ours, which opens
//!                     what it needs first and can do with much less then
//! ```
//!
//! Filters add up: a process may be under one of each, and QEMU and Firecracker put their own on top. Neither can be
//! taken off, and both are inherited. Programs of another architecture than this one's (32 bit) are ended by a filter.

mod kinds;

use std::collections::BTreeMap;
use std::ffi::c_long;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};

use crate::Refusal;
pub use kinds::Kind;

/// A filter of system calls, compiled.
#[derive(Clone, Debug)]
pub struct SystemCalls {
    programs: Vec<BpfProgram>,
}

/// A system call, and what its arguments have to be.
#[derive(Clone, Debug)]
pub struct Call {
    number: c_long,
    conditions: Vec<SeccompCondition>,
}

impl From<c_long> for Call {
    /// Whatever its arguments are. The number is one of `libc`'s (`libc::SYS_read`).
    fn from(number: c_long) -> Self {
        Self {
            number,
            conditions: Vec::new(),
        }
    }
}

impl Call {
    /// Only where that argument, counted from 0, has this value. Looked at are its lower 32 bits: more, no flag, number or
    /// descriptor has, and the kernel drops the others itself.
    #[must_use]
    pub fn with(self, argument: u8, value: u32) -> Self {
        self.that(argument, SeccompCmpOp::Eq, value)
    }

    /// Only where that argument has any other value.
    #[must_use]
    pub fn without(self, argument: u8, value: u32) -> Self {
        self.that(argument, SeccompCmpOp::Ne, value)
    }

    /// Only where the bits of that argument that are in `mask` are those of `value`.
    #[must_use]
    pub fn masked(self, argument: u8, mask: u32, value: u32) -> Self {
        self.that(argument, SeccompCmpOp::MaskedEq(mask.into()), value)
    }

    fn that(mut self, argument: u8, operator: SeccompCmpOp, value: u32) -> Self {
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value.into());
        self.conditions
            .push(condition.expect("a system call has six arguments, and the caller names one of them"));
        self
    }
}

impl SystemCalls {
    /// Everything but these kinds of calls, which fail: [`Kind`] says with which error.
    #[must_use]
    pub fn deny(kinds: &[Kind]) -> Self {
        let mut by_error: BTreeMap<u32, Vec<Call>> = BTreeMap::new();
        for (error, call) in kinds.iter().flat_map(|kind| kind.calls()) {
            by_error.entry(error).or_default().push(call);
        }
        let denials = by_error.into_iter().map(|(error, calls)| {
            compile(calls, SeccompAction::Allow, SeccompAction::Errno(error))
                .expect("the lists are this crate's own, and far from the longest that the kernel takes")
        });
        Self {
            // Most starts and ends of a system call go no further than the last one.
            programs: denials.chain(other_numbers()).collect(),
        }
    }

    /// These calls, and no others: what makes another one is ended. A call that is named several times may be made as any
    /// of them says.
    ///
    /// # Errors
    /// There are more than the kernel takes (some hundreds).
    pub fn allow(calls: impl IntoIterator<Item = impl Into<Call>>) -> Result<Self, Refusal> {
        let calls = calls.into_iter().map(Into::into).collect();
        let program =
            compile(calls, SeccompAction::KillProcess, SeccompAction::Allow).map_err(|error| Refusal {
                step: "compile a filter of system calls".into(),
                source: io::Error::other(error),
            })?;
        Ok(Self {
            programs: vec![program],
        })
    }

    /// Puts this process under the filter, with all its threads and for good. It gets no rights by executing a program
    /// from then on either (`no_new_privs`).
    ///
    /// # Errors
    /// What the host does not let be done. Part of the filter may be in force then.
    pub fn enforce(&self) -> Result<(), Refusal> {
        self.programs.iter().try_for_each(|program| {
            seccompiler::apply_filter_all_threads(program).map_err(|error| Refusal {
                step: "filter system calls".into(),
                source: io_error(error),
            })
        })
    }

    /// The programs, in the order in which they are put on.
    pub(crate) fn into_programs(self) -> Vec<BpfProgram> {
        self.programs
    }
}

/// The system's reason.
pub(crate) fn io_error(error: seccompiler::Error) -> io::Error {
    match error {
        seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => error,
        other => io::Error::other(other),
    }
}

fn compile(
    calls: Vec<Call>,
    others: SeccompAction,
    listed: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let mut plain = Vec::new();
    for Call { number, conditions } in calls {
        if conditions.is_empty() {
            plain.push(number);
        } else {
            rules
                .entry(number)
                .or_default()
                .push(SeccompRule::new(conditions)?);
        }
    }
    // Without a rule, the call is listed whatever its arguments are.
    for number in plain {
        rules.insert(number, Vec::new());
    }
    SeccompFilter::new(rules, others, listed, architecture()?)?.try_into()
}

fn architecture() -> Result<TargetArch, seccompiler::BackendError> {
    std::env::consts::ARCH.try_into()
}

/// On x86-64, each call has a second number, with this bit set, where the kernel knows programs with short pointers
/// (x32). A list of what is denied does not know those, so they are denied together.
const SHORT_POINTERS: u32 = 0x4000_0000;

fn other_numbers() -> Option<BpfProgram> {
    // linux/bpf_common.h, linux/seccomp.h
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const ERROR: u32 = 0x0005_0000;
    const NUMBER: u32 = 0;
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    cfg!(target_arch = "x86_64").then(|| {
        vec![
            step(LOAD_WORD, 0, 0, NUMBER),
            step(JUMP_IF_AT_LEAST, 0, 1, SHORT_POINTERS),
            step(RETURN, 0, 0, ERROR | nix::libc::ENOSYS.unsigned_abs()),
            step(RETURN, 0, 0, ALLOW),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc;

    #[test]
    fn a_filter_that_is_too_long_is_told_and_not_cut() {
        let calls = (0..2000).map(|number| Call::from(number).with(0, 1).with(1, 1));
        let refusal = SystemCalls::allow(calls).unwrap_err();
        assert_eq!(refusal.to_string(), "cannot compile a filter of system calls");
    }

    #[test]
    fn a_call_that_is_listed_without_arguments_is_listed_with_all_of_them() {
        let plain = SystemCalls::allow([libc::SYS_socket]).unwrap();
        let both = [Call::from(libc::SYS_socket).with(0, 1), libc::SYS_socket.into()];
        let both = SystemCalls::allow(both).unwrap();
        assert_eq!(plain.programs, both.programs);
    }

    #[test]
    fn every_kind_compiles_alone_and_with_all_others() {
        for kind in Kind::OF_VMM {
            assert!(!SystemCalls::deny(&[kind]).programs.is_empty(), "{kind:?}");
        }
        let all = SystemCalls::deny(&Kind::OF_VMM).programs;
        let longest = all.iter().map(Vec::len).max().unwrap();
        assert!(longest < 1000, "{longest}");
    }
}
