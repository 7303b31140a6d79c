//! The settings that a guest's repository gets: who the user is, how lines end, where it came from.
//!
//! A short list of keys, each with a form of its own; nothing that names a program, a credential or a path of the host.

use std::collections::HashSet;

use crate::config::Settings;

/// How the working tree is to be read, so that the same files count as changed inside as outside.
const WORDS: &[(&str, &str)] = &[
    ("core", "autocrlf"),
    ("core", "eol"),
    ("core", "fileMode"),
    ("core", "ignoreCase"),
];

/// The text of a file of git's settings. `promisor` is the remote that has objects which the guest is not given.
pub(crate) fn of(settings: &Settings, promisor: Option<&str>) -> Vec<u8> {
    let mut text = String::new();
    let value = |section, key: &str| {
        let value = settings.get(section, &key.to_ascii_lowercase())?;
        std::str::from_utf8(value).ok()
    };
    for key in ["name", "email"] {
        if let Some(value) = value("user", key) {
            text.push_str(&format!("[user]\n\t{key} = {}\n", quoted(value)));
        }
    }
    for (section, key) in WORDS {
        let word = value(section, key).filter(|word| !word.is_empty());
        if let Some(word) = word.filter(|word| word.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
            text.push_str(&format!("[{section}]\n\t{key} = {word}\n"));
        }
    }
    for (name, url) in remotes(settings).into_iter().take(MOST_REMOTES) {
        let fetch = quoted(&format!("+refs/heads/*:refs/remotes/{name}/*"));
        text.push_str(&format!(
            "[remote \"{name}\"]\n\turl = {}\n\tfetch = {fetch}\n",
            quoted(&url)
        ));
    }
    if let Some(name) = promisor {
        // gitformat-repository-version(5): git before this version would take it for a damaged repository.
        text.push_str(&format!(
            "[core]\n\trepositoryFormatVersion = 1\n[extensions]\n\tpartialClone = {name}\n\
             [remote \"{name}\"]\n\tpromisor = true\n\tpartialCloneFilter = blob:none\n"
        ));
    }
    for (name, url) in named(settings, "submodule") {
        let url = quoted(&url);
        text.push_str(&format!(
            "[submodule \"{name}\"]\n\tactive = true\n\turl = {url}\n"
        ));
    }
    text.into_bytes()
}

/// The remote that a guest would fetch from: `origin`, or else the first.
pub(crate) fn first_remote(settings: &Settings) -> Option<String> {
    let remotes = remotes(settings);
    let origin = remotes.iter().find(|(name, _)| name == "origin");
    let found = origin.or(remotes.first());
    found.map(|(name, _)| name.clone())
}

/// Most remotes that a guest is given.
const MOST_REMOTES: usize = 1_000;

/// The remotes that make sense in a guest, each with its address.
fn remotes(settings: &Settings) -> Vec<(String, String)> {
    let mut known = HashSet::new();
    let mut remotes = named(settings, "remote");
    // Only the first address of each: the others are for pushing.
    remotes.retain(|(name, _)| known.insert(name.clone()));
    remotes
}

/// What a section says of addresses, by plain names: remotes, and which submodules are in use.
fn named(settings: &Settings, section: &str) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    settings
        .each(section, "url")
        .filter_map(|(name, url)| {
            let name = text(name).filter(|name| is_plain(name))?;
            Some((name, without_credentials(&text(url)?)?))
        })
        .collect()
}

/// A value that git reads back as it is (git-config(1), "Values").
fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for letter in value.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            letter if letter.is_control() => {}
            letter => text.push(letter),
        }
    }
    text.push('"');
    text
}

/// A remote's name that needs no quoting and is no option.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    !name.is_empty() && !name.starts_with(['-', '.', '/']) && !name.contains("..") && name.bytes().all(plain)
}

/// The address without user names and passwords that are for this host's user; nothing if it is of this host alone, or
/// would run a helper.
fn without_credentials(url: &str) -> Option<String> {
    if url.starts_with('-')
        || url
            .chars()
            .any(|letter| letter.is_control() || letter.is_whitespace())
    {
        return None;
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        // user@host:path
        let (host, path) = url.split_once(':')?;
        let address = host.rsplit_once('@').map_or(host, |(_, address)| address);
        let sound =
            !host.contains('/') && !address.is_empty() && !address.starts_with('-') && !path.starts_with(':');
        return (sound && !path.contains('@')).then(|| url.to_owned());
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = authority
        .rsplit_once('@')
        .map_or((None, authority), |(user, host)| (Some(user), host));
    if host.is_empty() || host.starts_with('-') {
        return None;
    }
    let user = match scheme {
        "https" | "http" | "git" => String::new(),
        // The name is part of the address, a password is not.
        "ssh" => user.map_or(String::new(), |user| {
            format!("{}@", user.split(':').next().unwrap_or_default())
        }),
        _ => return None,
    };
    Some(format!("{scheme}://{user}{host}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_credentials_and_those_of_this_host_are_left_out() {
        for (given, kept) in [
            (
                "https://user:secret@example.com/a.git",
                Some("https://example.com/a.git"),
            ),
            (
                "https://token@example.com/a.git?key=secret#x",
                Some("https://example.com/a.git"),
            ),
            (
                "ssh://git:secret@example.com:22/a.git",
                Some("ssh://git@example.com:22/a.git"),
            ),
            ("git@example.com:a/b.git", Some("git@example.com:a/b.git")),
            ("user:secret@example.com:a.git", None),
            ("/home/user/secret", None),
            ("../other", None),
            ("file:///home/user/secret", None),
            ("ext::sh -c whoami", None),
            ("ext::whoami", None),
            ("--upload-pack=whoami", None),
            ("ssh://-oProxyCommand=whoami/x", None),
            ("-oProxyCommand=whoami:x", None),
            ("https://user:secret@/a", None),
        ] {
            assert_eq!(without_credentials(given).as_deref(), kept, "{given}");
        }
    }

    #[test]
    fn a_value_cannot_leave_its_line() {
        assert_eq!(quoted("a\"\\\n[alias]\r"), "\"a\\\"\\\\\\n[alias]\"");
    }
}
