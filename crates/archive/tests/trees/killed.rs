//! What a copy leaves when its process is killed, and what the next one makes of it.

use std::fs::{self, File};
use std::path::Path;

use archive::{Keep, PackOptions, Pieces, Placement, Target, unpack};
use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};
use tempfile::tempdir;

use crate::support::{pack, unpack_bytes};

/// Names of a copy that is under way.
fn under_way(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".banger-cp-"))
        .collect();
    names.sort();
    names
}

#[test]
fn the_next_copy_removes_what_a_killed_one_left_and_nothing_of_one_that_lives() {
    let folder = tempdir().unwrap();
    let (file, tree) = (folder.path().join("file"), folder.path().join("tree"));
    fs::write(&file, vec![7; 1 << 20]).unwrap();
    fs::create_dir_all(tree.join("a")).unwrap();
    fs::write(tree.join("a/large"), vec![7; 1 << 20]).unwrap();
    for from in [file, tree] {
        let target = tempdir().unwrap();
        let at = |name: &str| target.path().join(name);
        let dead = ".banger-cp-0123456789abcdef-1";
        let spared = [
            ".banger-cp-notes",
            ".banger-cp-0123456789abcdef",
            ".banger-cp-0123456789abcdef-x",
        ];
        fs::create_dir_all(at(dead).join("deep")).unwrap();
        fs::write(at(dead).join("deep/half"), "ha").unwrap();
        fs::write(at(&dead.replace("-1", "-2")), "ha").unwrap();
        for name in spared {
            fs::write(at(name), "the user's").unwrap();
        }
        let stream = pack(&from, PackOptions::default());
        let mut pieces: Vec<Bytes> = stream.chunks(1 << 16).rev().map(Bytes::copy_from_slice).collect();
        let midway = pieces.len() / 2;
        let looked = Pieces::new(|| {
            if pieces.len() == midway {
                let mut own = under_way(target.path());
                own.retain(|name| !spared.contains(&name.as_str()));
                assert_eq!(own.len(), 1, "{own:?}");
                let opened = File::open(at(&own[0])).unwrap();
                flock(&opened, FlockOperation::NonBlockingLockExclusive)
                    .expect_err("what is being made is held");
                // Another copy into the same folder.
                let small = pack(at(spared[0]), PackOptions::default());
                unpack_bytes(&small, at("other"), Placement::Copy, Keep::default()).unwrap();
                assert!(at(&own[0]).exists());
            }
            Ok(pieces.pop())
        });
        let into = Target::new(at("whole"), Placement::Copy);
        unpack(looked, &into, Keep::default()).unwrap();
        assert!(at("whole").exists() && at("other").exists());
        let mut expected = spared.to_vec();
        expected.sort_unstable();
        assert_eq!(under_way(target.path()), expected);
    }
}
