//! Images: what VMs start from.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{BootWay, ImageKind};

/// An image that is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Image {
    /// sha256 of its root file system, 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How it came here.
    pub kind: ImageKind,
    /// Its full name in a registry, if it came from one.
    pub reference: Option<String>,
    /// The user's file, of one that is registered.
    #[serde(default)]
    pub file: Option<String>,
    /// Name of the kernel that boots it.
    pub kernel: String,
    /// How a VM boots it.
    #[serde(default)]
    pub boot: BootWay,
    /// sha256 of the archive that a VM's `/root` gets at its first start, if there is one.
    #[serde(default)]
    pub work_seed: Option<String>,
    /// What its root file system takes on the host, in bytes.
    pub bytes: u64,
    /// Files, folders and links in it.
    pub entries: u64,
    /// What it says about running it, if it says anything.
    pub config: Option<ImageConfig>,
    /// Names of the VMs that use it.
    pub vms: Vec<String>,
    /// When it was pulled or built.
    pub created_at: Timestamp,
}

/// What a container image says about running it. Fields that it leaves out are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ImageConfig {
    /// `NAME=VALUE`, by name.
    pub env: Vec<String>,
    /// What is run; `cmd` are then its arguments.
    pub entrypoint: Vec<String>,
    /// The command, or the entry point's arguments.
    pub cmd: Vec<String>,
    /// `user`, `uid`, `user:group`, `uid:gid`, or nothing for root.
    pub user: String,
    /// An absolute path, or nothing.
    pub working_dir: String,
    /// Ports that it listens on: `80/tcp`.
    pub exposed_ports: Vec<String>,
}

/// How to log in to a registry. Sent with the call that needs it and never stored; it does not show in debug output.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RegistryLogin {
    /// User and password.
    Password {
        /// The user.
        user: String,
        /// The password, or a token in its place.
        password: String,
    },
    /// A token that is exchanged for others.
    IdentityToken(String),
}

impl fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistryLogin(…)")
    }
}

/// How an image's registry is spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct RegistryAccess {
    /// Without TLS.
    pub plain_http: bool,
    /// As whom; as nobody if none.
    pub login: Option<RegistryLogin>,
    /// As whom to its mirrors, by their hosts; as nobody to those that are not there.
    pub mirror_logins: BTreeMap<String, RegistryLogin>,
    /// Hosts of token servers that a login may go to beside the host it is for, by that host. Others get no login.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub realms: BTreeMap<String, Vec<String>>,
}

/// Body of `POST /v1/images`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PullImage {
    /// A name of the catalog, or `[HOST[:PORT]/]REPOSITORY[:TAG][@sha256:…]`.
    pub reference: String,
    /// Name to give it; the last part of the repository if none. A catalog image keeps its own.
    #[serde(default)]
    pub name: Option<String>,
    /// Kernel that boots it; the default image's if none.
    #[serde(default)]
    pub kernel: Option<String>,
    /// How the registry is spoken to.
    #[serde(default)]
    pub registry: RegistryAccess,
}

/// Body of `POST /v1/images/{name}/register`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RegisterImage {
    /// Absolute path of the root file system on the daemon's host: EROFS or ext4, as it is.
    pub rootfs: String,
    /// Kernel that boots it; the default image's if none.
    #[serde(default)]
    pub kernel: Option<String>,
    /// How a VM boots it. `direct` needs an ext4, and a kernel with an initrd.
    #[serde(default)]
    pub boot: BootWay,
    /// Absolute path of a tar or an ext4 on the daemon's host: what `/root` of a VM gets at its first start. It is
    /// copied.
    #[serde(default)]
    pub work_seed: Option<String>,
}

/// Body of `POST /v1/images/{name}/build`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BuildImage {
    /// The recipe, TOML: docs/image-catalog.md.
    pub recipe: String,
    /// What the recipe is called in messages: its file's name.
    #[serde(default)]
    pub file: Option<String>,
    /// Kernel that boots it; the default image's if none.
    #[serde(default)]
    pub kernel: Option<String>,
}

/// What the body of `PUT /v1/images/{name}` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum UploadFormat {
    /// What `docker save` writes, compressed or not.
    DockerArchive,
    /// A tar of an OCI layout, compressed or not: `oci-layout`, `index.json`, `blobs/sha256/…`.
    OciLayout,
}

/// Query of `PUT /v1/images/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadImage {
    /// What the body is.
    pub format: UploadFormat,
    /// Which image: a tag of a layout; a name in a docker archive, or `@0` for the first. Not needed where there is one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Kernel that boots it; the default image's if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
}

/// What `DELETE /v1/cache` removed, or would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pruned {
    /// Layers and configurations of container images, with those that came in part.
    pub blobs: u64,
    /// Root file systems that no image and no VM uses.
    pub file_systems: u64,
    /// Versions of kernels that no name leads to any more and no VM uses.
    #[serde(default)]
    pub kernels: u64,
    /// Bytes that all of them take on the disk.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_never_shows_in_debug_output() {
        let access = RegistryAccess {
            plain_http: false,
            login: Some(RegistryLogin::Password {
                user: "ada".into(),
                password: "geheim".into(),
            }),
            mirror_logins: [(
                "mirror.example".to_owned(),
                RegistryLogin::IdentityToken("geheim".into()),
            )]
            .into(),
            realms: [("mirror.example".to_owned(), vec!["auth.example".to_owned()])].into(),
        };
        assert!(!format!("{access:?}").contains("geheim"));
        let sent = serde_json::to_string(&access).unwrap();
        assert_eq!(serde_json::from_str::<RegistryAccess>(&sent).unwrap(), access);
    }
}
