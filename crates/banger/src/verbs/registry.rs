//! Logins for registries: read from the user's docker auth file for the registry that is asked and its mirrors, sent with
//! the request, kept nowhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api::client::{Client, ClientError};
use api::{CreateVm, ErrorCode, RegistryAccess, RegistryLogin};
use config::Environment;
use oci::credentials::DockerConfig;
use oci::{Login, RegistryReference};

use crate::configuration;
use crate::failure::Failure;
use crate::realms::Realms;

/// Adds how to speak to the image's registry, and the login for it, if creating the VM means pulling one.
///
/// # Errors
/// The auth file or a credential helper is broken, or the daemon cannot be asked.
pub async fn prepare(client: &Client, request: &mut CreateVm, plain_http: bool) -> Result<(), Failure> {
    let Some(image) = request
        .image
        .as_ref()
        .filter(|image| image.contains([':', '/', '@']))
    else {
        return Ok(());
    };
    // What is no reference is told by the daemon.
    let Ok(reference) = RegistryReference::parse(image) else {
        return Ok(());
    };
    match client.image(image).await {
        Ok(_) => Ok(()),
        Err(ClientError::Api(error)) if error.code == ErrorCode::ImageNotFound => {
            request.registry = access(&reference, plain_http, None).await?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// How to speak to an image's registry, and to its mirrors. `realm` is a token server that its login may go to from now
/// on.
///
/// # Errors
/// The auth file or a credential helper is broken, or what was confirmed cannot be read or written.
pub async fn access(
    reference: &RegistryReference,
    plain_http: bool,
    realm: Option<&str>,
) -> Result<RegistryAccess, Failure> {
    let host = reference.host().to_owned();
    let mut known = Realms::of_user()?;
    if let Some(realm) = realm {
        known.trust(&host, realm)?;
    }
    // A helper may ask the user, or a server.
    tokio::task::spawn_blocking(move || {
        let login_there = login(&host)?;
        let config = configuration::read(&Environment::of_process())?;
        let mirrors = config
            .as_ref()
            .map_or(&[][..], |config| config.registry_mirrors.of(&host));
        let mut realms = BTreeMap::new();
        for host in mirrors.iter().map(|mirror| &mirror.host).chain([&host]) {
            if !known.of(host).is_empty() {
                realms.insert(host.clone(), known.of(host).to_vec());
            }
        }
        let mut mirror_logins = BTreeMap::new();
        for mirror in mirrors {
            let login = login(&mirror.host)?;
            mirror_logins.extend(login.map(|login| (mirror.host.clone(), login)));
        }
        Ok(RegistryAccess {
            plain_http,
            login: login_there,
            mirror_logins,
            realms,
        })
    })
    .await
    .map_err(|panic| Failure::new(format!("cannot look for a login: {panic}")))?
}

fn login(host: &str) -> Result<Option<RegistryLogin>, Failure> {
    let docker_config = std::env::var_os("DOCKER_CONFIG").filter(|value| !value.is_empty());
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let home = home.filter(|home| home.is_absolute());
    if docker_config.is_none() && home.is_none() {
        // Below the current folder is whatever somebody put there.
        return Ok(None);
    }
    let home = home.unwrap_or_default();
    let path = DockerConfig::default_path(docker_config.as_deref().map(Path::new), &home);
    let failed = |error: oci::OciError| {
        Failure::new(format!("cannot look for a login to {host}: {error}")).with_hint(format!(
            "mend {}, or name another folder by DOCKER_CONFIG",
            path.display()
        ))
    };
    let config = DockerConfig::read(&path).map_err(failed)?;
    Ok(config.login(host).map_err(failed)?.map(|login| match login {
        Login::Password { user, password } => RegistryLogin::Password { user, password },
        Login::IdentityToken(token) => RegistryLogin::IdentityToken(token),
    }))
}
