//! What `docker save` writes: a tar archive of layers' archives, a configuration and `manifest.json`, which says which
//! is which. Layers are read where they lie in it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use tarball::{Archive, Kind};

use crate::config_document::ConfigDocument;
use crate::digest::Digest;
use crate::document::{DOCUMENT_MAX, Platform, shown};
use crate::error::{OciError, Stop};
use crate::fault::components;
use crate::image::Image;
use crate::layer::{Bounded, Compression, Layer, Part, decode};
use crate::plain_file;
use crate::reference::RegistryReference;
use progress::Cancel;

/// Layers, their folders and old-style metadata; far more than docker's 127 layers need.
const MEMBERS_MAX: usize = 10_000;
/// Links from layer to layer, as docker writes where two are the same.
const LINKS_MAX: usize = 8;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Where a member's data is.
enum Member {
    Data { offset: u64, bytes: u64 },
    Link(Vec<u8>),
}

struct Members<'m> {
    path: &'m Path,
    file: Arc<File>,
    members: HashMap<Vec<u8>, Member>,
}

/// Opens an image of a docker archive: the one called `image` there, by its name or its place (`@0`), which need not be
/// said where there is one only. An archive that is compressed as a whole is first unpacked into a file without a name in
/// `scratch`, of at most `limit` bytes.
///
/// # Errors
/// Each names the file or value at fault; see [`OciError`].
pub fn open_docker_archive(
    path: &Path,
    image: Option<&str>,
    scratch: &Path,
    limit: u64,
    platform: Platform,
    cancel: &Cancel,
) -> Result<Image, OciError> {
    let file = plain_file::open(path).map_err(OciError::file(path, "open"))?;
    let mut start = [0; 4];
    let read = file
        .read_at(&mut start, 0)
        .map_err(OciError::file(path, "read"))?;
    let file = match Compression::of(&start[..read]) {
        Compression::Plain => file,
        compression => unpack(path, file, compression, scratch, limit, cancel)?,
    };
    let members = Members::read(path, Arc::new(file), cancel)?;
    let bytes = members.small(b"manifest.json")?;
    let what = format!("{}: manifest.json", path.display());
    let images: Vec<Entry> =
        serde_json::from_slice(&bytes).map_err(|source| OciError::BadDocument { what, source })?;
    let (image, warning) = select(path, &images, image)?;
    let config = members.small(image.config.as_bytes())?;
    let digest = Digest::of(&config);
    let config = ConfigDocument::parse(&format!("configuration {digest}"), &config)?;
    Image::check(
        &path.display().to_string(),
        platform,
        &[],
        &ConfigDocument {
            diff_ids: Vec::new(),
            ..config.clone()
        },
    )?;
    if image.layers.len() != config.diff_ids.len() {
        return Err(OciError::LayerCount {
            layers: image.layers.len(),
            diff_ids: config.diff_ids.len(),
        });
    }
    let layers = image.layers.iter().zip(&config.diff_ids);
    let layers = layers.map(|(name, diff_id)| members.layer(name, *diff_id));
    Ok(Image {
        digest,
        layers: layers.collect::<Result<_, _>>()?,
        config: config.config,
        warnings: warning.into_iter().chain(config.warnings).collect(),
    })
}

/// The entry that a name means, and a warning where there are others of that name. Names are compared as references, so
/// that those that docker shortens are the same. Of several images with one name it is the last one's: `docker load`
/// tags them in order.
fn select<'e>(
    path: &Path,
    images: &'e [Entry],
    wanted: Option<&str>,
) -> Result<(&'e Entry, Option<String>), OciError> {
    let mut warning = None;
    let found = match wanted {
        None => images.first().filter(|_| images.len() == 1),
        Some(name) => match name.strip_prefix('@').map(str::parse) {
            Some(place) => place.ok().and_then(|place: usize| images.get(place)),
            None => {
                let mut places = places_of(images, name);
                let last = places.pop();
                warning = last.filter(|_| !places.is_empty()).map(|last| {
                    let others: Vec<String> =
                        places.iter().take(20).map(|place| format!("@{place}")).collect();
                    let (name, others) = (shown(name), others.join(", "));
                    format!(
                        "{} images are called `{name}`: the last, @{last}, was taken, not {others}",
                        places.len() + 1
                    )
                });
                last.and_then(|place| images.get(place))
            }
        },
    };
    let found = found.map(|found| (found, warning));
    found.ok_or_else(|| {
        let key = |tag: &String| {
            RegistryReference::parse(tag).map_or_else(|_| tag.clone(), |name| name.to_string())
        };
        let mut last = HashMap::new();
        for (place, image) in images.iter().enumerate() {
            last.extend(image.repo_tags.iter().flatten().map(|tag| (key(tag), place)));
        }
        let names = images.iter().enumerate().flat_map(|(place, image)| {
            let tags = image.repo_tags.iter().flatten();
            let tags = tags.filter(|tag| last.get(&key(tag)) == Some(&place));
            let tags: Vec<String> = tags.map(|tag| shown(tag)).collect();
            match tags.is_empty() {
                true => vec![format!("@{place}")],
                false => tags,
            }
        });
        let names: Vec<String> = names.take(20).collect();
        OciError::NoSuchTag {
            path: path.to_owned(),
            wanted: match wanted {
                Some(name) => format!("no image `{}`", shown(name)),
                None if images.is_empty() => "no image".to_owned(),
                None => format!("{} images, and none was named", images.len()),
            },
            available: match names.is_empty() {
                true => "none".to_owned(),
                false => names.join(", "),
            },
        }
    })
}

/// Where the images are that have a name, in order.
fn places_of(images: &[Entry], name: &str) -> Vec<usize> {
    let reference = RegistryReference::parse(name).ok();
    let is_it =
        |tag: &String| tag == name || reference.is_some() && RegistryReference::parse(tag).ok() == reference;
    let called = |image: &Entry| image.repo_tags.iter().flatten().any(is_it);
    let places = images.iter().enumerate().filter(|(_, image)| called(image));
    places.map(|(place, _)| place).collect()
}

fn unpack(
    path: &Path,
    file: File,
    compression: Compression,
    scratch: &Path,
    limit: u64,
    cancel: &Cancel,
) -> Result<File, OciError> {
    let mut unpacked = tempfile::tempfile_in(scratch).map_err(OciError::file(scratch, "write"))?;
    let mut source = Bounded {
        source: decode(file, compression).map_err(OciError::file(path, "read"))?,
        cancel: cancel.clone(),
        read: Arc::default(),
        limit,
    };
    io::copy(&mut source, &mut unpacked).map_err(|error| match Stop::of(&error) {
        Some(Stop::Cancelled) => OciError::Cancelled,
        Some(Stop::TooMuch(limit)) => OciError::TooMuch { what: "bytes", limit },
        Some(Stop::WrongContent { .. }) | None => OciError::file(path, "unpack")(error),
    })?;
    Ok(unpacked)
}

impl<'m> Members<'m> {
    fn read(path: &'m Path, file: Arc<File>, cancel: &Cancel) -> Result<Self, OciError> {
        let bytes = file.metadata().map_err(OciError::file(path, "read"))?.len();
        let name = path.display().to_string();
        let mut archive = Archive::new(Part {
            file: Arc::clone(&file),
            position: 0,
            end: bytes,
        });
        let mut members = HashMap::new();
        while let Some(member) = archive.next().map_err(|error| OciError::in_layer(&name, error))? {
            cancel.check()?;
            let found = match (&member.entry.kind, member.map) {
                (Kind::File { size }, None) => Member::Data {
                    offset: offset_of(&archive),
                    bytes: *size,
                },
                (Kind::Symlink { target } | Kind::HardLink { target }, _) => Member::Link(target.clone()),
                _ => continue,
            };
            if members.len() == MEMBERS_MAX {
                return Err(OciError::TooMuch {
                    what: "members",
                    limit: MEMBERS_MAX as u64,
                });
            }
            let names = components(&member.entry.path).map_err(|fault| OciError::Entry {
                layer: name.clone(),
                entry: tarball::shown(&member.entry.path),
                fault,
            })?;
            members.insert(names.join(&b'/'), found);
        }
        Ok(Self { path, file, members })
    }

    /// Where a member's data is; links among members are followed.
    fn find(&self, name: &[u8]) -> Result<(u64, u64), OciError> {
        let missing = || OciError::BadStore {
            path: self.path.to_owned(),
            reason: format!("holds no `{}`", tarball::shown(name)),
        };
        let mut at = name.to_vec();
        for _ in 0..LINKS_MAX {
            match self.members.get(&at).ok_or_else(missing)? {
                Member::Data { offset, bytes } => return Ok((*offset, *bytes)),
                Member::Link(target) => at = beside(&at, target).ok_or_else(missing)?,
            }
        }
        Err(missing())
    }

    fn small(&self, name: &[u8]) -> Result<Vec<u8>, OciError> {
        let (offset, bytes) = self.find(name)?;
        if bytes > DOCUMENT_MAX {
            return Err(OciError::TooLarge {
                what: format!("{}: {}", self.path.display(), tarball::shown(name)),
                limit: DOCUMENT_MAX,
            });
        }
        let mut data = Vec::new();
        let mut part = Part {
            file: Arc::clone(&self.file),
            position: offset,
            end: offset + bytes,
        };
        part.read_to_end(&mut data)
            .map_err(OciError::file(self.path, "read"))?;
        Ok(data)
    }

    fn layer(&self, name: &str, diff_id: Digest) -> Result<Layer, OciError> {
        let (offset, bytes) = self.find(name.as_bytes())?;
        let mut start = [0; 4];
        let length = start.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
        let read = self.file.read_exact_at(&mut start[..length], offset);
        read.map_err(OciError::file(self.path, "read"))?;
        // Docker says nothing of compression here, and has written both.
        let compression = Compression::of(&start[..length]);
        let file = Arc::clone(&self.file);
        Ok(Layer::part(
            &shown(name),
            file,
            (offset, bytes),
            compression,
            Some(diff_id),
        ))
    }
}

/// Where in the file the data of the member at hand starts, before any of it is read.
fn offset_of(archive: &Archive<Part>) -> u64 {
    let source = archive.source();
    source.get_ref().position - source.buffer().len() as u64
}

/// The name that a link's target means: `../x/layer.tar` beside `y/layer.tar`, or a whole path.
fn beside(link: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let mut at: Vec<&[u8]> = match target.starts_with(b"../") {
        true => link.split(|byte| *byte == b'/').collect(),
        false => Vec::new(),
    };
    at.pop();
    for name in target.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(at.pop()?),
            name => at.push(name),
        }
    }
    Some(at.join(&b'/'))
}
