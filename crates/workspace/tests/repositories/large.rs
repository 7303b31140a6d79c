//! Repositories of a size that nobody has by accident: memory is bounded, whatever they hold.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use workspace::{
    Choice, Destination, Ended, Guest, Mode, Parcel, Prepared, Repository, Selection, WorkspaceError, prepare,
};

use crate::support::{Local, Scene};

/// A guest that takes everything, unpacks what is unpacked, and runs nothing.
#[derive(Default)]
struct Willing {
    local: Local,
    read: u64,
}

impl Guest for Willing {
    fn run(&mut self, _: &[String], mut input: Box<dyn Read + Send>, _: &mut dyn Write) -> io::Result<Ended> {
        self.read += io::copy(&mut input, &mut io::sink())?;
        Ok(Ended::default())
    }

    fn unpack(&mut self, folder: &str, parcel: Parcel) -> Result<(), WorkspaceError> {
        std::fs::create_dir_all(folder).unwrap();
        self.local.unpack(folder, parcel)
    }
}

fn put(scene: &Scene, choice: &Choice, guest: &mut Willing) -> Result<Prepared, WorkspaceError> {
    let repository = Repository::find(&scene.top())?;
    let selection = Selection::of(&repository, choice)?;
    let destination = Destination {
        path: &scene.inside().display().to_string(),
        before: None,
        force: false,
        user: None,
    };
    prepare(&repository, &selection, guest, destination)
}

/// The most memory that this process has had, in MiB.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.unwrap().trim().trim_end_matches(" kB");
    kibibytes.parse::<u64>().unwrap() >> 10
}

/// A tree in which the same tree, or file, stands under this many names.
fn repeated(scene: &Scene, kind: &str, id: &str, times: usize) -> String {
    let mode = if kind == "tree" { "040000" } else { "100644" };
    let mut git = Command::new("git");
    git.arg("mktree").current_dir(scene.top());
    let mut child = git.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines: String = (0..times)
        .map(|name| format!("{mode} {kind} {id}\tname{name:04}\n"))
        .collect();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let printed = child.wait_with_output().unwrap().stdout;
    String::from_utf8(printed).unwrap().trim().to_owned()
}

fn committed(scene: &Scene, tree: &str) -> String {
    scene.git(&["commit-tree", "-m", "many", tree]).trim().to_owned()
}

#[test]
fn a_million_files_go_in_bounded_memory() {
    let scene = Scene::committed();
    let blob = scene.git(&["rev-parse", "HEAD:README"]);
    let folder = repeated(&scene, "blob", blob.trim(), 1000);
    let commit = committed(&scene, &repeated(&scene, "tree", &folder, 1000));
    let choice = Choice {
        from: Some(commit.clone()),
        ..Choice::default()
    };
    assert_eq!(scene.select(&choice).files.len(), 1_000_000);
    let mut guest = Willing::default();
    let prepared = put(&scene, &choice, &mut guest).unwrap();
    assert_eq!(prepared.commit, Some(commit));
    // Each object once.
    assert!(guest.read < 100_000, "{}", guest.read);
    assert!(most_memory() < 400, "{} MiB", most_memory());
}

#[test]
fn a_commit_of_more_files_than_there_can_be_is_refused_in_bounded_memory() {
    let scene = Scene::committed();
    let mut id = scene.git(&["rev-parse", "HEAD:README"]).trim().to_owned();
    let mut kind = "blob";
    // A few objects that are a trillion files.
    for _ in 0..6 {
        id = repeated(&scene, kind, &id, 100);
        kind = "tree";
    }
    let commit = committed(&scene, &id);
    for mode in [Mode::Shallow, Mode::Metadata] {
        scene.git(&["config", "remote.origin.url", "https://example.com/x"]);
        let choice = Choice {
            from: Some(commit.clone()),
            mode,
            ..Choice::default()
        };
        let refused = Selection::of(&scene.find(), &choice).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "git cannot list the commit's files: it has too much to say"
        );
    }
    assert!(most_memory() < 700, "{} MiB", most_memory());
}

#[test]
fn a_file_of_more_than_four_gibibytes_goes_as_what_it_holds() {
    let scene = Scene::committed();
    let length = (4 << 30) + 12_345;
    let mut large = File::create(scene.top().join("large")).unwrap();
    large.set_len(length).unwrap();
    large.write_all(b"a beginning").unwrap();
    drop(large);
    let choice = Choice {
        untracked: true,
        ..Choice::default()
    };
    let mut guest = Willing::default();
    put(&scene, &choice, &mut guest).unwrap();
    let git = scene.path("guest/repo.banger-incoming/.git");
    let parcel = std::fs::read_dir(git).unwrap().next().unwrap().unwrap();
    let there = parcel.path().join("files/large");
    assert_eq!(there.metadata().unwrap().len(), length);
    assert!(there.metadata().unwrap().blocks() < 1000);
    let mut beginning = [0; 16];
    File::open(there).unwrap().read_exact(&mut beginning).unwrap();
    assert_eq!(&beginning, b"a beginning\0\0\0\0\0");
    assert!(guest.local.unpacked < 1 << 20, "{} bytes", guest.local.unpacked);
    assert!(most_memory() < 400, "{} MiB", most_memory());
}
