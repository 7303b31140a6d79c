//! Published catalogs that mean no good.

use serde_json::{Value, json};

use super::RegistryLie;
use super::bundles::Bundles;
use super::server::{Asked, Places, Reply, json as told, response};
use crate::hostile::ESCAPES;

/// What is told in the place of the catalog.
pub(super) fn answer(lie: RegistryLie, asked: &Asked, places: &Places, bundles: &Bundles) -> Option<Reply> {
    let to = |location: &str| response(302, &[("location", location)], b"");
    // Both entries alike: a lie is about whichever is asked for.
    let with = |change: &dyn Fn(&mut Value)| {
        let mut catalog = bundles.catalog.clone();
        change(&mut catalog["images"][0]);
        change(&mut catalog["kernels"][0]);
        told(catalog.to_string().as_bytes())
    };
    let with_url = |url: &str| with(&|entry| entry["bundle"]["url"] = url.into());
    Some(Reply::lie(match lie {
        RegistryLie::CatalogNotJson => told(format!("<html>{ESCAPES}").as_bytes()),
        RegistryLie::CatalogDeep => told(&b"[".repeat(3_000_000)),
        RegistryLie::CatalogHuge => {
            let mut catalog = bundles.catalog.to_string();
            catalog.push_str(&" ".repeat(17 << 20));
            told(catalog.as_bytes())
        }
        RegistryLie::CatalogMany => {
            let mut catalog = bundles.catalog.clone();
            let entry = &bundles.catalog["images"][0];
            let entries = (0..20_000).map(|number| {
                let mut entry = entry.clone();
                entry["name"] = format!("boxed-{number}").into();
                entry
            });
            catalog["images"] = entries.collect::<Vec<_>>().into();
            told(catalog.to_string().as_bytes())
        }
        RegistryLie::CatalogDots => with(&|entry| entry["name"] = "../../evil".into()),
        RegistryLie::CatalogText => with(&|entry| entry["description"] = ESCAPES.into()),
        RegistryLie::CatalogKey => with(&|entry| entry[ESCAPES] = ESCAPES.into()),
        RegistryLie::CatalogToFile => with_url("file:///etc/passwd"),
        RegistryLie::CatalogPath => with_url("../../../etc/passwd"),
        RegistryLie::CatalogSize => with(&|entry| entry["bundle"]["size"] = json!(1_u64 << 60)),
        RegistryLie::CatalogSum => with(&|entry| entry["bundle"]["sha256"] = ESCAPES.into()),
        RegistryLie::CatalogTwice => {
            let mut catalog = bundles.catalog.clone();
            for kind in ["images", "kernels"] {
                catalog[kind] = vec![catalog[kind][0].clone(); 2].into();
            }
            told(catalog.to_string().as_bytes())
        }
        RegistryLie::CatalogFuture => {
            let mut catalog = bundles.catalog.clone();
            catalog["schema_version"] = json!(2);
            told(catalog.to_string().as_bytes())
        }
        RegistryLie::CatalogSigned => with(&|entry| entry["bundle"]["signature"] = "evil".into()),
        RegistryLie::CatalogElsewhere => with(&|entry| {
            let url = entry["bundle"]["url"].as_str().unwrap_or_default().to_owned();
            entry["bundle"]["url"] = format!("http://{}/{url}", places.elsewhere).into();
        }),
        RegistryLie::CatalogLoop => to(asked.path()),
        RegistryLie::CatalogRedirectToFile => to("file:///etc/passwd"),
        RegistryLie::CatalogWantsLogin => {
            response(401, &[("www-authenticate", "Basic realm=\"catalog\"")], b"")
        }
        RegistryLie::CatalogRefusal => response(403, &[], ESCAPES.as_bytes()),
        _ => return None,
    }))
}
