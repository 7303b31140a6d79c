//! The golden image as a newcomer gets it, on the kernel that the project builds itself.

use std::fs;

use crate::{Home, Scenario, home};

pub(super) const GOLDEN: Scenario = Scenario {
    name: "golden",
    shows: "the default image, built by its recipe, boots with the generic kernel and runs a container in Docker",
    uses: &[
        "kernel import -q --from",
        "vm run -d --wait --name --kernel",
        "vm exec -i",
        "vm delete",
    ],
    fast: false,
    alone_with: &[],
    run: golden,
};

/// A container's tree, as a tar. Arguments: the folder to make, and the file.
const CONTAINER: &str = r#"
mkdir -p "$1/bin"
cp /bin/busybox "$1/bin/"
ln -s busybox "$1/bin/echo"
tar -C "$1" -cf "$2" --owner 0 --group 0 --numeric-owner .
"#;

fn golden(home: &Home) {
    // What banger takes when nobody says what.
    fs::remove_file(home.path().join("config/banger/config.toml")).unwrap();
    let kernel = home::built("kernel-generic");
    if !kernel.exists() {
        // What it needs is installed by `make smoke`.
        let script = home::script("make-generic-kernel.sh");
        home.host(script.to_str().unwrap(), &["--out", kernel.to_str().unwrap()]);
    }
    home.succeeds(&[
        "kernel",
        "import",
        "-q",
        "generic",
        "--from",
        kernel.to_str().unwrap(),
    ]);
    home.succeeds(&[
        "vm", "run", "-d", "--wait", "boot", "--name", "box", "--kernel", "generic",
    ]);
    let shown: serde_json::Value =
        serde_json::from_str(&home.succeeds(&["vm", "show", "box", "--json"])).unwrap();
    let kernel = shown["kernel"].as_str().unwrap();
    assert!(kernel.starts_with("generic"), "{kernel}");
    let (tree, tar) = (home.path().join("tree"), home.path().join("container.tar"));
    let arguments = [tree.to_str().unwrap(), tar.to_str().unwrap()];
    home.host("sh", &[&["-ec", CONTAINER, "sh"], &arguments[..]].concat());
    let import = [
        "vm", "exec", "-i", "box", "--", "docker", "import", "-", "local:1",
    ];
    let imported = home.run_with_stdin(&import, &fs::read(&tar).unwrap());
    assert_eq!(imported.code, Some(0), "{}", imported.err);
    let run = [
        "vm",
        "exec",
        "box",
        "--",
        "docker",
        "run",
        "--rm",
        "local:1",
        "/bin/echo",
        "inside",
    ];
    assert_eq!(home.succeeds(&run), "inside\n");
    home.succeeds(&["vm", "delete", "box"]);
}
