//! Failures as the API tells them.

use serde::{Deserialize, Serialize};

/// What kind of failure. A code never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// No VM answers to that reference.
    VmNotFound,
    /// More than one VM answers to that id prefix.
    VmAmbiguous,
    /// A VM of that name exists.
    VmExists,
    /// The VM is in a state that does not allow the call.
    VmState,
    /// A field has a value that is not allowed.
    Invalid,
    /// The request does not decode.
    BadRequest,
    /// The client stopped sending before all of the request's body had come.
    IncompleteBody,
    /// No such route.
    NotFound,
    /// No image of that name, here or in the catalog.
    ImageNotFound,
    /// A VM uses the image.
    ImageInUse,
    /// Another image has the name.
    ImageExists,
    /// No kernel of that name, here or in the catalog.
    KernelNotFound,
    /// An image or a VM uses the kernel.
    KernelInUse,
    /// Another kernel has the name.
    KernelExists,
    /// An image or kernel could not be fetched or built.
    ArtefactFailed,
    /// No VMM works on this host, or the one asked for is missing.
    VmmMissing,
    /// The VMM did not start, or ended.
    VmmFailed,
    /// The agent in the guest did not answer in time.
    AgentSilent,
    /// The agent refused the request.
    AgentRefused,
    /// The command to run is not in the guest.
    CommandNotFound,
    /// The command to run cannot be executed.
    CommandNotExecutable,
    /// A port of the host cannot be published.
    PortUnavailable,
    /// Nothing answers at the port to be forwarded to.
    CannotConnect,
    /// A file of the guest cannot be read or written, or a stream of files is broken.
    GuestFiles,
    /// The disk or another resource of the host is used up.
    HostResource,
    /// The operation was cancelled.
    Cancelled,
    /// No operation of that id.
    OperationNotFound,
    /// Anything else.
    Internal,
    /// A code that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[error("{message}")]
pub struct ApiError {
    /// What kind.
    pub code: ErrorCode,
    /// One line: what failed, with the value at fault, and why.
    pub message: String,
    /// One line: what the user can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The operation that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
}

/// Body of every answer with a status of 400 or more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorBody {
    /// The failure.
    pub error: ApiError,
}
