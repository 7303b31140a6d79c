//! Ways in: a command by the agent and by ssh, ssh by the agent and by a port.

use std::process::Command;

use crate::command::run;
use crate::error::BenchError;
use crate::openssh::{OpenSsh, settings};
use crate::sandbox::{Sandbox, in_turn};
use crate::section::{Goal, Row, Section, times};

/// Measures `runs` of each, in turn, in a VM that runs.
pub fn measure(sandbox: &Sandbox, vm: &str, ssh: &OpenSsh, runs: usize) -> Result<Section, BenchError> {
    let kept = ssh.kept_open(sandbox)?;
    let by_control = || run(kept.command("ssh").args(["vm", "true"])).map(|ended| ended.took);
    let by_agent = || {
        sandbox
            .run(&["vm", "exec", vm, "--", "true"])
            .map(|ended| ended.took)
    };
    by_control()?;
    by_agent()?;
    let (control, exec) = in_turn(runs, by_control, by_agent)?;
    kept.close();
    let (control, exec) = (times(control)?, times(exec)?);

    let settings = settings(sandbox)?;
    let host = format!("{vm}.vm");
    let by_port = || run(ssh.command("ssh").args(["vm", "true"])).map(|ended| ended.took);
    let by_name = || {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(&settings).args([host.as_str(), "true"]);
        run(sandbox.surround(&mut command)).map(|ended| ended.took)
    };
    by_port()?;
    by_name()?;
    let (port, name) = in_turn(runs, by_port, by_name)?;
    let (port, name) = (times(port)?, times(name)?);

    Ok(Section {
        only_ratios: false,
        title: "A command in a VM that runs".to_owned(),
        says: "`banger vm exec NAME -- true` against `ssh` over a control connection that is open already; a whole \
               `ssh NAME.vm true`, through the agent, against a whole `ssh` to the guest's own sshd by a published port."
            .to_owned(),
        rows: vec![
            Row::floor("`ssh`, control connection", &control),
            Row::beside("`banger vm exec`", &exec, &control),
            Row::floor("`ssh`, published port", &port),
            Row::beside("`ssh NAME.vm`", &name, &port),
        ],
        goals: vec![
            Goal {
                text: "`vm exec` at least 5 times as fast as `ssh` with a control connection".to_owned(),
                met: exec.median() * 5 <= control.median(),
            },
            Goal {
                text: "`ssh NAME.vm` at most 1.2 times plain `ssh`".to_owned(),
                met: name.ratio_to(&port) <= 1.2,
            },
        ],
    })
}
