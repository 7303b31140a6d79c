//! Manifests, indexes and configurations that mean no good.

use serde_json::{Value, json};

use super::RegistryLie;
use super::layers::honest_archive;
use super::server::{Asked, Reply, response};
use crate::container::{LAYER, MANIFEST, TestImage, TestLayer, described, digest};
use crate::hostile::{Answer, ESCAPES};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What the configuration of an image of these layers says where that is not the lie.
pub(super) fn config(layers: &[TestLayer]) -> Value {
    TestImage::document(layers, &json!({"Env": ["A=b"], "Cmd": ["true"]}))
}

/// What is told in the place of a manifest.
pub(super) fn answer(lie: RegistryLie, asked: &Asked, image: &TestImage) -> Option<Reply> {
    let manifest: Value = serde_json::from_slice(&image.manifest).expect("it was made here");
    let layer = || manifest["layers"][0].clone();
    let with_layers = |layers: Vec<Value>| {
        let mut manifest = manifest.clone();
        manifest["layers"] = layers.into();
        served(MANIFEST, manifest.to_string().as_bytes())
    };
    let with = |key: &str, value: Value| {
        let mut layer = layer();
        layer[key] = value;
        with_layers(vec![layer])
    };
    let text = String::from_utf8_lossy(&image.manifest).into_owned();
    Some(Reply::lie(match lie {
        RegistryLie::NotJson => served(MANIFEST, format!("<html>{ESCAPES}").as_bytes()),
        RegistryLie::DeepJson => served(MANIFEST, &b"[".repeat(3_000_000)),
        RegistryLie::HugeJson => {
            let long = format!("{{\"x\":\"{}\",{}", "A".repeat(6 << 20), &text[1..]);
            served(MANIFEST, long.as_bytes())
        }
        RegistryLie::WrongTypes => {
            let wrong = json!({"schemaVersion": "2", "config": [ESCAPES], "layers": {ESCAPES: ESCAPES}});
            served(MANIFEST, wrong.to_string().as_bytes())
        }
        RegistryLie::TwiceNamed => {
            let twice = format!("{},\"schemaVersion\":2,\"layers\":[]}}", &text[..text.len() - 1]);
            served(MANIFEST, twice.as_bytes())
        }
        RegistryLie::OddMediaType => {
            let mut manifest = manifest.clone();
            manifest["mediaType"] = ESCAPES.into();
            served("application/json", manifest.to_string().as_bytes())
        }
        RegistryLie::OtherDigestHeader => response(
            200,
            &[
                ("content-type", MANIFEST),
                ("docker-content-digest", &digest(b"other")),
                ("etag", "\"../../../evil\""),
            ],
            &image.manifest,
        ),
        RegistryLie::OtherManifest
        | RegistryLie::OtherManifestSize
        | RegistryLie::IndexOfItself
        | RegistryLie::IndexChain
        | RegistryLie::ManyPlatforms => index(lie, asked, image),
        RegistryLie::ManyLayers => with_layers(vec![layer(); 5000]),
        RegistryLie::LayerOfTwoSizes => {
            let mut other = layer();
            other["size"] = 7.into();
            with_layers(vec![layer(), other])
        }
        RegistryLie::NegativeSize => with("size", json!(-1)),
        RegistryLie::HugeSize => with("size", json!(1_u64 << 60)),
        RegistryLie::SizesOverflow => {
            let large = |content: &[u8]| json!({"mediaType": LAYER, "digest": digest(content), "size": u64::MAX / 2 + 1});
            with_layers(vec![large(b"one"), large(b"two")])
        }
        RegistryLie::ForeignLayer => {
            let mut foreign = layer();
            foreign["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
            foreign["urls"] = json!(["http://127.0.0.1:1/evil", "file:///etc/passwd"]);
            with_layers(vec![foreign])
        }
        RegistryLie::DigestOfDots => with("digest", json!(format!("sha256:{}etc/passwd", "../".repeat(18)))),
        RegistryLie::OtherAlgorithm => with("digest", json!(format!("sha512:{}", "a".repeat(128)))),
        RegistryLie::HugeConfig => {
            let mut manifest = manifest.clone();
            manifest["config"]["size"] = json!(4_u64 << 30);
            served(MANIFEST, manifest.to_string().as_bytes())
        }
        _ => return None,
    }))
}

fn served(media_type: &str, bytes: &[u8]) -> Answer {
    response(200, &[("content-type", media_type)], bytes)
}

/// Indexes that lead to where no manifest is.
fn index(lie: RegistryLie, asked: &Asked, image: &TestImage) -> Answer {
    let platform = |architecture: &str| json!({"os": "linux", "architecture": architecture});
    let ours = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    let entry = |media_type: &str, bytes: &[u8], architecture: &str| {
        let mut entry = described(media_type, bytes);
        entry["platform"] = platform(architecture);
        entry
    };
    let of = |entries: Vec<Value>| {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        index.to_string().into_bytes()
    };
    let by_tag = asked.path().ends_with("/1");
    match lie {
        RegistryLie::OtherManifest if by_tag => served(INDEX, &of(vec![entry(MANIFEST, b"another", ours)])),
        RegistryLie::OtherManifestSize if by_tag => {
            let mut entry = entry(MANIFEST, &image.manifest, ours);
            entry["size"] = 7.into();
            served(INDEX, &of(vec![entry]))
        }
        RegistryLie::IndexOfItself => served(INDEX, &of(vec![entry(INDEX, b"itself", ours)])),
        RegistryLie::IndexChain => {
            let mut chain = vec![of(vec![entry(MANIFEST, &image.manifest, ours)])];
            for _ in 0..9 {
                let next = of(vec![entry(INDEX, &chain[chain.len() - 1], ours)]);
                chain.push(next);
            }
            let name = asked.path().rsplit('/').next().unwrap_or_default();
            let link = chain.iter().find(|link| digest(link) == name);
            served(INDEX, link.unwrap_or(&chain[chain.len() - 1]))
        }
        RegistryLie::ManyPlatforms => {
            let odd = (0..5000).map(|number| entry(MANIFEST, b"x", &format!("{ESCAPES}{number}")));
            served(INDEX, &of(odd.collect()))
        }
        _ => served(MANIFEST, &image.manifest),
    }
}

/// The image whose configuration is the lie.
pub(super) fn image(lie: RegistryLie) -> TestImage {
    let layers = [TestLayer::plain(honest_archive())];
    let of = |config: Value| TestImage::document(&layers, &config);
    let document = match lie {
        RegistryLie::OddVariables => of(json!({"Env": [
            format!("A={ESCAPES}"), "B=", "C==", "A=again", format!("{ESCAPES}=x"), "PATH=/bin",
        ]})),
        RegistryLie::BadVariable => of(json!({"Env": [ESCAPES.replace('=', "")]})),
        RegistryLie::OddUser => of(json!({"User": format!("root{ESCAPES}")})),
        RegistryLie::OddFolder => of(json!({"WorkingDir": format!("../../../{ESCAPES}")})),
        RegistryLie::HugeCommand => of(json!({"Entrypoint": ["A".repeat(200_000)]})),
        RegistryLie::LongHistory => {
            let mut document = config(&layers);
            let step = json!({"created_by": format!("{ESCAPES}{}", "H".repeat(250))});
            document["history"] = vec![step; 8000].into();
            document
        }
        RegistryLie::ManyLabels => {
            let many = |value: Value| -> Value {
                let named = (1..5000).map(|number| (format!("{number}"), value.clone()));
                named.collect::<serde_json::Map<_, _>>().into()
            };
            of(json!({"Labels": many("x".into()), "ExposedPorts": many(json!({}))}))
        }
        RegistryLie::LabelsInText => {
            of(json!({"Labels": {ESCAPES: ESCAPES}, "Cmd": [ESCAPES], "Entrypoint": [ESCAPES]}))
        }
        RegistryLie::OddPlatform => {
            let mut document = config(&layers);
            document["os"] = ESCAPES.into();
            document["architecture"] = ESCAPES.repeat(100).into();
            document
        }
        RegistryLie::FewerLayers => config(&[]),
        RegistryLie::DeepConfig => {
            let deep = format!("{{\"a\":{}", "{\"a\":".repeat(300_000));
            return TestImage::of(&layers, deep.as_bytes());
        }
        other => panic!("{other:?} is none of a configuration's"),
    };
    TestImage::of(&layers, document.to_string().as_bytes())
}
