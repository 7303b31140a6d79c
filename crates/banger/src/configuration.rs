//! The user's `config.toml`, as far as the command line goes by it.

use config::{Config, Environment, Paths};

use crate::failure::Failure;

/// What the file says; `None` where it has no place, as without a home.
///
/// # Errors
/// The file is wrong.
pub fn read(environment: &Environment) -> Result<Option<Config>, Failure> {
    let Ok(paths) = Paths::personal(environment) else {
        return Ok(None);
    };
    let config = Config::load(&paths.config_file(), environment).map_err(|error| {
        let failure = Failure::new(error.to_string());
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    })?;
    Ok(Some(config))
}
