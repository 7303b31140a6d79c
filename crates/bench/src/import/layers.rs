//! The image to be pulled: a root file system, and folders of files that compress about as source code does.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::run;
use crate::error::BenchError;

/// Layers of the image.
pub const LAYERS: usize = 10;

/// Files of a layer, and bytes of each.
const FILES: usize = 3_000;
const FILE_SIZE: usize = 10_000;

/// An image in a registry.
#[derive(Debug)]
pub struct Pushed {
    /// Its full name.
    pub first: String,
    /// Bytes of its layers, as tar archives.
    pub bytes: u64,
    /// The same as they are stored.
    pub packed: u64,
    /// Bytes of the layer that can be another.
    pub changing: u64,
    folder: PathBuf,
    repository: String,
}

/// Makes the image and pushes it to the registry at `address`.
pub fn push(folder: &Path, root: &Path, address: &str) -> Result<Pushed, BenchError> {
    let mut pushed = Pushed {
        first: format!("{address}/bench/app:first"),
        bytes: size(root)?,
        packed: 0,
        changing: 0,
        folder: folder.to_owned(),
        repository: format!("{address}/bench/app"),
    };
    umoci(&["init", "--layout", &pushed.layout()])?;
    umoci(&["new", "--image", &pushed.image("base")])?;
    pushed.add("base", root)?;
    for number in 1..LAYERS - 1 {
        let layer = pushed.layer(number)?;
        pushed.bytes += size(&layer)?;
        pushed.add("base", &layer)?;
    }
    let last = pushed.layer(LAYERS)?;
    pushed.changing = size(&last)?;
    pushed.bytes += pushed.changing;
    pushed.tag_with("first", &last)?;
    let blobs = folder.join("layout/blobs/sha256");
    let entries = fs::read_dir(&blobs).map_err(BenchError::file("read", &blobs))?;
    pushed.packed = entries
        .flatten()
        .flat_map(|entry| entry.metadata())
        .map(|about| about.len())
        .sum();
    Ok(pushed)
}

impl Pushed {
    /// Pushes the same with another last layer, each time another; gives its full name.
    pub fn change(&self, turn: usize) -> Result<String, BenchError> {
        let layer = self.layer(LAYERS + turn)?;
        let tag = format!("changed-{turn}");
        self.tag_with(&tag, &layer)?;
        Ok(format!("{}:{tag}", self.repository))
    }

    fn layout(&self) -> String {
        self.folder.join("layout").display().to_string()
    }

    fn image(&self, tag: &str) -> String {
        format!("{}:{tag}", self.layout())
    }

    /// All layers but the last are `base`.
    fn tag_with(&self, tag: &str, layer: &Path) -> Result<(), BenchError> {
        umoci(&["tag", "--image", &self.image("base"), tag])?;
        self.add(tag, layer)?;
        run(Command::new("skopeo")
            .args(["copy", "--insecure-policy", "--quiet", "--dest-tls-verify=false"])
            .arg(format!("oci:{}", self.image(tag)))
            .arg(format!("docker://{}:{tag}", self.repository)))?;
        Ok(())
    }

    fn add(&self, tag: &str, layer: &Path) -> Result<(), BenchError> {
        umoci(&[
            "raw",
            "add-layer",
            "--image",
            &self.image(tag),
            &layer.display().to_string(),
        ])
    }

    /// A tar of a folder of files that no other layer has.
    fn layer(&self, number: usize) -> Result<PathBuf, BenchError> {
        let tree = self.folder.join("tree");
        let files = tree.join(format!("srv/layer-{number}"));
        fs::create_dir_all(&files).map_err(BenchError::file("create", &files))?;
        let mut words = Words(number as u64 + 1);
        for file in 0..FILES {
            let path = files.join(format!("file-{file}"));
            let made = File::create(&path).map(BufWriter::new);
            made.and_then(|mut out| words.write(&mut out))
                .map_err(BenchError::file("write", &path))?;
        }
        let tar = self.folder.join(format!("layer-{number}.tar"));
        run(Command::new("tar")
            .arg("-C")
            .arg(&tree)
            .arg("-cf")
            .arg(&tar)
            .arg("srv"))?;
        fs::remove_dir_all(&tree).map_err(BenchError::file("delete", &tree))?;
        Ok(tar)
    }
}

fn umoci(arguments: &[&str]) -> Result<(), BenchError> {
    run(Command::new("umoci").args(arguments)).map(drop)
}

fn size(path: &Path) -> Result<u64, BenchError> {
    let about = fs::metadata(path).map_err(BenchError::file("read", path))?;
    Ok(about.len())
}

/// Numbers and words in lines, the same for the same seed (xorshift64).
struct Words(u64);

impl Words {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn write(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        const KNOWN: [&str; 8] = ["let", "return", "match", "self", "value", "error", "(", ");\n"];
        let mut written = 0;
        while written < FILE_SIZE {
            let next = self.next();
            let word = KNOWN[usize::try_from(next % 8).unwrap_or_default()];
            let text = format!("{word} {:x} ", next >> 48);
            out.write_all(text.as_bytes())?;
            written += text.len();
        }
        out.flush()
    }
}
