//! Making keys, and reading those that are there.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey};

use crate::{EngineError, plain_file};

/// Longest key file.
const LONGEST: u64 = 64 << 10;

/// The client's public key, as a line. The user may have put a key of any kind there: the file beside it that ends in
/// `.pub` tells its public half, and where that is missing the key itself does.
pub(super) fn client(path: &Path) -> Result<String, EngineError> {
    let public_path = beside(path);
    if !exists(path)? {
        let (private, public) = make(path, "banger")?;
        // The public half first: the key is there once all of it is.
        write(&public_path, format!("{public}\n").as_bytes(), 0o644)?;
        write(path, private.as_bytes(), 0o600)?;
        return Ok(public);
    }
    if exists(&public_path)? {
        let text = read(&public_path)?;
        let line = text.lines().next().unwrap_or_default().trim();
        PublicKey::from_openssh(line).map_err(|error| bad_key(&public_path, error))?;
        return Ok(line.to_owned());
    }
    public_of(path, &read(path)?)
}

/// A VM's key: the private half, and the public one as a line.
pub(super) fn host(path: &Path) -> Result<(String, String), EngineError> {
    if exists(path)? {
        let private = read(path)?;
        let public = public_of(path, &private)?;
        return Ok((private, public));
    }
    let (private, public) = make(path, "")?;
    write(path, private.as_bytes(), 0o600)?;
    Ok((private, public))
}

fn make(path: &Path, comment: &str) -> Result<(String, String), EngineError> {
    let made = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).and_then(|mut key| {
        key.set_comment(comment);
        let private = key.to_openssh(LineEnding::LF)?;
        Ok((private.to_string(), key.public_key().to_openssh()?))
    });
    made.map_err(|error| bad_key(path, error))
}

fn public_of(path: &Path, private: &str) -> Result<String, EngineError> {
    PrivateKey::from_openssh(private)
        .and_then(|key| key.public_key().to_openssh())
        .map_err(|error| bad_key(path, error))
}

fn bad_key(path: &Path, source: ssh_key::Error) -> EngineError {
    EngineError::SshKey {
        path: path.to_owned(),
        source,
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".pub");
    name.into()
}

fn exists(path: &Path) -> Result<bool, EngineError> {
    path.try_exists().map_err(EngineError::file("look for", path))
}

/// Reads a text of bounded length.
pub(super) fn read(path: &Path) -> Result<String, EngineError> {
    let read = || {
        let mut text = String::new();
        let length = plain_file::open_only(path)?
            .take(LONGEST + 1)
            .read_to_string(&mut text)?;
        if length as u64 > LONGEST {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "it is too long for a key",
            ));
        }
        Ok(text)
    };
    read().map_err(EngineError::file("read", path))
}

/// Writes a file whole or not at all.
pub(super) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), EngineError> {
    let write = || {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        durable::write(path, mode, content)
    };
    write().map_err(EngineError::file("write", path))
}
