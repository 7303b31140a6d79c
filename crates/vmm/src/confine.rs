//! Whether a VMM may run where this host does not let it be confined.

/// What is done where the host refuses user namespaces, and there is no other way to confine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confine {
    /// The machine does not start.
    #[default]
    Required,
    /// The VMM runs with all rights of its user, behind its own seccomp filters and limits alone.
    WherePossible,
}
