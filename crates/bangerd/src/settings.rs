//! What a daemon takes from the user's configuration at its start. Where that cannot be read, it goes by defaults: what
//! stops, enters and shows VMs does not need it, and must not fail with it.

use config::{Config, ConfigError, Environment, HostShape, Paths};
use engine::CatalogSources;

use crate::DaemonError;

/// The configuration, and what was made of it.
#[derive(Debug)]
pub struct Settings {
    /// The file's values.
    pub config: Config,
    /// Certificate authorities that guests shall trust, PEM.
    pub ca_certificates: Option<String>,
    /// Where kernels and images come from.
    pub sources: CatalogSources,
}

impl Settings {
    /// Reads the file and all that it names.
    ///
    /// # Errors
    /// The file, or one that it names, is wrong.
    pub fn read(paths: &Paths, environment: &Environment) -> Result<Self, DaemonError> {
        Self::of(Config::load(&paths.config_file(), environment)?, paths)
    }

    /// As [`Settings::read`]; where that fails, the defaults, and why. Nothing is made or started by them, see
    /// [`engine::Configured::unread`].
    ///
    /// # Errors
    /// The file is somebody else's to write, which no daemon passes over.
    pub fn read_or_default(
        paths: &Paths,
        environment: &Environment,
    ) -> Result<(Self, Option<DaemonError>), DaemonError> {
        match Self::read(paths, environment) {
            Ok(settings) => Ok((settings, None)),
            Err(DaemonError::Config(
                error @ (ConfigError::ForeignOwner { .. } | ConfigError::OpenToOthers { .. }),
            )) => Err(error.into()),
            Err(error) => {
                let config = Config::parse("", &paths.config_file(), HostShape::of_host())?;
                let sources = CatalogSources::new(config.recipe.clone(), paths.recipes());
                let defaults = Self {
                    config,
                    ca_certificates: None,
                    sources,
                };
                Ok((defaults, Some(error)))
            }
        }
    }

    fn of(config: Config, paths: &Paths) -> Result<Self, DaemonError> {
        let ca_certificates = config::host_ca_certificates(&config.guest.ca_certificates)?;
        let sources = CatalogSources::new(config.recipe.clone(), paths.recipes())
            .storing(config.image)
            .with_published(config.catalog_url.clone(), ca_certificates.as_deref())
            .map_err(DaemonError::Engine)?;
        Ok(Self {
            config,
            ca_certificates,
            sources,
        })
    }
}
