//! Kernels without a guest.

use serde_json::Value;

use crate::{Home, Scenario, serve};

pub(super) const KERNELS: Scenario = Scenario {
    name: "kernels",
    shows: "kernels listed, shown, imported from a folder, refused, deleted; no guest",
    uses: &[
        "kernel list --available -q --json",
        "kernel show --json",
        "kernel import --from --distro --arch -q",
        "kernel pull -q",
        "kernel rm",
        "vm create --no-start -q --name --kernel",
        "vm delete",
    ],
    fast: true,
    alone_with: &[],
    run: kernels,
};

pub(super) const BUNDLE: Scenario = Scenario {
    name: "bundle",
    shows: "an image is exported, published on loopback, and pulled back by its name; no guest",
    uses: &[
        "image export -o --json",
        "image delete",
        "pull",
        "image list -q --json",
        "image show --json",
    ],
    fast: true,
    alone_with: &[],
    run: bundle,
};

pub(super) const REGISTER: Scenario = Scenario {
    name: "register",
    shows: "a root disk of the user's own is registered, promoted and needed no more; no guest",
    uses: &[
        "image register --name --rootfs --kernel-ref -q --timings",
        "image promote -q --timings",
    ],
    fast: true,
    alone_with: &[],
    run: register,
};

pub(super) const BUILD: Scenario = Scenario {
    name: "build",
    shows: "an image is built by a recipe that begins with the catalog's, and replaced; no guest",
    uses: &["image build -f --kernel-ref -q --timings", "build"],
    fast: false,
    alone_with: &[],
    run: build,
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

    let create = ["vm", "create", "--no-start", "-q", "--name", "box", "--kernel"];
    home.succeeds(&[&create[..], &["mine"]].concat());
    let used = home.run(&["kernel", "rm", "mine"]);
    assert!(used.err.contains("box uses it"), "{}", used.err);
    home.succeeds(&["vm", "delete", "box"]);

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

fn bundle(home: &Home) {
    let folder = home.path().join("published");
    std::fs::create_dir(&folder).unwrap();
    home.configure(&format!("catalog_url = \"{}/catalog.json\"", serve(&folder)));

    let exported = home.succeeds(&[
        "image",
        "export",
        "debian-minimal",
        "-o",
        folder.to_str().unwrap(),
        "--json",
    ]);
    let exported = json(&exported);
    assert!(
        exported["bundle"]["url"]
            .as_str()
            .unwrap()
            .starts_with("debian-minimal-amd64-")
    );
    let entry = serde_json::json!({
        "name": "debian-minimal", "arch": "amd64", "kernel": exported["kernel"], "bundle": exported["bundle"],
    });
    let catalog = serde_json::json!({"schema_version": 1, "images": [entry]});
    std::fs::write(folder.join("catalog.json"), catalog.to_string()).unwrap();

    let before = json(&home.succeeds(&["image", "show", "debian-minimal", "--json"]));
    home.succeeds(&["image", "delete", "debian-minimal"]);
    assert_eq!(home.succeeds(&["image", "list", "-q"]), "");
    assert_eq!(
        home.succeeds(&["pull", "-q", "debian-minimal"]),
        "debian-minimal\n"
    );
    let after = json(&home.succeeds(&["image", "list", "--json"]));
    assert_eq!(
        (&after[0]["id"], &after[0]["entries"]),
        (&before["id"], &before["entries"]),
        "to the byte"
    );
}

fn build(home: &Home) {
    let file = home.path().join("recipe.toml");
    let recipe = "base = \"debian-minimal\"\npackages = [\"jq\"]\n";
    std::fs::write(&file, recipe).unwrap();
    let build = ["image", "build", "mine", "-f", "recipe.toml"];
    let more = ["--kernel-ref", "debian-cloud", "-q", "--timings"];
    assert_eq!(home.succeeds(&[&build[..], &more].concat()), "mine\n");
    let show = || json(&home.succeeds(&["image", "show", "mine", "--json"]));
    let first = show();
    assert_eq!(
        (&first["kind"], &first["kernel"]),
        (&"built".into(), &"debian-cloud".into())
    );
    std::fs::write(&file, recipe.replace("jq", "tree")).unwrap();
    assert_eq!(home.succeeds(&build[1..]), "mine\n", "the short form");
    assert_ne!(show()["id"], first["id"]);
    std::fs::write(&file, recipe).unwrap();
    assert_eq!(
        home.succeeds(&["build", "mine", "-q", "-f", "recipe.toml"]),
        "mine\n"
    );
    std::fs::write(&file, "base = \"none\"\n").unwrap();
    let refused = home.run(&build);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.err.contains("recipe `recipe.toml`: base: "),
        "{}",
        refused.err
    );
    home.succeeds(&["image", "delete", "mine"]);
}

fn register(home: &Home) {
    let show = |name: &str| json(&home.succeeds(&["image", "show", name, "--json"]));
    let debian = show("debian-minimal");
    let managed = format!("{}.erofs", debian["id"].as_str().unwrap());
    let file = home.path().join("disk.erofs");
    std::fs::copy(home.state().join("images").join(managed), &file).unwrap();
    let register = ["image", "register", "--name", "disk", "--rootfs", "disk.erofs"];
    let more = ["--kernel-ref", "debian-cloud", "--timings"];
    assert_eq!(home.succeeds(&[&register[..], &more].concat()), "disk\n");
    let disk = show("disk");
    assert_eq!(
        (&disk["id"], &disk["kind"]),
        (&debian["id"], &"registered".into())
    );
    let again = home.run(&[&register[..], &["-q"]].concat());
    assert_eq!(again.code, Some(1), "the name is taken");
    assert_eq!(
        home.succeeds(&["image", "promote", "--timings", "disk"]),
        "disk\n"
    );
    std::fs::remove_file(&file).unwrap();
    assert_eq!(show("disk")["kind"], "promoted");
    assert_eq!(
        home.run(&["image", "promote", "-q", "disk"]).code,
        Some(1),
        "once is enough"
    );
    home.succeeds(&["image", "delete", "disk"]);
}
