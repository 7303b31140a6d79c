//! `banger vm cp`: its arguments, and which of them lies in a VM.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::Args;
use clap::builder::TypedValueParser;

use super::BootArgs;

/// `banger vm cp`.
#[derive(Debug, Args)]
pub struct CpArgs {
    /// What to copy: PATH, NAME:PATH, or `-` for a tar stream on stdin.
    #[arg(
        value_name = "SRC",
        required = true,
        num_args = 1..,
        value_parser = clap::builder::OsStringValueParser::new().map(|text| End::of(&text))
    )]
    pub sources: Vec<End>,
    /// Where to: PATH, NAME:PATH, or `-` for a tar stream on stdout; a folder that is there, if there are several SRC.
    #[arg(value_name = "DST", value_parser = clap::builder::OsStringValueParser::new().map(|text| End::of(&text)))]
    pub target: End,
    /// Keep owners, modes and extended attributes; set-id bits only from this host into a VM.
    #[arg(short, long)]
    pub archive: bool,
    /// What it does anyway; for those who are used to `cp -r`.
    #[arg(short, long, hide = true, short_alias = 'R')]
    pub recursive: bool,
    /// Where SRC is a link, copy what it leads to.
    #[arg(short = 'L', long)]
    pub follow_link: bool,
    #[command(flatten)]
    pub boot: BootArgs,
    /// Show no progress.
    #[arg(short, long)]
    pub quiet: bool,
}

/// One end of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// A path of this host.
    Here(PathBuf),
    /// A path in a VM.
    There {
        /// The VM.
        vm: String,
        /// The path, from the root.
        path: Vec<u8>,
    },
    /// Stdin or stdout.
    Stream,
}

impl End {
    /// `-`, `NAME:PATH`, or anything else. A path of this host with a colon in it is written `./a:b`.
    fn of(text: &OsStr) -> Self {
        let bytes = text.as_bytes();
        if bytes == b"-" {
            return Self::Stream;
        }
        if let Some(colon) = bytes.iter().position(|byte| *byte == b':')
            && let Ok(vm) = str::from_utf8(&bytes[..colon])
            && !vm.is_empty()
            && !vm.contains('/')
            && !vm.starts_with('.')
        {
            return Self::There {
                vm: vm.to_owned(),
                path: bytes[colon + 1..].to_vec(),
            };
        }
        Self::Here(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_vm_is_told_by_a_colon_before_any_slash() {
        let there = |vm: &str, path: &str| End::There {
            vm: vm.into(),
            path: path.into(),
        };
        for (text, end) in [
            ("-", End::Stream),
            ("box:/etc", there("box", "/etc")),
            ("box:a:b", there("box", "a:b")),
            ("box:", there("box", "")),
            ("a/b:c", End::Here("a/b:c".into())),
            ("./a:b", End::Here("./a:b".into())),
            ("/a:b", End::Here("/a:b".into())),
            (":b", End::Here(":b".into())),
            ("..", End::Here("..".into())),
            ("", End::Here("".into())),
        ] {
            assert_eq!(End::of(text.as_ref()), end, "{text}");
        }
    }
}
