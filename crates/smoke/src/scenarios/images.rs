//! Container images.

use std::fs;

use serde_json::Value;

use crate::{Home, Registry, Scenario};

pub(super) const IMAGES: Scenario = Scenario {
    name: "images",
    shows: "image pull from a registry, show, list, a VM that runs its entry point, delete, cache prune",
    uses: &[
        "image pull -q --plain-http --trust-realm --name --kernel-ref --timings",
        "image list -q --json",
        "image show --json",
        "image delete",
        "image cache prune --dry-run --json",
        "vm create --no-start -q --name --image --plain-http",
        "vm run --rm --image --entrypoint --plain-http",
    ],
    fast: false,
    alone_with: &[],
    run: images,
};

/// Makes an image of one program that needs no other, and pushes it.
fn publish(home: &Home, reference: &str) {
    let layout = home.path().join("layout");
    let layout = layout.to_str().unwrap();
    let tagged = format!("{layout}:1");
    // The one program that each Debian has linked statically.
    let layer = home.path().join("layer.tar");
    let layer = layer.to_str().unwrap();
    home.host("tar", &["-C", "/usr", "-cf", layer, "sbin/ldconfig"]);
    home.host("umoci", &["init", "--layout", layout]);
    home.host("umoci", &["new", "--image", &tagged]);
    home.host("umoci", &["raw", "add-layer", "--image", &tagged, layer]);
    let config = [
        "config",
        "--image",
        &tagged,
        "--config.entrypoint",
        "/sbin/ldconfig",
        "--config.cmd",
        "--version",
    ];
    home.host("umoci", &config);
    let source = format!("oci:{tagged}");
    let target = format!("docker://{reference}");
    let copy = ["copy", "--insecure-policy", "--dest-tls-verify=false"];
    home.host("skopeo", &[&copy[..], &["--quiet", &source, &target]].concat());
}

fn images(home: &Home) {
    let registry = Registry::start(&home.path().join("registry"));
    let reference = format!("{}/tools/ldconfig:1", registry.address());
    publish(home, &reference);
    let kernel: Value =
        serde_json::from_str(&home.succeeds(&["image", "show", "debian-minimal", "--json"])).unwrap();
    let kernel = kernel["kernel"].as_str().unwrap();

    let create = ["vm", "create", "--no-start", "-q", "--name", "first"];
    let image = ["--plain-http", "--image", &reference];
    assert_eq!(
        home.succeeds(&[&create[..], &image].concat()),
        "first\n",
        "pulled when first needed"
    );
    home.succeeds(&["vm", "delete", "first"]);
    assert_eq!(
        home.succeeds(&[
            "image",
            "pull",
            "-q",
            "--plain-http",
            "--trust-realm",
            "auth.example",
            &reference
        ]),
        "ldconfig\n"
    );
    let named = ["--name", "mine", "--kernel-ref", kernel, "--timings"];
    let pulled = home.run(&[&["image", "pull", "--plain-http"], &named[..], &[&reference]].concat());
    assert_eq!(
        (pulled.code, pulled.out.as_str()),
        (Some(0), "mine\n"),
        "{}",
        pulled.err
    );
    assert!(pulled.err.contains(" ms"), "the timings: {}", pulled.err);
    drop(registry);

    let mut names: Vec<String> = home
        .succeeds(&["image", "list", "-q"])
        .lines()
        .map(str::to_owned)
        .collect();
    names.sort();
    assert_eq!(names, ["debian-minimal", "ldconfig", "mine"]);
    let listed: Value = serde_json::from_str(&home.succeeds(&["image", "list", "--json"])).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 3, "{listed}");
    assert!(home.succeeds(&["image", "list"]).contains("mine"));
    assert!(home.succeeds(&["image", "show", "mine"]).contains(&reference));

    let run = [
        "vm",
        "run",
        "--rm",
        "--network",
        "none",
        "--image",
        "mine",
        "--entrypoint",
        "--plain-http",
    ];
    let out = home.succeeds(&run);
    assert!(out.starts_with("ldconfig ("), "{out}");

    home.succeeds(&["image", "delete", "mine", "ldconfig"]);
    let kept = || -> Value {
        serde_json::from_str(&home.succeeds(&["image", "cache", "prune", "--dry-run", "--json"])).unwrap()
    };
    let layers = kept();
    assert!(layers["bytes"].as_u64().unwrap() > 0, "{layers}");
    home.succeeds(&["image", "cache", "prune"]);
    let none = kept();
    assert_eq!(none["bytes"], 0, "{none}");
    assert!(fs::exists(home.state().join("images")).unwrap());
}
