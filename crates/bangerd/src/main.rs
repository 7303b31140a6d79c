//! `bangerd`: banger's daemon.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use api::client::Trust;
use bangerd::{ConfigurationFile, Daemon, DaemonError, Settings, Surroundings, start_logging};
use clap::Parser;
use config::{Environment, Paths};
use engine::Defaults;
use store::Compatibility;

/// Runs banger's daemon. `banger` starts it by itself; nobody has to.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// Print one line `ready SOCKET` when the daemon answers, then let go of standard output
    #[arg(long)]
    announce: bool,
    /// Say whether this version can use the database, and change nothing: exit code 0 compatible, 1 will migrate,
    /// 2 cannot
    #[arg(long)]
    check_migrations: bool,
}

fn main() -> ExitCode {
    // Executed again, as a program of its own: no daemon then.
    if let Some(code) = vmm::keep_logs_if_asked().or_else(net::serve_network_if_asked) {
        return code;
    }
    let arguments = Arguments::parse();
    let environment = Environment::of_process();
    if arguments.check_migrations {
        return check_migrations(&environment);
    }
    match run(&arguments, &environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bangerd: {}", error.one_line());
            if let Some(hint) = error.hint() {
                eprintln!("hint: {}", engine::plain(&hint));
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, environment: &Environment) -> Result<(), DaemonError> {
    let paths = Paths::personal(environment)?;
    // Before anything is made or closed there: another user's link could lead it to any folder of this one's.
    for folder in [paths.state(), paths.cache()] {
        Trust::of_process().check_way(folder).map_err(DaemonError::Way)?;
    }
    paths.prepare()?;
    let (settings, unread) = Settings::read_or_default(&paths, environment)?;
    let Settings {
        config,
        ca_certificates,
        sources,
    } = settings;
    start_logging(config.log_level.as_str(), &paths.daemon_log(), arguments.announce)?;
    if let Err(error) = engine::raise_open_files() {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    if let Some(error) = &unread {
        tracing::warn!(error = %error.one_line(), "the configuration cannot be read; nothing is made or started");
    }
    let paths = paths.with_ssh_key(config.ssh_key_path.clone());
    let file = ConfigurationFile::new(paths.clone(), environment.clone()).missed(unread.is_some());
    let (machines, networks) = file.values(&config);
    let surroundings = Surroundings {
        agent: agent_binary()?,
        sources: Arc::new(sources),
        machines,
        faults: Arc::new(engine::faults::NoFaults),
        timeouts: engine::Timeouts {
            unused: config.auto_stop_stale_after,
            ..engine::Timeouts::default()
        },
        networks,
        configured: Some(Arc::new(file)),
        ca_certificates,
        registry_mirrors: config.registry_mirrors.clone(),
        free_space_reserve: config.limits.free_space_reserve,
        defaults: Defaults {
            image: config.default_image_name.clone(),
            vcpu: config.vm_defaults.vcpu.get(),
            memory_mib: config.vm_defaults.memory.mib(),
            disk_size: config.vm_defaults.disk_size.bytes(),
            network: config.vm_defaults.network,
        },
        idle_timeout: config.idle_timeout,
        uid: environment.uid(),
        paths,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
        .map_err(DaemonError::Runtime)?;
    runtime.block_on(Daemon::run(surroundings, arguments.announce))
}

/// The agent lies beside this binary.
fn agent_binary() -> Result<PathBuf, DaemonError> {
    let own = std::env::current_exe().map_err(DaemonError::OwnPath)?;
    Ok(own.with_file_name("banger-vsock-agent"))
}

fn check_migrations(environment: &Environment) -> ExitCode {
    let checked = Paths::personal(environment)
        .map_err(DaemonError::from)
        .and_then(|paths| store::check(&paths.database()).map_err(DaemonError::Store));
    match checked {
        Ok(Compatibility::Compatible) => {
            println!("compatible");
            ExitCode::SUCCESS
        }
        Ok(Compatibility::WillMigrate) => {
            println!("will migrate");
            ExitCode::from(1)
        }
        Ok(Compatibility::TooNew) => {
            println!("cannot: the database is from a newer version");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("bangerd: {}", error.one_line());
            ExitCode::from(2)
        }
    }
}
