//! Where a mirror keeps a registry's repositories.
//!
//! ```text
//!  https://mirror.example                          /v2/library/alpine/…
//!  https://harbor.example/hub                      /v2/hub/library/alpine/…           Harbor, ECR, Artifactory, Nexus
//!  https://art.example/artifactory/api/docker/hub/v2
//!                                                  /artifactory/api/docker/hub/v2/library/alpine/…
//! ```

/// Below what it keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MirrorPath {
    /// Of the API, where it has one of its own: with a `/` before it, and the version at its end.
    api: Option<String>,
    /// Before a repository's name.
    project: Option<String>,
}

impl MirrorPath {
    /// Of a path, as it follows a mirror's host.
    pub(super) fn new(path: &str) -> Self {
        match path.trim_matches('/') {
            "" | "v2" => Self::default(),
            path if path.ends_with("/v2") => Self {
                api: Some(format!("/{path}")),
                project: None,
            },
            path => Self {
                api: None,
                project: Some(path.to_owned()),
            },
        }
    }

    pub(super) fn api(&self) -> &str {
        self.api.as_deref().unwrap_or("/v2")
    }

    /// What a repository is called there, also in the scope of a token for it.
    pub(super) fn repository(&self, name: &str) -> String {
        match &self.project {
            Some(project) => format!("{project}/{name}"),
            None => name.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_lie_below_a_mirrors_project_or_its_own_api() {
        for (path, url) in [
            ("", "/v2/library/alpine"),
            ("/", "/v2/library/alpine"),
            ("v2", "/v2/library/alpine"),
            ("hub", "/v2/hub/library/alpine"),
            ("docker-hub/proxy", "/v2/docker-hub/proxy/library/alpine"),
            ("team/v2x", "/v2/team/v2x/library/alpine"),
            (
                "artifactory/api/docker/hub/v2",
                "/artifactory/api/docker/hub/v2/library/alpine",
            ),
        ] {
            let path = MirrorPath::new(path);
            let found = format!("{}/{}", path.api(), path.repository("library/alpine"));
            assert_eq!(found, url);
        }
    }
}
