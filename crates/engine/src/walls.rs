//! What happens where a wall is missing: one table, on the page `docs/security.md` and here. What starts something goes by
//! it, and a test holds page and table together.

use std::fs;
use std::path::Path;

use model::NetworkMode;
use vmm::{Backend, Confine};

use crate::{Machines, Networks};

/// Something between a guest, or what comes from outside, and this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wall {
    /// What a guest's frames go through.
    Passt,
    /// What a VMM is confined by.
    VmmNamespaces,
    /// What git and the tools of recipes are confined by.
    ToolNamespaces,
    /// What counts a VMM's memory and threads.
    ControlGroups,
    /// What says where an image of that name comes from.
    Catalog,
}

/// What is done without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// What needs it does not begin.
    Refuse,
    /// It begins, and says so each time.
    Warn,
    /// Others hold; reports say so.
    Tell,
}

/// A row of the table.
#[derive(Debug)]
struct Row {
    wall: Wall,
    answer: Answer,
    /// The key of `config.toml` with which it is let be missing.
    key: Option<&'static str>,
}

const TABLE: [Row; 5] = [
    Row {
        wall: Wall::Passt,
        answer: Answer::Refuse,
        key: Some("[network] insecure_builtin = true"),
    },
    Row {
        wall: Wall::VmmNamespaces,
        answer: Answer::Refuse,
        key: Some("confinement = \"unconfined\""),
    },
    Row {
        wall: Wall::ToolNamespaces,
        answer: Answer::Warn,
        key: None,
    },
    Row {
        wall: Wall::ControlGroups,
        answer: Answer::Tell,
        key: None,
    },
    Row {
        wall: Wall::Catalog,
        answer: Answer::Refuse,
        key: None,
    },
];

impl Wall {
    fn row(self) -> &'static Row {
        let found = TABLE.iter().find(|row| row.wall == self);
        found.expect("each wall has a row")
    }

    /// What is done without it, where the configuration lets it be missing or not.
    pub(crate) fn answer(self, let_be_missing: bool) -> Answer {
        match self.row() {
            Row { key: Some(_), .. } if let_be_missing => Answer::Warn,
            row => row.answer,
        }
    }

    /// The key with which it is let be missing.
    pub(crate) fn key(self) -> &'static str {
        self.row().key.unwrap_or_default()
    }
}

/// What the VMM's own network lacks. It is not asked for IPv6: a filter for that stands in passt's way alone.
pub(crate) const NO_IPV6: &str =
    "the guest has no IPv6, which `[network] ipv6 = true` asks for: that comes by passt alone";

/// Walls that are missing around a VM on this host and that the configuration lets be missing, a line each.
pub(crate) fn left_out(
    machines: &dyn Machines,
    networks: &Networks,
    backend: &dyn Backend,
    network: NetworkMode,
) -> Vec<String> {
    let unconfined = match machines.confine() {
        Confine::Required => None,
        Confine::WherePossible => vmm::qemu::refusal().map(|refusal| {
            format!(
                "the VMM runs unconfined, with all rights of its user ({}): {}",
                Wall::VmmNamespaces.key(),
                refusal.reason()
            )
        }),
    };
    let is_builtin = network == NetworkMode::User && uses_builtin(networks, backend);
    let builtin = is_builtin.then(|| {
        format!(
            "passt was not found: the VM uses the VMM's own network, from which it reaches services on this host's \
             loopback ({})",
            Wall::Passt.key()
        )
    });
    let without_ipv6 = (is_builtin && networks.ipv6).then(|| NO_IPV6.to_owned());
    unconfined
        .into_iter()
        .chain(builtin)
        .chain(without_ipv6)
        .collect()
}

/// Whether a VM gets the VMM's own network.
pub(crate) fn uses_builtin(networks: &Networks, backend: &dyn Backend) -> bool {
    backend.has_built_in_network()
        && Wall::Passt.answer(networks.insecure_builtin) != Answer::Refuse
        && net::find_passt(networks.passt.as_deref()).is_none()
}

/// Settings by which hosts refuse user namespaces, the value that does, and how it is changed.
const SETTINGS: [(&str, &str, &str); 3] = [
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0 (for good: a file in /etc/sysctl.d)",
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "sudo sysctl kernel.unprivileged_userns_clone=1 (for good: a file in /etc/sysctl.d)",
    ),
    (
        "user/max_user_namespaces",
        "0",
        "sudo sysctl user.max_user_namespaces=15000 (for good: a file in /etc/sysctl.d)",
    ),
];

/// How this host is made to allow user namespaces.
pub(crate) fn allow_user_namespaces() -> &'static str {
    allow_user_namespaces_by(Path::new("/proc/sys"))
}

/// The same by the settings in a folder.
pub(crate) fn allow_user_namespaces_by(settings: &Path) -> &'static str {
    let is = |name: &str, value: &str| {
        fs::read_to_string(settings.join(name)).is_ok_and(|text| text.trim() == value)
    };
    SETTINGS.iter().find(|(name, value, _)| is(name, value)).map_or(
        "let user namespaces be made; in a container, run it with the right to (CAP_SYS_ADMIN)",
        |(_, _, hint)| hint,
    )
}

#[cfg(test)]
mod tests {
    use testkit::SimulatedBackend;

    use super::*;
    use crate::HostMachines;

    /// The page's words for a wall, and for what happens without it.
    fn words(row: &Row) -> (&'static str, &'static str) {
        let happens = match (row.wall, row.answer) {
            (Wall::VmmNamespaces, Answer::Refuse) => "error with the way out, for everybody",
            (Wall::Catalog, Answer::Refuse) => "error; nobody else is asked",
            (_, Answer::Refuse) => "error with the way out",
            (_, Answer::Warn) => "rlimits and seccomp stay; one warning per command",
            (_, Answer::Tell) => "rlimits; shown by `doctor` and `vm show`",
        };
        let missing = match row.wall {
            Wall::Passt => "passt",
            Wall::VmmNamespaces => "user namespaces, for a VMM",
            Wall::ToolNamespaces => "user namespaces, for git and recipes",
            Wall::ControlGroups => "control groups",
            Wall::Catalog => "a catalog that is named but broken or unreachable",
        };
        (missing, happens)
    }

    #[test]
    fn the_page_has_the_table_that_the_code_goes_by() {
        let page = include_str!("../../../docs/security.md");
        let section = page.split_once("## If a wall is missing\n").unwrap().1;
        let section = section.split("\n## ").next().unwrap();
        let rows: Vec<Vec<&str>> = section
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        assert_eq!(
            rows.len(),
            TABLE.len() + 2,
            "a head, a line below it, and a row for each"
        );
        for (row, written) in TABLE.iter().zip(&rows[2..]) {
            let key = row.key.map_or("–".to_owned(), |key| format!("`{key}`"));
            let (missing, happens) = words(row);
            assert_eq!(*written, [missing, happens, &key]);
        }
    }

    #[test]
    fn a_wall_is_let_be_missing_by_its_key_only() {
        for (wall, without, with) in [
            (Wall::Passt, Answer::Refuse, Answer::Warn),
            (Wall::VmmNamespaces, Answer::Refuse, Answer::Warn),
            (Wall::ToolNamespaces, Answer::Warn, Answer::Warn),
            (Wall::ControlGroups, Answer::Tell, Answer::Tell),
            (Wall::Catalog, Answer::Refuse, Answer::Refuse),
        ] {
            assert_eq!(
                (wall.answer(false), wall.answer(true)),
                (without, with),
                "{wall:?}"
            );
        }
        // The keys are the configuration's own.
        let text = format!(
            "{}\n{}\n",
            Wall::VmmNamespaces.key(),
            Wall::Passt.key().replace("] ", "]\n")
        );
        let shape = config::HostShape {
            cpus: 1,
            memory_mib: 1024,
        };
        let read = config::Config::parse(&text, Path::new("config.toml"), shape).unwrap();
        assert_eq!(read.confinement, config::Confinement::Unconfined);
        assert!(read.network.insecure_builtin);
    }

    #[test]
    fn what_is_left_out_is_said_line_by_line_and_nothing_else() {
        let (machines, backend) = (HostMachines::default(), SimulatedBackend::new());
        let networks = |insecure_builtin, passt: &str| Networks {
            passt: Some(passt.into()),
            insecure_builtin,
            ..Networks::default()
        };
        let with_ipv6 = |insecure_builtin, passt: &str| Networks {
            ipv6: true,
            ..networks(insecure_builtin, passt)
        };
        for (networks, network, lines) in [
            (networks(true, "/nowhere/passt"), NetworkMode::User, 1),
            (networks(true, "/nowhere/passt"), NetworkMode::None, 0),
            (networks(false, "/nowhere/passt"), NetworkMode::User, 0),
            (networks(true, "/bin/true"), NetworkMode::User, 0),
            (with_ipv6(true, "/nowhere/passt"), NetworkMode::User, 2),
            (with_ipv6(true, "/nowhere/passt"), NetworkMode::None, 0),
            (with_ipv6(false, "/nowhere/passt"), NetworkMode::User, 0),
            (with_ipv6(true, "/bin/true"), NetworkMode::User, 0),
        ] {
            let said = left_out(&machines, &networks, &backend, network);
            assert_eq!(said.len(), lines, "{networks:?} {network:?}: {said:?}");
        }
        let bare = SimulatedBackend::new().without_built_in_network();
        assert!(!uses_builtin(&networks(true, "/nowhere/passt"), &bare));
    }

    #[test]
    fn the_setting_that_refuses_user_namespaces_is_named() {
        let settings = tempfile::tempdir().unwrap();
        let hint = || allow_user_namespaces_by(settings.path());
        assert!(hint().contains("container"));
        fs::create_dir_all(settings.path().join("user")).unwrap();
        let limit = settings.path().join("user/max_user_namespaces");
        for (value, named) in [("96365\n", false), ("0\n", true)] {
            fs::write(&limit, value).unwrap();
            assert_eq!(hint().contains("max_user_namespaces"), named, "{value}");
        }
    }
}
