//! The calls of the host API: what each takes and gives. The types are `api`'s and `guest`'s own.

use api::{
    Booted, BuildImage, CatalogKernel, CreateVm, Event, GuestPorts, Image, Kernel, KillVm, Notice, Operation,
    Pong, Pruned, PullImage, PullKernel, RegisterImage, Report, SetVm, Space, SshAccess, SshFiles,
    UploadFormat, Version, Vm, VmStats,
};
use guest::files::Written;
use guest::{Exec, Forward};

use super::schemas::{Schema, of};
use Gives::{Bytes, Json, Lines, Made, Status, Text, Upgrade};

/// A method of a path.
pub struct Call {
    pub method: &'static str,
    pub path: &'static str,
    /// `operationId`: a verb and its object.
    pub id: &'static str,
    /// One line.
    pub summary: &'static str,
    pub query: &'static [Query],
    pub takes: Takes,
    pub gives: Gives,
}

/// A parameter behind the `?`.
pub struct Query {
    pub name: &'static str,
    pub required: bool,
    pub schema: QueryType,
    pub about: &'static str,
}

pub enum QueryType {
    Flag,
    Text,
    OneOf(&'static [&'static str]),
    Typed(Schema),
}

/// The request's body.
pub enum Takes {
    Nothing,
    Json(Schema),
    /// Nothing is as good as an empty object.
    JsonOrNothing(Schema),
    Bytes(&'static str),
}

/// The answer where nothing fails.
pub enum Gives {
    Json(Schema),
    /// 201 with it.
    Made(Schema),
    /// 202 with the operation, or its events where the request accepts NDJSON.
    Operation,
    /// A JSON value a line.
    Lines(Schema),
    Text,
    Bytes(&'static str),
    /// 101, and then another protocol.
    Upgrade(&'static str),
    /// A status without a body.
    Status(u16, &'static str),
}

const fn get(path: &'static str, id: &'static str, summary: &'static str, gives: Gives) -> Call {
    call("get", path, id, summary, Takes::Nothing, gives)
}

const fn call(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    takes: Takes,
    gives: Gives,
) -> Call {
    Call {
        method,
        path,
        id,
        summary,
        query: &[],
        takes,
        gives,
    }
}

impl Call {
    const fn with(self, query: &'static [Query]) -> Self {
        Self { query, ..self }
    }
}

const fn flag(name: &'static str, about: &'static str) -> Query {
    Query {
        name,
        required: false,
        schema: QueryType::Flag,
        about,
    }
}

const fn text(name: &'static str, required: bool, about: &'static str) -> Query {
    Query {
        name,
        required,
        schema: QueryType::Text,
        about,
    }
}

const fn one_of(name: &'static str, words: &'static [&'static str], about: &'static str) -> Query {
    Query {
        name,
        required: false,
        schema: QueryType::OneOf(words),
        about,
    }
}

const TAR: &str = "application/x-tar";
const VM: &str = "/v1/vms/{reference}";
const IMAGE: &str = "/v1/images/{reference}";
const KERNEL: &str = "/v1/kernels/{name}";

/// All of them, in the order to read them.
#[rustfmt::skip]
pub const CALLS: &[Call] = &[
    get("/v1/version", "version", "The daemon: its version, its process and where it lies.", Json(of::<Version>)),
    get("/v1/doctor", "doctor", "What of the host is in order and what is not.", Json(of::<Report>)),
    get("/v1/df", "df", "What takes space on the host's disk, and what of it could go.", Json(of::<Space>)),
    get("/v1/events", "listen", "What happens to VMs and operations from now on, until the client leaves.",
        Lines(of::<Notice>)),
    get("/v1/vms", "list_vms", "All VMs, oldest first.", Json(of::<Vec<Vm>>)),
    call("post", "/v1/vms", "create_vm",
        "Make a VM, and start it where the request says so. Closing a stream of events before the end cancels it.",
        Takes::Json(of::<CreateVm>), Gives::Operation),
    get(VM, "show_vm", "One VM.", Json(of::<Vm>)),
    call("patch", VM, "set_vm", "Change the shape of a VM.", Takes::Json(of::<SetVm>), Gives::Operation),
    call("delete", VM, "delete_vm", "Delete a VM and its disk, in whatever state.", Takes::Nothing, Gives::Operation)
        .with(&[flag("idle", "Spare a VM that runs or is worked on.")]),
    call("post", "/v1/vms/{reference}/start", "start_vm",
        "Start a VM; fine if it runs. Closing a stream of events before the end cancels it.", Takes::Nothing,
        Gives::Operation),
    call("post", "/v1/vms/{reference}/stop", "stop_vm", "Shut a VM down in order.", Takes::Nothing, Gives::Operation),
    call("post", "/v1/vms/{reference}/restart", "restart_vm", "Shut a VM down and start it anew.", Takes::Nothing,
        Gives::Operation),
    call("post", "/v1/vms/{reference}/kill", "kill_vm", "End a VM's machine by a signal.",
        Takes::JsonOrNothing(of::<KillVm>), Gives::Operation),
    get("/v1/vms/{reference}/ping", "ping_vm", "Ask the agent of a running VM.", Json(of::<Pong>)),
    get("/v1/vms/{reference}/stats", "vm_stats", "What a VM uses now.", Json(of::<VmStats>)),
    get("/v1/vms/{reference}/boot", "wait_for_boot", "Wait until the image's init has finished booting.",
        Json(of::<Booted>)),
    call("post", "/v1/vms/{reference}/exec", "exec",
        "Run a command in a VM: the connection becomes frames of its streams, both ways.", Takes::Json(of::<Exec>),
        Upgrade(guest::UPGRADE_EXEC)),
    call("post", "/v1/vms/{reference}/forward", "forward",
        "Connect to a port that the guest can reach: the connection becomes its bytes, or datagrams with their \
         lengths.", Takes::Json(of::<Forward>), Upgrade(guest::UPGRADE_FORWARD)),
    get("/v1/vms/{reference}/ports", "vm_ports", "What listens in the guest, and where the host has it.",
        Json(of::<GuestPorts>)),
    get("/v1/vms/{reference}/files", "read_files", "A file or a folder of the guest as a tar stream.",
        Bytes(TAR)).with(&[
        text("path", true,
            "What to read; bytes, percent-encoded. `…/.` means what is in a folder, without the folder."),
        flag("follow", "Where the path is a link, read what it leads to."),
        flag("archive", "Send extended attributes, and times to the nanosecond."),
    ]),
    call("put", "/v1/vms/{reference}/files", "write_files", "Put a tar stream into the guest.", Takes::Bytes(TAR),
        Json(of::<Written>)).with(&[
        text("path", true, "Where to; bytes, percent-encoded."),
        one_of("placement", &["inside", "copy"],
            "`inside`: the entries go into the folder `path`. `copy`: the stream holds one tree, which is put there \
             as `docker cp` would."),
        flag("archive", "Keep owners, set-id bits and extended attributes. Otherwise all becomes root's."),
    ]),
    get("/v1/vms/{reference}/logs", "vm_logs", "The newest part of a log.", Text).with(&[
        one_of("source", &["console", "vmm"], "The serial console, or what the VMM itself printed."),
        flag("follow", "Go on with what is printed until the VM stops."),
    ]),
    get("/v1/vms/{reference}/ssh", "ssh_access", "What an ssh client needs to get into a VM.", Json(of::<SshAccess>)),
    call("post", "/v1/vms/{reference}/ssh", "ssh",
        "Connect to the guest's sshd: the connection becomes the SSH protocol. The body is any JSON value.",
        Takes::Json(of::<serde_json::Value>), Upgrade(guest::UPGRADE_SSH)),
    get("/v1/ssh", "ssh_files", "The files that an ssh client is pointed to.", Json(of::<SshFiles>)),
    get("/v1/images", "list_images", "The images that are here.", Json(of::<Vec<Image>>)),
    call("post", "/v1/images", "pull_image",
        "Pull an image from a registry, or fetch or build one of the catalog. Closing a stream of events before the \
         end cancels it.", Takes::Json(of::<PullImage>), Gives::Operation),
    get(IMAGE, "show_image", "One image, by its name, or its full name in a registry.", Json(of::<Image>)),
    call("put", IMAGE, "upload_image", "Make an image of an archive; `reference` is the name that it gets.",
        Takes::Bytes("application/octet-stream"), Gives::Operation).with(&[
        Query { name: "format", required: true, schema: QueryType::Typed(of::<UploadFormat>),
            about: "What the body is." },
        text("tag", false, "Which image of the archive, where it holds several."),
        text("kernel", false, "Kernel that boots it; the default image's if left out."),
    ]),
    call("delete", IMAGE, "delete_image", "Delete an image that no VM uses.", Takes::Nothing, Status(204,
        "It is gone.")),
    call("post", "/v1/images/{reference}/register", "register_image",
        "Make an image of a file of the host, which stays where it is; `reference` is the name that it gets.",
        Takes::Json(of::<RegisterImage>), Gives::Operation),
    call("post", "/v1/images/{reference}/promote", "promote_image",
        "Copy the file of a registered image to where images lie.", Takes::Nothing, Gives::Operation),
    call("post", "/v1/images/{reference}/build", "build_image",
        "Build an image by a recipe; `reference` is the name that it gets. One that was built under that name before \
         is replaced.", Takes::Json(of::<BuildImage>), Gives::Operation),
    get("/v1/images/{reference}/bundle", "export_image", "One image as a bundle, for a catalog to publish.",
        Bytes("application/zstd")),
    get("/v1/kernels", "list_kernels", "The kernels that are here.", Json(of::<Vec<Kernel>>)),
    call("post", "/v1/kernels", "pull_kernel",
        "Fetch a kernel of the catalog. Closing a stream of events before the end cancels it.",
        Takes::Json(of::<PullKernel>), Gives::Operation),
    get(KERNEL, "show_kernel", "One kernel.", Json(of::<Kernel>)),
    call("put", KERNEL, "import_kernel",
        "Make a kernel of the files of a tar stream: `vmlinux`, `initrd.img` if it has one of its own, in `modules/` what \
         `/lib/modules/VERSION` holds.", Takes::Bytes(TAR), Made(of::<Kernel>))
        .with(&[text("distro", false, "The distribution that it is from, 1 to 63 of `[a-z0-9-]`.")]),
    call("delete", KERNEL, "delete_kernel", "Delete a kernel that no image and no VM uses.", Takes::Nothing,
        Status(204, "It is gone.")),
    get("/v1/catalog/kernels", "list_catalog_kernels", "The kernels that the catalog has.",
        Json(of::<Vec<CatalogKernel>>)),
    call("delete", "/v1/cache", "prune_cache", "Delete layers and root file systems that nothing uses.",
        Takes::Nothing, Json(of::<Pruned>))
        .with(&[flag("dry_run", "Only tell what would go.")]),
    get("/v1/operations", "list_operations", "Operations under way, and the last that ended.",
        Json(of::<Vec<Operation>>)),
    get("/v1/operations/{id}", "show_operation", "One operation.", Json(of::<Operation>)),
    call("delete", "/v1/operations/{id}", "cancel_operation", "Ask an operation to end and to undo what it did.",
        Takes::Nothing, Status(202, "It was asked to; its events tell when it has.")),
    get("/v1/operations/{id}/events", "follow_operation",
        "An operation's events, from the first one until its end.", Lines(of::<Event>)),
];
