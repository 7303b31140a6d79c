//! From a request to a running command: everything that can be wrong with it is found here.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use guest::{Exec, Problem, ProblemCode};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::process::Command;
use tokio::sync::OwnedSemaphorePermit;

use super::accounts::Account;
use super::cgroup::{Group, Groups};
use super::commands::Commands;
use super::environment::{self, Environment};
use super::program;
use super::running::{Ends, Running};
use super::spawn::{self, Entry, NotStarted, Step};
use super::terminal;
use crate::descriptor::Descriptor;
use crate::problem::{bad_request, internal, problem};

/// Longest argument or variable with the zero byte at its end (`MAX_ARG_STRLEN` of Linux, execve(2)).
const LONGEST_WORD: usize = 128 << 10;

/// What is executed, under which name and with which arguments.
struct Program {
    path: PathBuf,
    name: OsString,
    arguments: Vec<OsString>,
}

/// Starts the command. The slot is its own until it has ended.
pub(super) fn launch(
    commands: &Commands,
    exec: &Exec,
    slot: OwnedSemaphorePermit,
) -> Result<Running, Problem> {
    let words = check(exec)?;
    let account = account(commands, exec)?;
    let credentials = credentials(&account)?;
    let workdir = workdir(exec, &account)?;
    let shell = program::shell(&account);
    let named_shell = shell.as_deref().unwrap_or(&account.shell);
    let environment = environment::compose(&account, named_shell, &commands.environment(), exec);
    let program = program(words, shell.as_deref(), &environment, &workdir)?;

    let mut command = Command::new(&program.path);
    command
        .arg0(&program.name)
        .args(&program.arguments)
        .env_clear()
        .envs(&environment)
        .kill_on_drop(true);
    let owner = credentials.as_ref().map(|(uid, ..)| *uid);
    let ends = wire(&mut command, exec, owner)
        .map_err(|error| internal("cannot give the command its streams", error))?;
    let group = commands.groups.as_ref().and_then(Groups::take);
    let entry = Entry {
        cgroup: group.as_ref().and_then(Group::entrance),
        terminal: exec.tty.is_some(),
        credentials,
        workdir: CString::new(workdir.as_os_str().as_bytes())
            .map_err(|_| bad_request("the working directory has a NUL in it"))?,
        workdir_optional: exec.workdir.is_none(),
        open_files: commands.open_files,
        ends_with_agent: commands.end_with_agent,
    };
    match spawn::spawn(command, entry) {
        Ok(child) => Running::new(child, ends, group, slot)
            .map_err(|error| internal("cannot attend the command", error)),
        Err(failure) => Err(not_started(&failure, &program.path, &workdir)),
    }
}

/// Gives the command's words.
fn check(exec: &Exec) -> Result<Vec<OsString>, Problem> {
    environment::check(&exec.env)?;
    let words = exec.words().map_err(|error| bad_request(error.to_string()))?;
    if words.iter().any(|word| word.contains(&0)) {
        return Err(bad_request("an argument has a NUL in it"));
    }
    if let Some(place) = words.iter().position(|word| word.len() >= LONGEST_WORD) {
        return Err(bad_request(format!(
            "argument {place} has {} bytes, and Linux takes less than {LONGEST_WORD}; stdin takes any number",
            words[place].len()
        )));
    }
    if let Some((name, _)) = exec
        .env
        .iter()
        .find(|(name, value)| name.len() + value.len() + 1 >= LONGEST_WORD)
    {
        let name = name.escape_debug();
        return Err(bad_request(format!(
            "the variable `{name}` is longer than the {LONGEST_WORD} bytes that Linux takes"
        )));
    }
    if words.first().is_some_and(Vec::is_empty) {
        return Err(problem(
            ProblemCode::CommandNotFound,
            "the command's name is empty",
        ));
    }
    if exec.term.as_ref().is_some_and(|term| term.contains('\0')) {
        return Err(bad_request("the value of `TERM` has a NUL in it"));
    }
    Ok(words.into_iter().map(OsString::from_vec).collect())
}

fn account(commands: &Commands, exec: &Exec) -> Result<Account, Problem> {
    let user = exec.user.as_deref().unwrap_or(&commands.default_user);
    Account::find(&commands.root, user)
        .map_err(|error| internal("cannot read the guest's users", error))?
        .ok_or_else(|| {
            problem(
                ProblemCode::NoUser,
                format!("no user `{}` in the guest", user.escape_debug()),
            )
        })
}

/// Who to become; nobody where the agent is that user and could be no other.
fn credentials(account: &Account) -> Result<Option<(u32, u32, Vec<u32>)>, Problem> {
    let own = rustix::process::geteuid();
    if own.is_root() {
        return Ok(Some((account.uid, account.gid, account.groups.clone())));
    }
    if own.as_raw() == account.uid {
        return Ok(None);
    }
    let name = account.name.to_string_lossy();
    Err(internal(
        format_args!("cannot run as `{}`", name.escape_debug()),
        "the agent is not root",
    ))
}

fn workdir(exec: &Exec, account: &Account) -> Result<PathBuf, Problem> {
    let Some(wanted) = &exec.workdir else {
        // A home that is not there does not keep a command from running.
        return Ok(account.home.clone());
    };
    let path = account.home.join(wanted);
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => Ok(path),
        Ok(_) => Err(no_workdir(&path, "not a directory")),
        Err(error) => Err(no_workdir(&path, error)),
    }
}

fn no_workdir(path: &Path, reason: impl std::fmt::Display) -> Problem {
    problem(
        ProblemCode::NoWorkdir,
        format!(
            "no working directory `{}` in the guest: {reason}",
            path.display().to_string().escape_debug()
        ),
    )
}

fn program(
    words: Vec<OsString>,
    shell: Option<&Path>,
    environment: &Environment,
    workdir: &Path,
) -> Result<Program, Problem> {
    let mut words = words.into_iter();
    let Some(name) = words.next() else {
        let path = shell.ok_or_else(|| {
            problem(
                ProblemCode::CommandNotFound,
                "the guest has no shell: neither the user's own nor /bin/sh",
            )
        })?;
        return Ok(Program {
            path: path.to_owned(),
            name: program::login_name(path),
            arguments: Vec::new(),
        });
    };
    let search = environment.get(std::ffi::OsStr::new("PATH"));
    Ok(Program {
        path: program::find(&name, search.map_or("".as_ref(), OsString::as_os_str), workdir)?,
        name,
        arguments: words.collect(),
    })
}

/// Gives the command its streams, and us the other ends of them.
fn wire(command: &mut Command, exec: &Exec, owner: Option<u32>) -> io::Result<Ends> {
    let Some(size) = exec.tty else {
        let (their_stdin, stdin) = if exec.stdin {
            let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC)?;
            (Stdio::from(theirs), Some(Descriptor::new(ours)?))
        } else {
            (Stdio::null(), None)
        };
        let (stdout, their_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, their_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
        command
            .stdin(their_stdin)
            .stdout(their_stdout)
            .stderr(their_stderr);
        return Ok(Ends::Pipes {
            stdin,
            stdout: Descriptor::new(stdout)?,
            stderr: Descriptor::new(stderr)?,
        });
    };
    let terminal = terminal::open(size, owner)?;
    let theirs = |fd: &OwnedFd| fd.try_clone().map(Stdio::from);
    let their_stdin = if exec.stdin {
        theirs(&terminal.theirs)?
    } else {
        Stdio::null()
    };
    command
        .stdin(their_stdin)
        .stdout(theirs(&terminal.theirs)?)
        .stderr(terminal.theirs);
    Ok(Ends::Terminal {
        terminal: Descriptor::new(terminal.ours)?,
        stdin: exec.stdin,
    })
}

fn not_started(failure: &NotStarted, path: &Path, workdir: &Path) -> Problem {
    let cause = &failure.cause;
    let errno = Errno::from_io_error(cause);
    match failure.step {
        Some(Step::Workdir) => no_workdir(workdir, cause),
        Some(Step::Cgroup) => internal("cannot enter the command's cgroup", cause),
        Some(Step::Session) => internal("cannot open the command's session", cause),
        Some(Step::User) => internal("cannot become the user", cause),
        None => match errno {
            // It was there a moment ago: what is missing is what it asks to be run by.
            Some(Errno::NOENT) => problem(
                ProblemCode::CommandNotFound,
                format!(
                    "`{}` is there, its interpreter is not",
                    path.display().to_string().escape_debug()
                ),
            ),
            Some(Errno::TOOBIG) => bad_request(
                "arguments and environment together are more than the guest's kernel takes: a quarter of `ulimit -s`, 2 MiB as a rule",
            ),
            Some(
                Errno::ACCESS
                | Errno::NOEXEC
                | Errno::ISDIR
                | Errno::TXTBSY
                | Errno::INVAL
                | Errno::LOOP
                | Errno::NOTDIR
                | Errno::PERM
                | Errno::NAMETOOLONG
                | Errno::LIBBAD,
            ) => program::not_executable(path, cause),
            _ => internal("cannot start the command", cause),
        },
    }
}
