//! Why a command failed, what the user can do about it, and the code to exit with.

use std::io;
use std::path::Path;

use api::ApiError;
use api::client::{ClientError, FolderError};

/// Exit code of wrong usage.
pub const USAGE: u8 = 2;

/// As if SIGPIPE had ended the program.
const BROKEN_PIPE: u8 = 128 + 13;

/// A command's end other than success.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    code: u8,
}

#[derive(Debug)]
enum Kind {
    /// An error: one line, and what to do about it.
    Error { message: String, hint: Option<String> },
    /// Text that was asked for (help, version), for stdout.
    Requested(String),
    /// Help for somebody who gave no command, for stderr.
    Help(String),
    /// Everything is said already, or there is nobody to tell.
    Quiet,
}

impl Failure {
    /// `banger: <message>`, exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Error {
                message: message.into(),
                hint: None,
            },
            code: 1,
        }
    }

    /// Wrong usage: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(message).with_code(USAGE)
    }

    /// An exit code without a word.
    pub fn quiet(code: u8) -> Self {
        Self {
            kind: Kind::Quiet,
            code,
        }
    }

    /// Help or version that was asked for.
    pub fn requested_text(text: String) -> Self {
        Self {
            kind: Kind::Requested(text),
            code: 0,
        }
    }

    /// Help for somebody who gave no command.
    pub fn help_instead(text: String) -> Self {
        Self {
            kind: Kind::Help(text),
            code: USAGE,
        }
    }

    /// Adds what the user can do about it.
    pub fn with_hint(mut self, text: impl Into<String>) -> Self {
        if let Kind::Error { hint, .. } = &mut self.kind {
            *hint = Some(text.into());
        }
        self
    }

    /// Exits with `code`.
    pub fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Says first which of the user's files it is about.
    pub fn of_file(mut self, path: &Path) -> Self {
        if let Kind::Error { message, .. } = &mut self.kind {
            *message = format!("{}: {message}", path.display());
        }
        self
    }

    /// The code to exit with.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// The error's line; empty where there is none.
    pub fn message(&self) -> &str {
        match &self.kind {
            Kind::Error { message, .. } => message,
            _ => "",
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        match &self.kind {
            Kind::Error { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }

    /// Says it, on the stream where it belongs. Returns the code to exit with.
    pub fn report(&self) -> u8 {
        match &self.kind {
            Kind::Error { message, hint } => {
                crate::render::error(message);
                if let Some(hint) = hint {
                    crate::render::hint(hint);
                }
            }
            Kind::Requested(text) => {
                if let Err(failure) = crate::render::output(text) {
                    return failure.code;
                }
            }
            Kind::Help(text) => crate::render::note(text.trim_end()),
            Kind::Quiet => {}
        }
        self.code
    }

    /// Writing to stdout failed. A reader that has gone is no error worth a word.
    pub fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::quiet(BROKEN_PIPE),
            _ => Self::new(format!("cannot write to stdout: {error}")),
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let failure = Self::new(error.message);
        match error.hint {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::Api(error) => error.into(),
            ClientError::Unreachable { .. } => Self::new(message),
            ClientError::ForeignDaemon { owner, .. } => Self::new(message).with_hint(format!(
                "only a daemon of your own or of root's is trusted; if that user's is meant: sudo -u '#{owner}' banger …"
            )),
            ClientError::UnsafeFolder { fault, .. } => {
                let hint = match &fault {
                    FolderError::OpenToOthers { path, parent: false, .. } => format!("chmod go-w {}", path.display()),
                    FolderError::OpenToOthers { path, parent: true, .. } => format!("chmod o-w {}", path.display()),
                    FolderError::ForeignOwner { path, owner } => format!(
                        "if that user's daemon is meant: sudo -u '#{owner}' banger …; if not, remove {}, or set \
                         XDG_RUNTIME_DIR to a folder of your own",
                        path.display()
                    ),
                    _ => "name the socket without a link on the way".into(),
                };
                Self::new(message).with_hint(hint)
            }
            ClientError::Broke(_) | ClientError::Silent { .. } => {
                Self::new(message).with_hint("`banger doctor` looks at the daemon")
            }
            ClientError::TooLong { .. } | ClientError::Protocol(_) => Self::new(message)
                .with_hint("`banger version` shows whether banger and its daemon belong together"),
        }
    }
}
