use std::process::Command;

use proptest::prelude::*;

use super::parse::{Room, Unread, parse as parse_within};
use super::*;

fn parse(text: &[u8]) -> Result<Settings, Unread> {
    let mut room = Room {
        settings: 1000,
        bytes: 10_000,
    };
    parse_within(text, &mut room)
}

impl Settings {
    /// As `git config -z --list` prints them.
    fn listed(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for setting in &self.0 {
            text.extend_from_slice(&setting.section);
            text.push(b'.');
            if let Some(part) = &setting.subsection {
                text.extend_from_slice(part);
                text.push(b'.');
            }
            text.extend_from_slice(&setting.name);
            if let Some(value) = &setting.value {
                text.push(b'\n');
                text.extend_from_slice(value);
            }
            text.push(0);
        }
        text
    }
}

/// What git makes of a file, as it lists it; none if it refuses it.
fn by_git(text: &[u8]) -> Option<Vec<u8>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let output = Command::new("git")
        .args(["config", "-z", "--no-includes", "--list", "--file"])
        .arg(file.path())
        .current_dir("/")
        .env("GIT_DIR", "/dev/null")
        .output()
        .unwrap();
    output.status.success().then_some(output.stdout)
}

const GOOD: &[&[u8]] = &[
    b"",
    b"\xef\xbb\xbf[a]\n\tb = c\n",
    b"[core]\r\n\tbare = false\r\n\tFileMode\r\n",
    b"[a \"b.c \\\" \\\\ d\"] e=f # x\n; y\n\tg = \"#;\" # z\n",
    b"[Remote.Origin]\nURL = x\\\n  y\n",
    b"[a]b=  two  words  \"  \" \n[a]\nc = \"un\\tusual\\n\\b\\\\\"\n",
    b"[filter \"\xff\xfe=\"]\n\tclean = /tmp/x\n",
    b"[include]\n\tpath = ../more\n[includeIf \"gitdir:~/x/\"]\n\tpath = y",
    b"[a]\n\n\n  b\n  c=",
];

const BAD: &[&[u8]] = &[
    b"[a\n]",
    b"[a] b c\n",
    b"[a \"b\n\"]\n",
    b"[a \"b\" ]\n",
    b"[a]\nb = \"open\n",
    b"[a]\nb = \\x\n",
    b"[a]\n1b = c\n",
    b"[a_b]\n",
];

#[test]
fn a_file_of_settings_is_read_as_git_reads_it() {
    for text in GOOD {
        let shown = String::from_utf8_lossy(text);
        let settings = parse(text).unwrap_or_else(|line| panic!("{line:?}: {shown}"));
        assert_eq!(Some(settings.listed()), by_git(text), "{shown}");
    }
    for text in BAD {
        let shown = String::from_utf8_lossy(text);
        assert!(parse(text).is_err(), "{shown}");
        assert_eq!(by_git(text), None, "{shown}");
    }
    assert_eq!(parse(b"[a]\nb = c\nd = \"\n").unwrap_err(), Unread::Line(3));
    assert!(parse(b"[a]\nb = \0\n").is_err());
}

#[test]
fn settings_count_with_the_section_that_stands_once_above_them() {
    let section = format!("[a \"{}\"]\n", "s".repeat(1000));
    assert!(parse(format!("{section}{}", "b\n".repeat(9)).as_bytes()).is_ok());
    let more = parse(format!("{section}{}", "b\n".repeat(10)).as_bytes());
    assert_eq!(more.unwrap_err(), Unread::TooMuch);
    let many = parse(format!("[a]\n{}", "b\n".repeat(1001)).as_bytes());
    assert_eq!(many.unwrap_err(), Unread::TooMuch);
}

#[test]
fn what_is_written_for_git_is_what_git_reads() {
    for text in GOOD {
        let settings = parse(text).unwrap();
        assert_eq!(by_git(&text_of(&settings.0)), Some(settings.listed()));
    }
}

#[test]
fn of_a_repositorys_settings_none_that_names_a_program_or_a_file_is_kept() {
    let mut text = b"[core]\n\tautocrlf = input\n".to_vec();
    for key in [
        "filter \"x\"]\nclean=T\nprocess=T",
        "filter \"\u{1}\"]\nsmudge=T",
        "diff \"x\"]\ntextconv=T\ncommand=T",
        "diff]\nexternal=T",
        "merge \"x\"]\ndriver=T",
        "core]\nfsmonitor=T\neditor=T\npager=T\nsshCommand=T\naskPass=T\nhooksPath=T\ngitProxy=T\nworktree=T",
        "core]\nattributesFile=T\nexcludesFile=T\nalternateRefsCommand=T",
        "gpg]\nprogram=T",
        "gpg \"ssh\"]\nprogram=T\ndefaultKeyCommand=T",
        "alias]\nstatus=!T",
        "trailer \"x\"]\ncommand=T\ncmd=T",
        "url \"T\"]\ninsteadOf=x",
        "remote \"x\"]\nurl=T\nvcs=T\nuploadpack=T\nreceivepack=T\nproxy=T",
        "uploadpack]\npackObjectsHook=T",
        "tar \"x\"]\ncommand=T",
        "include]\npath=T",
        "includeIf \"gitdir:/\"]\npath=T",
        "credential]\nhelper=T",
        "submodule \"x\"]\nupdate=!T\nurl=T",
        "interactive]\ndiffFilter=T",
        "sequence]\neditor=T",
        "browser \"x\"]\ncmd=T",
        "difftool \"x\"]\ncmd=T\npath=T",
        "mergetool \"x\"]\ncmd=T",
        "man \"x\"]\ncmd=T",
        "hook \"x\"]\ncommand=T",
        "http]\nproxy=T\nsslKey=T",
        "protocol]\nallow=T",
        "maintenance]\nauto=T",
        "pack]\npackObjectsHook=T",
        "init]\ntemplateDir=T",
        "commit]\ntemplate=T",
        "safe]\ndirectory=T",
    ] {
        text.extend_from_slice(format!("[{key}\n").as_bytes());
    }
    let settings = parse(&text).unwrap();
    let listed = |settings: Vec<&Setting>| Settings(settings.into_iter().cloned().collect()).listed();
    let kept = listed(of_repository(&settings).collect());
    assert_eq!(kept, b"core.autocrlf\ninput\0");
    let user = listed(of_user(&settings).collect());
    let user = String::from_utf8_lossy(&user);
    let mut lines: Vec<&str> = user.split('\0').filter(|line| line.contains('T')).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "filter.\u{1}.smudge\nT",
            "filter.x.clean\nT",
            "filter.x.process\nT"
        ]
    );
}

#[test]
fn a_word_is_a_yes_as_git_has_it() {
    for (value, expected) in [
        ("[a]b", true),
        ("[a]b=true", true),
        ("[a]b=On", true),
        ("[a]b=YES", true),
        ("[a]b=1", true),
        ("[a]b=2k", true),
        ("[a]b=", false),
        ("[a]b=0", false),
        ("[a]b=off", false),
        ("[a]b=true\n[a]b=no", false),
        ("", false),
    ] {
        assert_eq!(
            parse(value.as_bytes()).unwrap().is_on("a", "b"),
            expected,
            "{value}"
        );
    }
}

#[test]
fn a_format_that_is_not_known_is_refused_by_its_name() {
    for (text, name) in [
        ("[extensions]\n\tsecret = 1", "secret"),
        ("[extensions]\n\trefStorage = elsewhere", "refStorage = elsewhere"),
        ("[extensions]\n\tobjectFormat = md5", "objectFormat = md5"),
        (
            "[core]\n\trepositoryFormatVersion = 2",
            "repositoryFormatVersion = 2",
        ),
        ("[extensions \"x\"]\n\tnoop = 1", "noop"),
    ] {
        let refused = check_extensions(&parse(text.as_bytes()).unwrap()).unwrap_err();
        assert!(refused.to_string().ends_with(name), "{refused}");
    }
    let known = b"[core]\nrepositoryFormatVersion=1\n[extensions]\nworktreeConfig\nobjectFormat=sha256\npartialClone=o";
    check_extensions(&parse(known).unwrap()).unwrap();
}

proptest! {
    #[test]
    fn no_bytes_make_reading_settings_panic(text: Vec<u8>) {
        let _ = parse(&text);
    }

    #[test]
    fn settings_survive_their_text(text in "(\\[[a-c]( \"[^\\n\\x00]{0,4}\")?\\]|[a-c] ?=? ?[^\\n\\x00]{0,6}|\\n|#.|\\\\\\n){0,12}") {
        if let Ok(settings) = parse(text.as_bytes()) {
            prop_assert_eq!(parse(&text_of(&settings.0)), Ok(settings));
        }
    }
}
