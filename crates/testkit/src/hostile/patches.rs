//! Patches and packs that mean no good: what a guest's git could print.

use super::Lie;
use super::texts::ESCAPES;

/// The name that git gives a blob of `evil` and a line's end.
const BLOB: &str = "53c74cd6c8f3911ae716f60f9b79f575aab0e975";
/// The same of two dots.
const DOTS: &str = "a96aa0ea9d8c443416d31c3a85dbe928f120cc23";
/// A commit that there is not.
const COMMIT: &str = "1111111111111111111111111111111111111111";
/// `Exit` of the script that finds work in the way.
const WORK: u8 = 93;

/// What a command prints, and how it ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Printed {
    pub(super) out: Vec<u8>,
    /// Printed again and again.
    pub(super) again: Vec<u8>,
    pub(super) complaint: Vec<u8>,
    pub(super) code: u8,
}

/// What a guest prints that is asked for its changes, or its commits.
pub(super) fn of(lie: Lie) -> Option<Printed> {
    let out = |out: Vec<u8>| Printed {
        out,
        ..Printed::default()
    };
    let files = |names: &[&str]| {
        out(names
            .iter()
            .map(|name| file(name))
            .collect::<String>()
            .into_bytes())
    };
    let again = |again: Vec<u8>| Printed {
        again,
        ..Printed::default()
    };
    Some(match lie {
        Lie::RiskyPatch => files(&[
            "\"\\033]0;evil\\007\\033[2J\\nbanger: evil\\342\\200\\256\"",
            ".vscode/tasks.json",
            ".envrc",
            ".github/workflows/evil.yml",
            "Makefile",
        ]),
        Lie::PatchOfGit => files(&[
            ".git/config",
            ".GIT/hooks/pre-commit",
            "git~1/config",
            ".git./config",
            "\".g\\342\\200\\214it/config\"",
            "inside/.git/config",
        ]),
        Lie::PatchOut => files(&["../.bashrc", "/tmp/banger-evil", "a/../../.bashrc", "a//b"]),
        Lie::PatchThroughLink => {
            let link = new("up", ("120000", DOTS), "..", "\\ No newline at end of file\n");
            out([link, file("up/.bashrc")].concat().into_bytes())
        }
        Lie::PatchOfRepository => files(&[
            "docs/HEAD",
            "docs/config",
            "docs/objects/.keep",
            "docs/refs/.keep",
        ]),
        Lie::GiantPatch => {
            let head = format!(
                "diff --git a/large b/large\nnew file mode 100644\nindex {}..{BLOB}\n",
                "0".repeat(40)
            );
            let data = "GIT binary patch\nliteral 1099511627776\nHcmV?d00001\n\nliteral 0\nHcmV?d00001\n\n";
            out((head + data).into_bytes())
        }
        Lie::EndlessPatch => Printed {
            out: file("first").into_bytes(),
            ..again(file("again").repeat(100).into_bytes())
        },
        Lie::OddPack => out([format!("{COMMIT}\n").as_bytes(), b"PACK", &[0xa5; 4096]].concat()),
        Lie::GiantPack => {
            // One object: a blob whose size takes as many bytes as there is room for.
            let pack = [
                b"PACK".as_slice(),
                &[0, 0, 0, 2, 0, 0, 0, 1],
                &[0xbf],
                &[0xff; 5],
                &[0x7f],
            ];
            out([format!("{COMMIT}\n").into_bytes(), pack.concat(), vec![0x78; 600]].concat())
        }
        Lie::EndlessPack => Printed {
            out: [
                format!("{COMMIT}\n").as_bytes(),
                b"PACK",
                &[0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff],
            ]
            .concat(),
            // Blobs without anything in them, packed as zlib packs nothing.
            ..again([0x30, 0x78, 0x9c, 0x03, 0, 0, 0, 0, 1].repeat(7000))
        },
        Lie::OddCommit => out(format!("{ESCAPES}{}\n", "B".repeat(100_000)).into_bytes()),
        Lie::WorkInTheWay => Printed {
            out: format!("{ESCAPES}\0").repeat(5000).into_bytes(),
            complaint: format!("{ESCAPES}{}", "B".repeat(100_000)).into_bytes(),
            code: WORK,
            ..Printed::default()
        },
        _ => return None,
    })
}

/// A new file under a name, which is quoted as git quotes or not at all.
fn file(name: &str) -> String {
    new(name, ("100644", BLOB), "evil", "")
}

fn new(name: &str, (mode, id): (&str, &str), content: &str, end: &str) -> String {
    let side = |side: char| match name.strip_prefix('"') {
        Some(quoted) => format!("\"{side}/{quoted}"),
        None => format!("{side}/{name}"),
    };
    let (before, after) = (side('a'), side('b'));
    let none = "0".repeat(40);
    format!(
        "diff --git {before} {after}\nnew file mode {mode}\nindex {none}..{id}\n--- /dev/null\n+++ {after}\n\
         @@ -0,0 +1 @@\n+{content}\n{end}"
    )
}
