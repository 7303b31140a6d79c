//! Files in and out.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::{Home, Scenario};

pub(super) const FILES: Scenario = Scenario {
    name: "files",
    shows: "vm cp: a tree in and out again, several at once, links followed, owners kept, a tar stream both ways",
    uses: &["vm cp -q -a -L", "vm run -d --network"],
    fast: false,
    alone_with: &[],
    run: files,
};

fn files(home: &Home) {
    let site = home.path().join("site");
    fs::create_dir_all(site.join("pages")).unwrap();
    fs::write(site.join("pages/index.html"), "<h1>hello</h1>\n").unwrap();
    fs::write(site.join("serve"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(site.join("serve"), fs::Permissions::from_mode(0o750)).unwrap();
    symlink("pages/index.html", site.join("home")).unwrap();
    let inside = |vm: &str, script: &str| home.succeeds(&["vm", "exec", vm, "--", "sh", "-c", script]);

    home.succeeds(&["vm", "run", "-d", "--network", "none", "--name", "box"]);
    home.succeeds(&["vm", "cp", "-q", "site", "box:/srv"]);
    assert_eq!(
        inside(
            "box",
            "cd /srv/site; cat pages/index.html; stat -c %a%U serve; readlink home"
        ),
        "<h1>hello</h1>\n750root\npages/index.html\n"
    );
    home.succeeds(&["vm", "cp", "-q", "-L", "site/home", "box:/srv/followed"]);
    assert_eq!(
        inside("box", "test ! -L /srv/followed && cat /srv/followed"),
        "<h1>hello</h1>\n"
    );
    inside(
        "box",
        "echo added > /srv/site/pages/new; chown nobody /srv/site/serve",
    );

    // Several at once, and to where a link leads.
    inside("box", "mkdir /srv/both; echo old > /srv/old; ln -s old /srv/link");
    home.succeeds(&["vm", "cp", "-q", "site/serve", "site/pages", "box:/srv/both"]);
    home.succeeds(&["vm", "cp", "-q", "site/serve", "box:/srv/link"]);
    assert_eq!(
        inside("box", "cd /srv; ls both both/pages; readlink link; cat old"),
        "both:\npages\nserve\n\nboth/pages:\nindex.html\nold\n#!/bin/sh\n"
    );

    home.succeeds(&["vm", "cp", "-q", "box:/srv/site/.", "back"]);
    let back = home.path().join("back");
    assert_eq!(fs::read_to_string(back.join("pages/new")).unwrap(), "added\n");
    assert_eq!(
        fs::read_link(back.join("home")).unwrap().to_str(),
        Some("pages/index.html")
    );
    let stream = home
        .command(&["vm", "cp", "-q", "box:/srv/site", "-"])
        .output()
        .unwrap();
    let again = home.run_with_stdin(&["vm", "cp", "-q", "-a", "-", "box:/opt"], &stream.stdout);
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert_eq!(inside("box", "stat -c %U /opt/site/serve"), "nobody\n");

    let missing = home.run(&["vm", "cp", "-q", "box:/srv/none", "here"]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.err.contains("/srv/none"), "{}", missing.err);
    assert!(!home.path().join("here").exists(), "nothing is left of it");
    home.succeeds(&["vm", "delete", "box"]);
}
