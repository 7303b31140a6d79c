//! An OCI layout as a tar, for a process that may not read the user's files: its three kinds of member and no other.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::digest::Digest;
use crate::document::{DOCUMENT_MAX, shown};
use crate::error::OciError;
use crate::fault::Fault;
use crate::layer::{Compression, decode};
use crate::plain_file;

/// Members that no image comes near to.
const MEMBERS_MAX: usize = 100_000;
const BLOBS: &str = "blobs/sha256";
/// Folders that a layout has.
const FOLDERS: [&str; 4] = ["", ".", "blobs", BLOBS];
/// What `docker save` puts beside a layout for readers of old.
const BESIDE: [&str; 2] = ["manifest.json", "repositories"];
const DOCUMENTS: [&str; 2] = ["oci-layout", "index.json"];

/// Writes the layout in `folder` as a tar. Blobs of other images in it go along.
///
/// # Errors
/// [`OciError::File`] names what cannot be read; writing fails with `out`'s own error in it.
pub fn pack_layout(folder: &Path, out: impl Write) -> Result<(), OciError> {
    let mut tar = tar::Builder::new(out);
    for name in DOCUMENTS {
        append(&mut tar, folder, name)?;
    }
    let blobs = folder.join(BLOBS);
    let entries = fs::read_dir(&blobs).map_err(OciError::file(&blobs, "read"))?;
    for entry in entries {
        let entry = entry.map_err(OciError::file(&blobs, "read"))?;
        if let Some(name) = entry.file_name().to_str()
            && Digest::parse(&format!("sha256:{name}")).is_ok()
        {
            append(&mut tar, folder, &format!("{BLOBS}/{name}"))?;
        }
    }
    let ended = tar.into_inner().and_then(|mut out| out.flush());
    ended.map_err(OciError::file(folder, "send"))
}

fn append(tar: &mut tar::Builder<impl Write>, folder: &Path, name: &str) -> Result<(), OciError> {
    let path = folder.join(name);
    let file = plain_file::open(&path).map_err(OciError::file(&path, "open"))?;
    let size = file.metadata().map_err(OciError::file(&path, "read"))?.len();
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o600);
    // One that grows meanwhile is cut at the size that was announced.
    tar.append_data(&mut header, name, file.take(size))
        .map_err(OciError::file(&path, "send"))
}

/// Unpacks such a tar, or one that another tool has made of a layout, into `folder`, which is empty. It may be compressed
/// as a whole, have members for the layout's folders, and what `docker save` puts beside: those are left out.
///
/// # Errors
/// A member that is none of a layout's, comes twice, or is too large; a tar that is damaged or cut off.
pub fn unpack_layout(tar: impl Read + Send, folder: &Path, limit: u64) -> Result<(), OciError> {
    let bad = |entry: &str, reason: &str| OciError::BadStore {
        path: "the archive".into(),
        reason: format!("`{entry}` {reason}"),
    };
    let damaged = |entry: &str| {
        let entry = entry.to_owned();
        move |source: io::Error| OciError::Entry {
            layer: "the archive".to_owned(),
            entry,
            fault: Fault::Archive(tarball::Fault::Read(source)),
        }
    };
    let blobs = folder.join(BLOBS);
    fs::create_dir_all(&blobs).map_err(OciError::file(&blobs, "create"))?;
    let mut archive = tar::Archive::new(unpacked(tar).map_err(damaged(""))?);
    let mut left = limit;
    let mut members = 0;
    for entry in archive.entries().map_err(damaged(""))? {
        let mut entry = entry.map_err(damaged(""))?;
        let written = shown(&String::from_utf8_lossy(&entry.path_bytes()));
        let name = written.strip_prefix("./").unwrap_or(&written).to_owned();
        let size = entry.size();
        members += 1;
        let kind = entry.header().entry_type();
        let beside = kind.is_dir() && FOLDERS.contains(&name.trim_end_matches('/'))
            || kind.is_file() && BESIDE.contains(&name.as_str());
        let member = kind.is_file() && is_member(&name);
        if !beside && !member {
            return Err(bad(&written, "belongs to no layout"));
        }
        let document = DOCUMENTS.contains(&name.as_str());
        if members > MEMBERS_MAX || size > left || (document && size > DOCUMENT_MAX) {
            return Err(bad(&name, "is more than an image may hold"));
        }
        left -= size;
        if beside {
            continue;
        }
        let path = folder.join(&name);
        let mut out = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => bad(&name, "comes twice"),
                _ => OciError::file(&path, "create")(error),
            })?;
        let copied = io::copy(&mut entry, &mut out).map_err(damaged(&name))?;
        if copied != size {
            return Err(bad(&name, "is cut off"));
        }
    }
    Ok(())
}

/// What an archive holds, whatever it is packed with.
fn unpacked<'t>(mut tar: impl Read + Send + 't) -> io::Result<Box<dyn Read + Send + 't>> {
    let mut start = Vec::new();
    tar.by_ref().take(4).read_to_end(&mut start)?;
    let compression = Compression::of(&start);
    decode(io::Cursor::new(start).chain(tar), compression)
}

fn is_member(name: &str) -> bool {
    let blob = |hex: &str| Digest::parse(&format!("sha256:{hex}")).is_ok();
    DOCUMENTS.contains(&name)
        || name
            .strip_prefix(BLOBS)
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(blob)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tar_of(members: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, kind, data) in members {
            let mut header = tar::Header::new_gnu();
            // As a hostile writer does, who knows of no check on names.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(data.len() as u64);
            header.set_cksum();
            tar.append(&header, *data).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn unpack(tar: &[u8]) -> Result<tempfile::TempDir, String> {
        let folder = tempfile::tempdir().unwrap();
        match unpack_layout(tar, folder.path(), 1 << 20) {
            Ok(()) => Ok(folder),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_layout_arrives_as_it_was_sent() {
        let folder = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"blob");
        fs::create_dir_all(folder.path().join(BLOBS)).unwrap();
        fs::write(folder.path().join("oci-layout"), "{}").unwrap();
        fs::write(folder.path().join("index.json"), "[]").unwrap();
        fs::write(folder.path().join(BLOBS).join(digest.hex()), "blob").unwrap();
        fs::write(folder.path().join("secret"), "stays").unwrap();
        fs::write(folder.path().join(BLOBS).join("note"), "stays").unwrap();
        let mut tar = Vec::new();
        pack_layout(folder.path(), &mut tar).unwrap();
        let there = unpack(&tar).unwrap();
        let blob = there.path().join(BLOBS).join(digest.hex());
        assert_eq!(fs::read(blob).unwrap(), b"blob");
        assert_eq!(fs::read(there.path().join("index.json")).unwrap(), b"[]");
        assert_eq!(fs::read_dir(there.path()).unwrap().count(), 3);
        assert_eq!(fs::read_dir(there.path().join(BLOBS)).unwrap().count(), 1);
    }

    #[test]
    fn a_layout_that_another_tool_has_packed_is_unpacked() {
        use tar::EntryType;
        let (file, folder) = (EntryType::Regular, EntryType::Directory);
        let blob = format!("./blobs/sha256/{}", Digest::of(b"blob").hex());
        let tar = tar_of(&[
            ("./", folder, b""),
            ("./blobs/", folder, b""),
            ("./blobs/sha256/", folder, b""),
            (&blob, file, b"blob"),
            ("index.json", file, b"[]"),
            ("./oci-layout", file, b"{}"),
            ("manifest.json", file, b"[1]"),
            ("repositories", file, b"{}"),
        ]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar).unwrap();
        for packed in [
            tar.clone(),
            gzip.finish().unwrap(),
            zstd::encode_all(tar.as_slice(), 1).unwrap(),
        ] {
            let there = unpack(&packed).unwrap();
            assert_eq!(fs::read(there.path().join(&blob)).unwrap(), b"blob");
            let mut names: Vec<_> = fs::read_dir(there.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            names.sort();
            assert_eq!(names, ["blobs", "index.json", "oci-layout"]);
        }
    }

    #[test]
    fn members_that_belong_to_no_layout_are_refused_by_name() {
        use tar::EntryType;
        let file = EntryType::Regular;
        for (name, kind) in [
            ("../index.json", file),
            ("/index.json", file),
            ("./index.json/../../x", file),
            ("blobs/sha256/../../../x", file),
            ("blobs/sha256/abc", file),
            ("index.json", EntryType::Symlink),
            ("blobs/sha512", EntryType::Directory),
            ("x", EntryType::Directory),
            ("blobs", EntryType::Symlink),
            ("manifest.json", EntryType::Symlink),
            ("x/manifest.json", file),
        ] {
            let error = unpack(&tar_of(&[(name, kind, b"")])).unwrap_err();
            assert_eq!(error, format!("the archive: `{name}` belongs to no layout"));
        }
        let twice = tar_of(&[("index.json", file, b"a"), ("index.json", file, b"b")]);
        assert_eq!(
            unpack(&twice).unwrap_err(),
            "the archive: `index.json` comes twice"
        );
        let large = tar_of(&[("oci-layout", file, &vec![0; 2 << 20])]);
        assert!(
            unpack(&large)
                .unwrap_err()
                .contains("is more than an image may hold")
        );
        let whole = tar_of(&[("index.json", file, &[7; 2000])]);
        assert!(unpack(&whole[..1500]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_unpacking_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            let _ = unpack(&bytes);
        }
    }
}
