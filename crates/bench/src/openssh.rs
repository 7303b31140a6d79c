//! Plain OpenSSH into a VM: the guest's own sshd behind a published port, a key of this run's own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{run, run_with_stdin};
use crate::error::BenchError;
use crate::sandbox::Sandbox;

/// How to reach one VM.
#[derive(Debug)]
pub struct OpenSsh {
    options: Vec<String>,
}

/// A port of this host that nobody has.
pub fn free_port() -> Result<u16, BenchError> {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(BenchError::file("listen on", "127.0.0.1"))
}

impl OpenSsh {
    /// Has a VM that publishes its port 22 as `port` let a new key in.
    pub fn into(sandbox: &Sandbox, vm: &str, port: u16) -> Result<Self, BenchError> {
        let key = sandbox.folder().join("id_bench");
        run(Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key))?;
        let public = key.with_extension("pub");
        let public = std::fs::read(&public).map_err(BenchError::file("read", &public))?;
        let script =
            "mkdir -p -m 700 /root/.ssh && cat > /root/.ssh/authorized_keys && systemctl restart ssh";
        run_with_stdin(
            &mut sandbox.banger(&["vm", "exec", "-i", vm, "--", "sh", "-c", script]),
            &public,
        )?;
        let known = sandbox.folder().join("known_hosts");
        let options = [
            ("IdentityFile", text(&key)?),
            ("UserKnownHostsFile", text(&known)?),
            ("StrictHostKeyChecking", "accept-new".to_owned()),
            ("LogLevel", "ERROR".to_owned()),
            ("Port", port.to_string()),
            ("HostName", "127.0.0.1".to_owned()),
            ("User", "root".to_owned()),
        ];
        Ok(Self {
            options: options.map(|(name, value)| format!("-o{name}={value}")).to_vec(),
        })
    }

    /// The same with a control connection that stays.
    pub fn kept_open(&self, sandbox: &Sandbox) -> Result<Self, BenchError> {
        let control = text(&sandbox.folder().join("control"))?;
        let more = [
            "-oControlMaster=auto".to_owned(),
            "-oControlPersist=120".to_owned(),
            format!("-oControlPath={control}"),
        ];
        Ok(Self {
            options: [self.options.as_slice(), &more].concat(),
        })
    }

    /// `ssh`, `scp` or `sftp` with what leads to the VM, which is called `vm` there.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-F/dev/null").args(&self.options);
        command
    }

    /// What rsync is to run.
    pub fn remote_shell(&self) -> String {
        format!("ssh -F/dev/null {}", self.options.join(" "))
    }

    /// Ends the control connection, if there is one.
    pub fn close(&self) {
        // It is over in two minutes all the same.
        let _ = run(self.command("ssh").args(["-O", "exit", "vm"]));
    }
}

fn text(path: &Path) -> Result<String, BenchError> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| BenchError::Unexpected("a path not in UTF-8".to_owned()))
}

/// OpenSSH's settings as `banger ssh-config` prints them, in a file.
pub fn settings(sandbox: &Sandbox) -> Result<PathBuf, BenchError> {
    let path = sandbox.folder().join("vms.conf");
    let printed = sandbox.run(&["ssh-config"])?.stdout;
    std::fs::write(&path, printed).map_err(BenchError::file("write", &path))?;
    Ok(path)
}
