//! Kernels without a guest.

use serde_json::Value;

use crate::{Home, Scenario};

pub(super) const KERNELS: Scenario = Scenario {
    name: "kernels",
    shows: "kernels listed, shown, imported from a folder, refused, deleted; no guest",
    uses: &[
        "kernel list --available -q --json",
        "kernel show --json",
        "kernel import --from --distro --arch -q",
        "kernel pull -q",
        "kernel rm",
    ],
    fast: true,
    alone_with: &[],
    run: kernels,
};

pub(super) const KERNEL_FETCH: Scenario = Scenario {
    name: "kernel-fetch",
    shows: "a kernel of the catalog is fetched anew from the distribution; no guest",
    uses: &["kernel pull --force --timings"],
    fast: false,
    alone_with: &[],
    run: kernel_fetch,
};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn kernels(home: &Home) {
    let here = json(&home.succeeds(&["kernel", "list", "--json"]));
    let cloud = here[0].clone();
    assert_eq!(cloud["name"], "debian-cloud");
    let available = json(&home.succeeds(&["kernel", "list", "--available", "--json"]));
    assert_eq!(available[0]["here"], cloud["version"]);
    assert_eq!(
        json(&home.succeeds(&["kernel", "show", "debian-cloud", "--json"])),
        cloud
    );
    assert_eq!(
        home.succeeds(&["kernel", "pull", "-q", "debian-cloud"]),
        "debian-cloud\n",
        "it is here"
    );

    let folder = home.path().join("built");
    std::fs::create_dir(&folder).unwrap();
    let id = cloud["id"].as_str().unwrap();
    std::fs::copy(
        home.state().join("kernels").join(id).join("vmlinux"),
        folder.join("vmlinux"),
    )
    .unwrap();
    let from = folder.to_str().unwrap();
    let import = ["kernel", "import", "mine", "--from", from];
    let more = ["-q", "--distro", "debian", "--arch", "amd64"];
    assert_eq!(home.succeeds(&[&import[..], &more].concat()), "mine\n");
    let taken = home.run(&import);
    assert_eq!(taken.code, Some(1));
    assert!(taken.err.contains("banger kernel rm mine"), "{}", taken.err);
    let mine = json(&home.succeeds(&["kernel", "show", "mine", "--json"]));
    assert_eq!(
        (&mine["version"], &mine["kind"]),
        (&cloud["version"], &"imported".into())
    );
    assert_eq!(home.succeeds(&["kernel", "list", "-q"]), "debian-cloud\nmine\n");

    let used = home.run(&["kernel", "rm", "debian-cloud", "mine"]);
    assert_eq!((used.code, used.out.as_str()), (Some(1), "mine\n"));
    assert!(used.err.contains("debian-minimal uses it"), "{}", used.err);
    assert_eq!(home.succeeds(&["kernel", "list", "-q"]), "debian-cloud\n");
    std::fs::write(folder.join("vmlinux"), "text").unwrap();
    let refused = home.run(&import);
    assert!(
        refused.err.contains("the kernel image is unusable"),
        "{}",
        refused.err
    );
}

fn kernel_fetch(home: &Home) {
    let fetched = home.run(&["kernel", "pull", "--force", "--timings", "debian-cloud"]);
    assert_eq!(
        (fetched.code, fetched.out.as_str()),
        (Some(0), "debian-cloud\n"),
        "{}",
        fetched.err
    );
    assert!(fetched.err.contains("fetched"), "{}", fetched.err);
    assert!(home.succeeds(&["kernel", "list"]).contains("debian-cloud"));
}
