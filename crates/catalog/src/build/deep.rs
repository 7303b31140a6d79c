//! Trees whose folders are in one another, more than descriptors, stacks and paths reach.

use std::path::Path;
use std::time::{Duration, Instant};

use super::escapes::{Place, pack_all};
use super::pack;
use super::room::Room;

/// Makes that many folders in one another.
fn nest(place: &Place, levels: u32) {
    let nest = format!("for (1..{levels}) {{ mkdir q(d), 0700; chdir q(d) or die; }} open my $f, q(>), q(x)");
    place.shell(&format!("LC_ALL=C exec perl -e '{nest}'")).unwrap();
}

#[test]
fn a_tree_that_nests_deeper_than_descriptors_and_stacks_reach_is_removed_all_the_same() {
    let place = Place::new();
    let folder = place.folder.path().to_owned();
    nest(&place, 2000);
    drop(place);
    assert!(!folder.exists());
}

#[test]
fn folders_in_one_another_are_packed_at_once_and_refused_where_no_path_leads() {
    let place = Place::new();
    place.shell("mkdir -p /etc/dev/sub /dev2").unwrap();
    // With a pattern for /dev, tar took minutes for a quarter of these.
    nest(&place, 1500);
    let begun = Instant::now();
    let archive = pack_all(&place);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let mut archive = tar::Archive::new(archive.as_slice());
    let names = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().into_owned());
    let names: Vec<_> = names.collect();
    let has = |name: &str| names.iter().any(|found| found == Path::new(name));
    assert!(has("etc/dev/sub") || has("./etc/dev/sub"), "{names:?}");
    assert_eq!(names.iter().filter(|name| name.ends_with("d/d")).count(), 1499);
    nest(&place, 2100);
    let error = pack::check(&Room::of(place.range), &place.root, &place.cancel).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the recipe's tree has more than 2047 levels of folders"
    );
}
