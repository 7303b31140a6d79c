//! Disks that are full.

use std::fs;
use std::process::Command;

use crate::simulated::Simulated;

/// A shell script in a mount namespace of its own where `$FULL` is a file system of 1 MiB.
fn with_little_room(host: &Simulated, script: &str) -> Command {
    let full = host.folder().join("full");
    fs::create_dir(&full).unwrap();
    let banger = host.banger(&[]);
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-ec"])
        .arg(format!("mount -t tmpfs -o size=1m none \"$FULL\"\n{script}"))
        .env("FULL", &full)
        .env("BANGER", banger.get_program());
    for (name, value) in banger.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_out_of_a_guest_to_a_full_disk_says_so_and_leaves_nothing() {
    let host = Simulated::start().await;
    host.run("a").await;
    let large = host.folder().join("large");
    fs::write(&large, vec![7; 4 << 20]).unwrap();
    let script = format!(
        "echo before > \"$FULL/target\"
         code=0; \"$BANGER\" vm cp 'a:{}' \"$FULL/target\" || code=$?
         echo \"$code $(ls -A \"$FULL\") $(cat \"$FULL/target\")\"",
        large.display()
    );
    let mut command = with_little_room(&host, &script);
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    // What stood there before still does, and nothing else.
    assert_eq!(
        String::from_utf8(ended.stdout).unwrap(),
        "1 target before\n",
        "{said}"
    );
    assert!(
        said.starts_with(
            "banger: copying from `a`: no space left for `large`: it would be of 4194304 bytes, "
        ),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    host.delete("a").await;
}
