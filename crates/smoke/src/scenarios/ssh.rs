//! OpenSSH.

use std::fs;

use crate::{Home, Scenario};

pub(super) const SSH: Scenario = Scenario {
    name: "ssh",
    shows: "vm ssh, then plain ssh, scp and sftp to NAME.vm after ssh-config --install, and its removal",
    uses: &[
        "vm run -d --network",
        "vm ssh",
        "ssh-config",
        "ssh-config --install",
        "ssh-config --uninstall",
    ],
    fast: false,
    alone_with: &[],
    run: ssh,
};

fn ssh(home: &Home) {
    let own = home.path().join(".ssh/config");
    fs::create_dir(own.parent().unwrap()).unwrap();
    fs::write(&own, "Host elsewhere\n    User me\n").unwrap();
    home.succeeds(&["vm", "run", "-d", "--network", "none", "--name", "box"]);
    assert_eq!(
        home.succeeds(&["vm", "ssh", "box", "--", "echo", "two  words"]),
        "two  words\n"
    );
    assert_eq!(home.run(&["vm", "ssh", "box", "exit 7"]).code, Some(7));

    home.succeeds(&["ssh-config", "--install"]);
    // OpenSSH looks for its settings where the account's home is, whatever HOME says.
    let settings = own.to_str().unwrap();
    assert_eq!(home.host("ssh", &["-F", settings, "box.vm", "hostname"]), "box\n");
    let note = home.file("note", "by scp\n");
    home.host("scp", &["-q", "-F", settings, &note, "box.vm:/root/note"]);
    let batch = home.file("batch", "rename /root/note /root/moved\n");
    home.host("sftp", &["-q", "-F", settings, "-b", &batch, "box.vm"]);
    assert_eq!(
        home.host("ssh", &["-F", settings, "box.vm", "cat /root/moved"]),
        "by scp\n"
    );

    home.succeeds(&["ssh-config", "--uninstall"]);
    assert_eq!(
        fs::read_to_string(&own).unwrap(),
        "Host elsewhere\n    User me\n",
        "as it was"
    );
    let printed = home.file("vms.conf", home.succeeds(&["ssh-config"]));
    assert_eq!(home.host("ssh", &["-F", &printed, "box.vm", "id -un"]), "root\n");
    home.succeeds(&["vm", "delete", "box"]);
}
