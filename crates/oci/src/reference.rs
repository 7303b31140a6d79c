//! Where an image comes from: a registry, a layout on disk, or what `docker save` has written.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::OciError;
use crate::transport;

/// The registry meant by a name without a host.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// Most bytes of host and repository together.
const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;

/// An image as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// In a registry.
    Registry(RegistryReference),
    /// `oci:DIR[:tag]`: an OCI layout.
    Layout {
        /// Its folder.
        folder: PathBuf,
        /// Which of its images; not needed where there is one only.
        tag: Option<String>,
    },
    /// `oci-archive:FILE[:TAG]`: an OCI layout in a tar.
    OciArchive {
        /// The archive, maybe with which of its images after a colon: [`split_archive`](crate::split_archive) parts them.
        file: PathBuf,
    },
    /// `docker-archive:FILE[:NAME]`: what `docker save` writes.
    DockerArchive {
        /// As of an OCI archive; an image is called by its name, or by its place: `@0`.
        file: PathBuf,
    },
}

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegistryReference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Parses `[HOST[:PORT]/]REPOSITORY[:TAG][@sha256:…]`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or
    /// `docker-archive:FILE[:NAME]`. A name without a host is one of docker.io, and there one without a slash is in
    /// `library/`. Nothing else is guessed.
    ///
    /// # Errors
    /// [`OciError::BadReference`] says which rule the text breaks, [`OciError::UnknownTransport`] that it is for another tool.
    pub fn parse(text: &str) -> Result<Self, OciError> {
        let bad = |reason| bad(text, reason);
        if let Some(file) = text.strip_prefix("oci-archive:") {
            if file.is_empty() || file.contains('\0') {
                return Err(bad("`oci-archive:` wants a file"));
            }
            return Ok(Self::OciArchive { file: file.into() });
        }
        if let Some(rest) = text.strip_prefix("oci:") {
            let (folder, tag) = match rest.rsplit_once(':') {
                Some((folder, tag)) if is_tag(tag) => (folder, Some(tag.to_owned())),
                _ => (rest, None),
            };
            if folder.is_empty() || folder.contains('\0') {
                return Err(bad("`oci:` wants a folder"));
            }
            return Ok(Self::Layout {
                folder: folder.into(),
                tag,
            });
        }
        if let Some(file) = text.strip_prefix("docker-archive:") {
            if file.is_empty() || file.contains('\0') {
                return Err(bad("`docker-archive:` wants a file"));
            }
            return Ok(Self::DockerArchive { file: file.into() });
        }
        RegistryReference::parse(text).map(Self::Registry)
    }
}

impl RegistryReference {
    /// Whether its registry is this machine, or at an address of its network link: by what the name resolves to now.
    /// docker.io is not, and is not asked for.
    #[must_use]
    pub fn leads_here(&self) -> bool {
        self.host != DEFAULT_REGISTRY && crate::registry::leads_here(&self.host)
    }

    /// The same by the name alone, which is not resolved: an address, or `localhost`.
    #[must_use]
    pub fn is_named_here(&self) -> bool {
        crate::registry::is_local_address(&self.host)
    }

    /// Parses `[HOST[:PORT]/]REPOSITORY[:TAG][@sha256:…]`.
    ///
    /// # Errors
    /// [`OciError::BadReference`] says which rule the text breaks, [`OciError::UnknownTransport`] that it is no registry's.
    pub fn parse(text: &str) -> Result<Self, OciError> {
        let bad = |reason| bad(text, reason);
        match transport::named(text) {
            Some(known) if transport::FILES.contains(&known) => {
                return Err(bad(
                    "it is a file's, and a registry's is wanted: `banger image pull` reads files",
                ));
            }
            Some(unknown) => {
                return Err(OciError::UnknownTransport {
                    text: escaped(text),
                    transport: unknown.chars().take(40).collect(),
                    advice: transport::advice(unknown),
                });
            }
            None => {}
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = Digest::parse(digest)
                    .map_err(|_| bad("the digest must be `sha256:` and 64 hexadecimal digits"))?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        // A colon before the last slash is a port's.
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => {
                if !is_tag(tag) {
                    return Err(bad(
                        "a tag is 1 to 128 of `[A-Za-z0-9_.-]`, not starting with `.` or `-`",
                    ));
                }
                (name, Some(tag.to_owned()))
            }
            _ => (name, None),
        };
        let (host, repository) = match name.split_once('/') {
            Some((host, rest)) if looks_like_host(host) => (host, rest.to_owned()),
            _ => (DEFAULT_REGISTRY, name.to_owned()),
        };
        if !is_host(host) {
            return Err(bad("the registry is no `host` or `host:port`"));
        }
        let host = match host {
            "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY,
            host => host,
        };
        let repository = match host == DEFAULT_REGISTRY && !repository.contains('/') {
            true => format!("library/{repository}"),
            false => repository,
        };
        if !repository.split('/').all(is_component) {
            return Err(bad(
                "a repository is lower-case letters and digits, separated by `.`, `_`, `__`, `-` and `/`",
            ));
        }
        if host.len() + 1 + repository.len() > NAME_MAX {
            return Err(bad("the name is longer than 255 bytes"));
        }
        Ok(Self {
            host: host.to_owned(),
            repository,
            tag: match (&tag, &digest) {
                (None, None) => Some("latest".to_owned()),
                _ => tag,
            },
            digest,
        })
    }

    /// The registry as the user knows it, for credentials and mirrors: `host` or `host:port`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Where that registry answers: docker.io does so elsewhere.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        match self.host.as_str() {
            DEFAULT_REGISTRY => "registry-1.docker.io",
            host => host,
        }
    }

    /// The repository, without the host.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` where neither tag nor digest was given.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, which wins over the tag.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The last part of the manifest's address.
    pub(crate) fn selector(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.as_deref().unwrap_or("latest").to_owned(),
        }
    }
}

impl fmt::Display for RegistryReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => reference.fmt(f),
            Self::Layout { folder, tag } => {
                write!(f, "oci:{}", folder.display())?;
                tag.iter().try_for_each(|tag| write!(f, ":{tag}"))
            }
            Self::OciArchive { file } => write!(f, "oci-archive:{}", file.display()),
            Self::DockerArchive { file } => write!(f, "docker-archive:{}", file.display()),
        }
    }
}

impl FromStr for Reference {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        Self::parse(text)
    }
}

fn bad(text: &str, reason: &'static str) -> OciError {
    OciError::BadReference {
        text: escaped(text),
        reason,
    }
}

fn escaped(text: &str) -> String {
    text.chars().take(300).flat_map(char::escape_default).collect()
}

/// The rule by which every container tool tells `host/name` from `user/name`.
fn looks_like_host(text: &str) -> bool {
    text.contains(['.', ':', '['])
        || text == "localhost"
        || text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// `host`, `host:port`, `1.2.3.4:port` or `[v6]:port`.
pub(crate) fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, rest)) = rest.split_once(']') else {
                return false;
            };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            return rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        }
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= TAG_MAX
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

/// Letters and digits with single separators between: `.`, `_`, `__`, or any number of `-`.
fn is_component(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.split(alphanumeric).all(|between| {
            matches!(between, b"" | b"." | b"_" | b"__") || between.iter().all(|byte| *byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_without_a_host_are_those_of_docker_io() {
        for (text, full, endpoint) in [
            (
                "alpine",
                "docker.io/library/alpine:latest",
                "registry-1.docker.io",
            ),
            (
                "alpine:3.19",
                "docker.io/library/alpine:3.19",
                "registry-1.docker.io",
            ),
            ("a/b", "docker.io/a/b:latest", "registry-1.docker.io"),
            (
                "docker.io/library/x",
                "docker.io/library/x:latest",
                "registry-1.docker.io",
            ),
            (
                "index.docker.io/x",
                "docker.io/library/x:latest",
                "registry-1.docker.io",
            ),
            ("localhost/x", "localhost/x:latest", "localhost"),
            ("localhost:5000/x:1", "localhost:5000/x:1", "localhost:5000"),
            ("quay.io/a/b/c:v1.2_3-x", "quay.io/a/b/c:v1.2_3-x", "quay.io"),
            ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000"),
            ("h.x/a__b/c-d--e.f", "h.x/a__b/c-d--e.f:latest", "h.x"),
        ] {
            let reference = RegistryReference::parse(text).unwrap();
            assert_eq!(reference.to_string(), full, "{text}");
            assert_eq!(reference.endpoint(), endpoint, "{text}");
        }
    }

    #[test]
    fn a_digest_wins_over_a_tag_and_none_is_guessed_beside_it() {
        let text = format!("host:5000/a/b@{DIGEST}");
        let reference = RegistryReference::parse(&text).unwrap();
        assert_eq!((reference.tag(), reference.selector()), (None, DIGEST.to_owned()));
        assert_eq!(reference.to_string(), text);
        let both = RegistryReference::parse(&format!("a/b:1@{DIGEST}")).unwrap();
        assert_eq!((both.tag(), both.selector()), (Some("1"), DIGEST.to_owned()));
    }

    #[test]
    fn layouts_and_archives_are_paths() {
        let layout = |folder: &str, tag: Option<&str>| Reference::Layout {
            folder: folder.into(),
            tag: tag.map(str::to_owned),
        };
        assert_eq!(Reference::parse("oci:/a/b").unwrap(), layout("/a/b", None));
        assert_eq!(Reference::parse("oci:b:1.2").unwrap(), layout("b", Some("1.2")));
        assert_eq!(Reference::parse("oci:/a:1/b").unwrap(), layout("/a:1/b", None));
        assert_eq!(
            Reference::parse("oci-archive:x.tar:1").unwrap(),
            Reference::OciArchive {
                file: "x.tar:1".into()
            }
        );
        assert_eq!(
            Reference::parse("docker-archive:x:y.tar").unwrap(),
            Reference::DockerArchive {
                file: "x:y.tar".into()
            }
        );
    }

    #[test]
    fn other_tools_transports_are_named_as_unknown_and_are_no_repositories() {
        for (text, message) in [
            (
                "docker://alpine:3",
                "image reference `docker://alpine:3`: transport `docker:` is not known; a registry's image is named without one",
            ),
            (
                "docker-daemon:alpine",
                "image reference `docker-daemon:alpine`: transport `docker-daemon:` is not known; save the image to a file first, \
                 and pull `docker-archive:FILE`",
            ),
            (
                "dir:x",
                "image reference `dir:x`: transport `dir:` is not known; an OCI layout is `oci:DIR[:TAG]`",
            ),
            (
                "sif:x",
                "image reference `sif:x`: transport `sif:` is not known; known are `oci:`, `oci-archive:` and `docker-archive:`, \
                 and registries without one",
            ),
        ] {
            for error in [
                Reference::parse(text).unwrap_err(),
                RegistryReference::parse(text).unwrap_err(),
            ] {
                assert_eq!(error.to_string(), message);
            }
        }
        for file in ["oci:x", "oci-archive:x", "docker-archive:x"] {
            let error = RegistryReference::parse(file).unwrap_err().to_string();
            assert!(error.ends_with("`banger image pull` reads files"), "{error}");
        }
    }

    #[test]
    fn what_breaks_a_rule_is_refused() {
        let long = format!("x/{}", "a".repeat(300));
        for bad in [
            "",
            "/",
            ":",
            "@",
            "a:",
            "a@",
            "a@sha256:12",
            "A",
            "a/B",
            "a//b",
            "a/",
            "/a",
            "a b",
            "a\n",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "a:.x",
            "a:x y",
            "host:/a",
            "host:0/a",
            "host:70000/a",
            "ho_st.x/a",
            "-h.x/a",
            "h..x/a",
            "http://h/a",
            "[::1/a",
            "[zz]/a",
            "h:+5/a",
            "ä",
            "oci:",
            "docker-archive:",
            "oci-archive:",
            "a:1:2",
            "../a",
            long.as_str(),
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_parsing_panic_and_what_parses_reads_the_same_again(text in "[ -~ä\\n]{0,60}") {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference);
            }
        }

        #[test]
        fn a_full_name_is_what_it_says(text in "[a-z]{1,5}\\.[a-z]{2}(:[1-9][0-9]{0,3})?/[a-z0-9]{1,4}(/[a-z0-9]{1,4}){0,2}:[a-z0-9]{1,5}") {
            prop_assert_eq!(RegistryReference::parse(&text).unwrap().to_string(), text);
        }
    }
}
