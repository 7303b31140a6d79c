//! The last steps of a child before its program: its limits and its filters of system calls. Runs between fork and
//! exec: nothing here allocates or locks.

use std::io;

use rustix::io::Errno;
use rustix::process::setrlimit;
use seccompiler::BpfProgram;

use crate::confine::Broken;
use crate::limits::Plan;
use crate::{Refusal, seccomp};

/// Which part of the work failed, as the child tells it.
pub(crate) const FIRST_PART: u32 = 1 << 17;
const LIMIT: u32 = FIRST_PART;
const FILTER: u32 = FIRST_PART + 1;

/// Restricts this process.
pub(crate) fn restrict(limits: &Plan, filters: &[BpfProgram]) -> Result<(), Broken> {
    for (resource, limit) in limits {
        setrlimit(*resource, *limit).map_err(|error| (LIMIT, error))?;
    }
    for filter in filters {
        seccompiler::apply_filter(filter).map_err(|error| {
            let error = Errno::from_io_error(&seccomp::io_error(error));
            (FILTER, error.unwrap_or(Errno::INVAL))
        })?;
    }
    Ok(())
}

/// What the child tells, as an error.
pub(crate) fn refusal(part: u32, source: io::Error) -> Refusal {
    let step = match part {
        LIMIT => "limit what a program may take",
        _ => "filter a program's system calls",
    };
    Refusal {
        step: step.into(),
        source,
    }
}
