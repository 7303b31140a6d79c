//! Hostile repositories: each verb that looks at a repository of the user's, on one that is a trap.
//!
//! ```text
//!  testkit::hostile::repository ──► site ◄── banger vm workspace …, vm run, vm exec ──► a guest that is a folder
//! ```
//!
//! A harmless repository is prepared in a guest, and traps are set in it after that. Then no verb runs a program of the
//! repository, no secret of the user's is sent to the guest or printed, only what a verb is for is written, each verb ends
//! by itself with a code and plain lines, no temporary file is left, and the daemon returns its memory. A plain git in a
//! copy runs the program first: the trap works.
//!
//! The suite sets each trap once, or the one of `BANGER_ABUSE_LIE`; for `BANGER_ABUSE_SECONDS`, some at once at random.

use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use testkit::Dice;
use testkit::abuse::{Ended, Stage, assert_plain, run};
use testkit::hostile::repository::{Ground, Trap};
use testkit::traffic::contains;

use crate::host::Host;
use crate::snapshot::Snapshot;
use crate::wished;

/// VMs that repositories go into at the same time.
const VMS: [&str; 3] = ["one", "two", "three"];

/// Nothing takes longer, however much else goes on.
const PATIENCE: Duration = Duration::from_secs(60);

/// What looks at a repository.
const LOOKING: [&str; 7] = [
    "prepare VM --dry-run --include-untracked",
    "run .",
    "prepare VM --force --guest-path SECOND",
    "prepare VM --force --guest-path SECOND --mode full --include-untracked",
    "prepare VM --force --guest-path SECOND --mode metadata",
    "prepare VM --force --guest-path SECOND --from HEAD --branch try/it",
    "exec --auto-prepare VM -- true",
];
/// The one that says whether a repository goes.
const DECIDING: &str = LOOKING[2];

/// What looks at what came back, too.
const READING: [&str; 3] = [
    "status VM --json",
    "export VM --guest-path FIRST -o PATCH",
    "apply VM . --guest-path FIRST --check",
];

/// What changes a repository.
const WRITING: [&str; 3] = [
    "apply VM --guest-path FIRST",
    "apply VM --guest-path FIRST --branch try/applied",
    "pull VM --guest-path FIRST --branch try/pulled --allow-risky",
];

/// What the suite does with each trap; the rest with one in three of them, by chance.
const ALWAYS: [&str; 4] = [DECIDING, LOOKING[3], WRITING[0], WRITING[2]];

#[test]
fn no_trap_in_a_repository_runs_reads_or_writes_what_is_not_its_own() {
    let (seed, length, mut traps) = wished(&Trap::ALL);
    if traps.is_empty() {
        return;
    }
    // The slowest are among the last: start with them.
    traps.reverse();
    let host = Host::running(&VMS);
    let before = host.daemon_memory().now();
    let since = Instant::now();
    let next = AtomicUsize::new(0);
    let findings = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for vm in VMS.into_iter().take(traps.len()) {
            let (host, traps, next, findings) = (&host, &traps, &next, &findings);
            let traffic = host.record_traffic(vm);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let (set, mut dice) = match (length, traps.get(number)) {
                        (Some(length), _) if since.elapsed() < length => {
                            let mut dice = Dice::of(seed, number as u64);
                            (some_of(traps, &mut dice), dice)
                        }
                        // The same if it is the only one.
                        (None, Some(&trap)) => (vec![trap], Dice::of(seed, trap as u64)),
                        _ => break,
                    };
                    let since = Instant::now();
                    let all = length.is_none();
                    let work = || Scene::set(host, vm, &traffic, &set, &mut dice).abuse(all);
                    // A finding does not keep the other traps from being set.
                    if std::panic::catch_unwind(AssertUnwindSafe(work)).is_err() {
                        findings.lock().unwrap().push(format!("{set:?}"));
                    }
                    host.forget_workspaces(vm);
                    println!("{set:?}: {:.1?}", since.elapsed());
                }
            });
        }
    });
    let findings = findings.into_inner().unwrap();
    assert!(findings.is_empty(), "said above: {findings:?}");
    let met = next.load(Ordering::SeqCst) - VMS.len().min(traps.len());
    host.end_within(before, &format!("{met} repositories in {:.1?}", since.elapsed()));
}

/// Up to three traps that can be in one repository.
fn some_of(traps: &[Trap], dice: &mut Dice) -> Vec<Trap> {
    let mut set: Vec<Trap> = (0..=1 + dice.below(2)).map(|_| *dice.one_of(traps)).collect();
    // The last of those that lead elsewhere is the only one.
    set.sort();
    set.dedup();
    let leading = set.iter().filter(|trap| trap.leads_elsewhere()).count();
    let end = set.len();
    set.drain(end - leading..end - leading.min(1));
    set
}

/// A user's folder with traps in it, and a guest with the repository as it was before.
struct Scene<'a> {
    host: &'a Host,
    vm: &'static str,
    traffic: &'a Path,
    traps: &'a [Trap],
    dice: &'a mut Dice,
    place: tempfile::TempDir,
    ground: Ground,
}

impl<'a> Scene<'a> {
    fn set(
        host: &'a Host,
        vm: &'static str,
        traffic: &'a Path,
        traps: &'a [Trap],
        dice: &'a mut Dice,
    ) -> Self {
        for file in fs::read_dir(traffic).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        let place = tempfile::tempdir_in(host.root()).unwrap();
        for folder in ["user", "guest", "tmp", "live"] {
            fs::create_dir(place.path().join(folder)).unwrap();
        }
        let ground = Ground::new(&place.path().join("user"), dice).unwrap();
        let scene = Self {
            host,
            vm,
            traffic,
            traps,
            dice,
            place,
            ground,
        };
        let prepared = scene.banger("prepare VM -q --guest-path FIRST");
        assert!(prepared.status.success(), "{traps:?}: {}", prepared.err);
        let harmless = scene.user();
        for trap in traps {
            let set = trap.plant(&scene.ground, scene.dice);
            // In a broken repository a second trap may be impossible.
            assert!(set.is_ok() || traps.len() > 1, "{trap:?}: {set:?}");
        }
        // git runs while traps are set, and may run the program of an earlier one.
        scene.ground.clear_marks().unwrap();
        let changed = harmless.changed(&scene.user());
        let own = |path: &PathBuf| !path.ends_with("site/README") && !path.ends_with("site/new");
        assert!(changed.iter().any(own), "{traps:?}: {changed:?}");
        if let [trap] = traps {
            scene.assert_live(*trap);
        }
        scene
    }

    /// A plain git in a copy of the repository runs its program.
    fn assert_live(&self, trap: Trap) {
        let Some(arguments) = trap.shown_by() else {
            return;
        };
        let copy = self.place.path().join("live/site");
        let mut copying = Command::new("cp");
        copying.arg("-a").arg(self.ground.site()).arg(&copy);
        assert!(copying.status().unwrap().success());
        self.ground.plain_git(&copy, arguments).unwrap();
        assert_ne!(self.ground.marks().unwrap(), 0, "{trap:?} is no trap");
        self.ground.clear_marks().unwrap();
    }

    fn user(&self) -> Snapshot {
        Snapshot::of(&self.place.path().join("user"))
    }

    fn guest(&self, name: &str) -> PathBuf {
        self.place.path().join("guest").join(name)
    }

    /// The verbs, or some of them.
    fn abuse(mut self, all: bool) {
        let before = self.user();
        self.all_of(&LOOKING, all);
        self.assert_changed(&before, |_| false);
        self.work_in_the_guest();
        self.all_of(&READING, all);
        // A patch is tried in a folder there, which is gone.
        self.assert_changed(&before, |path| path.ends_with(".git"));
        self.all_of(&WRITING, all);
        self.assert_changed(&before, is_asked_for);
        self.assert_nothing_else_went();
    }

    fn all_of(&mut self, verbs: &[&str], all: bool) {
        for verb in verbs {
            let by_chance = self.dice.once_in(if all { 3 } else { 2 });
            if by_chance || all && ALWAYS.contains(verb) {
                let ended = self.banger(verb);
                if let ([trap], &DECIDING) = (self.traps, verb) {
                    let goes = ended.status.success();
                    let why = ended.err.lines().find(|line| line.starts_with("banger: "));
                    println!("{trap:?}: {}", why.filter(|_| !goes).unwrap_or("goes along"));
                    let expected = goes_along(*trap).unwrap_or(goes);
                    assert_eq!(goes, expected, "{trap:?}, {verb}: {}", ended.err);
                }
            }
        }
    }

    /// Runs a verb in the repository and checks what it did.
    fn banger(&self, verb: &str) -> Ended {
        let what = format!("{:?}, {verb}", self.traps);
        let group = match verb.split(' ').next() {
            Some("run" | "exec") => &["vm"][..],
            _ => &["vm", "workspace"],
        };
        let words = verb.split(' ').map(|word| match word {
            "VM" => self.vm.to_owned(),
            "FIRST" => self.guest("first").display().to_string(),
            "SECOND" => self.guest("second").display().to_string(),
            "PATCH" => self.place.path().join("out.patch").display().to_string(),
            word => word.to_owned(),
        });
        let words: Vec<String> = words.collect();
        let words: Vec<&str> = group
            .iter()
            .copied()
            .chain(words.iter().map(String::as_str))
            .collect();
        let folder = self.traps.first().map_or("", |trap| trap.folder());
        let folder = self.ground.site().join(folder);
        let temporary = self.place.path().join("tmp");
        let mut command = self.host.banger(&words);
        command
            .current_dir(
                Some(folder)
                    .filter(|folder| folder.is_dir())
                    .unwrap_or(self.ground.site()),
            )
            .env("HOME", self.ground.home())
            .env("TMPDIR", &temporary);
        let ended = run(&mut command, Some(PATIENCE));
        assert!(!ended.asked, "{what}: does not end: {}", ended.err);
        ended.check(&what);
        assert_plain(&ended.out, &what);
        for said in [&ended.out, &ended.err] {
            assert!(
                !said.contains(self.ground.secret()),
                "{what}: tells a secret: {said}"
            );
        }
        assert_eq!(self.ground.marks().unwrap(), 0, "{what}: a program was run");
        let left: Vec<_> = fs::read_dir(&temporary).unwrap().collect();
        assert!(left.is_empty(), "{what}: leaves {left:?}");
        ended
    }

    /// Changes and adds a file in the guest's folder, and commits both with the guest's git.
    fn work_in_the_guest(&self) {
        let folder = self.guest("first");
        fs::create_dir_all(folder.join("src")).unwrap();
        fs::write(folder.join("src/main.c"), "by the guest\n").unwrap();
        fs::write(folder.join("brought"), "by the guest\n").unwrap();
        for arguments in [&["add", "src/main.c", "brought"][..], &["commit", "-qm", "guest"]] {
            let ended = Command::new("git")
                .args(arguments)
                .current_dir(&folder)
                .env("HOME", self.ground.home())
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .output();
            let ended = ended.unwrap();
            assert!(
                ended.status.success(),
                "{:?}: git {arguments:?} in the guest: {}",
                self.traps,
                String::from_utf8_lossy(&ended.stderr)
            );
        }
        assert_eq!(
            self.ground.marks().unwrap(),
            0,
            "{:?}: the guest runs it",
            self.traps
        );
    }

    /// Fails where something of the user's has changed that a verb does not change.
    fn assert_changed(&self, before: &Snapshot, may: fn(&Path) -> bool) {
        let top = self.place.path().join("user");
        let changed = before.changed(&self.user());
        let wrong: Vec<&PathBuf> = changed
            .iter()
            .filter(|path| !may(path.strip_prefix(&top).unwrap()))
            .collect();
        assert!(wrong.is_empty(), "{:?}: changed: {wrong:?}", self.traps);
    }

    /// Fails where a secret was sent to the guest, or nothing was seen of what was sent.
    fn assert_nothing_else_went(&self) {
        let mut own = false;
        for file in fs::read_dir(self.traffic).unwrap() {
            let file = file.unwrap().path();
            let sent = fs::read(&file).unwrap();
            let secret = self.ground.secret().as_bytes();
            assert!(
                !contains(&sent, secret),
                "{:?}: a secret went: {file:?}",
                self.traps
            );
            own |= contains(&sent, self.ground.own_text().as_bytes());
        }
        assert!(
            own,
            "{:?}: nothing of the repository was seen in the traffic",
            self.traps
        );
    }
}

/// What `apply` and `pull` are for: the files that the guest changed, and commits on a branch.
fn is_asked_for(path: &Path) -> bool {
    let files = ["site", "site/src", "site/src/main.c", "site/brought"];
    let folders = ["objects", "refs", "logs"];
    path.ends_with(".git")
        || files.iter().any(|file| path == Path::new(file))
        || folders
            .iter()
            .any(|folder| path.starts_with(Path::new("site/.git").join(folder)))
}

/// Whether a repository with this trap can be prepared; `None` where the dice decide.
fn goes_along(trap: Trap) -> Option<bool> {
    match trap {
        // Not read, or without an effect.
        Trap::LinkedLogs | Trap::LinkedModules | Trap::LinkedRules | Trap::LinkedWorktrees => Some(true),
        Trap::LinkedInfo | Trap::PipedRules => None,
        trap if trap.leads_elsewhere() => Some(false),
        Trap::BareFolder
        | Trap::IndexOfMillions
        | Trap::IndexPaths
        | Trap::IndexWithoutEnd
        | Trap::ModuleSettings
        | Trap::NoFiles
        | Trap::Promisor
        | Trap::Reftable
        | Trap::SettingsBroken
        | Trap::SettingsWithoutEnd
        | Trap::Submodule
        | Trap::UnknownFormat => Some(false),
        // A plain git runs the program.
        trap if trap.shown_by().is_some() => Some(true),
        Trap::Conditions
        | Trap::DeltaChain
        | Trap::Encodings
        | Trap::FileBomb
        | Trap::FileNames
        | Trap::FolderBehindLink
        | Trap::Grafts
        | Trap::Hole
        | Trap::IndexExtended
        | Trap::IndexPacked
        | Trap::IndexSplit
        | Trap::LinksOut
        | Trap::Locks
        | Trap::ManyRefs
        | Trap::OtherPrograms
        | Trap::Patterns
        | Trap::Records
        | Trap::ReplaceRefs
        | Trap::TreeWide
        | Trap::Wishes => Some(true),
        _ => None,
    }
}
