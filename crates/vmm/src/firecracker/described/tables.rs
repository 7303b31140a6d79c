//! What releases take, by upstream's descriptions of the API: the requests that are sent here or could be, with every
//! field of each body, so that one that is not listed is one that the release refuses.

use Kind::{Body, Flag, Number, Text, Unused, Word};

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Text,
    Number,
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    Body(&'static [Field]),
    /// What is never sent here, whatever it holds.
    Unused,
}

/// A field: its name, what it holds, and whether a request without it is refused.
pub(super) type Field = (&'static str, Kind, bool);

/// A request: method, path (`*` stands for an id), and its body's fields.
pub(super) type Request = (&'static str, &'static str, &'static [Field]);

const TOKEN_BUCKET: &[Field] = &[
    ("one_time_burst", Number, false),
    ("refill_time", Number, true),
    ("size", Number, true),
];
const RATE_LIMITER: &[Field] = &[
    ("bandwidth", Body(TOKEN_BUCKET), false),
    ("ops", Body(TOKEN_BUCKET), false),
];
const MEMORY_BACKEND: &[Field] = &[
    ("backend_type", Word(&["File", "Uffd"]), true),
    ("backend_path", Text, true),
];
const MACHINE_CONFIG: Request = (
    "PUT",
    "/machine-config",
    &[
        ("cpu_template", Unused, false),
        ("huge_pages", Word(&["None", "2M"]), false),
        ("mem_size_mib", Number, true),
        ("smt", Flag, false),
        ("track_dirty_pages", Flag, false),
        ("vcpu_count", Number, true),
    ],
);
const BOOT_SOURCE: Request = (
    "PUT",
    "/boot-source",
    &[
        ("boot_args", Text, false),
        ("initrd_path", Text, false),
        ("kernel_image_path", Text, true),
    ],
);
const NEW_DRIVE: Request = (
    "PUT",
    "/drives/*",
    &[
        ("cache_type", Word(&["Unsafe", "Writeback"]), false),
        ("drive_id", Text, true),
        ("io_engine", Word(&["Sync", "Async"]), false),
        ("is_read_only", Flag, false),
        ("is_root_device", Flag, true),
        ("partuuid", Text, false),
        ("path_on_host", Text, false),
        ("rate_limiter", Body(RATE_LIMITER), false),
        ("socket", Text, false),
    ],
);
const CHANGED_DRIVE: Request = (
    "PATCH",
    "/drives/*",
    &[
        ("drive_id", Text, true),
        ("path_on_host", Text, false),
        ("rate_limiter", Body(RATE_LIMITER), false),
    ],
);
const VSOCK: Request = (
    "PUT",
    "/vsock",
    &[
        ("guest_cid", Number, true),
        ("uds_path", Text, true),
        ("vsock_id", Text, false),
    ],
);
const ENTROPY: Request = ("PUT", "/entropy", &[("rate_limiter", Body(RATE_LIMITER), false)]);
/// 1.16.0 adds `mtu`.
const NETWORK: Request = (
    "PUT",
    "/network-interfaces/*",
    &[
        ("guest_mac", Text, false),
        ("host_dev_name", Text, true),
        ("iface_id", Text, true),
        ("rx_rate_limiter", Body(RATE_LIMITER), false),
        ("tx_rate_limiter", Body(RATE_LIMITER), false),
    ],
);
const ACTION: Request = (
    "PUT",
    "/actions",
    &[(
        "action_type",
        Word(&["FlushMetrics", "InstanceStart", "SendCtrlAltDel"]),
        true,
    )],
);
const VM: Request = ("PATCH", "/vm", &[("state", Word(&["Paused", "Resumed"]), true)]);
const CREATE_SNAPSHOT: Request = (
    "PUT",
    "/snapshot/create",
    &[
        ("mem_file_path", Text, true),
        ("snapshot_path", Text, true),
        ("snapshot_type", Word(&["Full", "Diff"]), false),
    ],
);
/// What all supported releases have alike.
pub(super) const SAME: [Request; 10] = [
    MACHINE_CONFIG,
    BOOT_SOURCE,
    NEW_DRIVE,
    CHANGED_DRIVE,
    VSOCK,
    ENTROPY,
    NETWORK,
    ACTION,
    VM,
    CREATE_SNAPSHOT,
];

pub(super) const BALLOON_1_8: Request = (
    "PUT",
    "/balloon",
    &[
        ("amount_mib", Number, true),
        ("deflate_on_oom", Flag, true),
        ("stats_polling_interval_s", Number, false),
    ],
);
pub(super) const BALLOON_1_14: Request = (
    "PUT",
    "/balloon",
    &[
        ("amount_mib", Number, true),
        ("deflate_on_oom", Flag, true),
        ("stats_polling_interval_s", Number, false),
        ("free_page_hinting", Flag, false),
        ("free_page_reporting", Flag, false),
    ],
);
pub(super) const LOAD_1_8: Request = (
    "PUT",
    "/snapshot/load",
    &[
        ("enable_diff_snapshots", Flag, false),
        ("mem_backend", Body(MEMORY_BACKEND), false),
        ("mem_file_path", Text, false),
        ("resume_vm", Flag, false),
        ("snapshot_path", Text, true),
    ],
);
pub(super) const LOAD_1_12: Request = (
    "PUT",
    "/snapshot/load",
    &[
        ("enable_diff_snapshots", Flag, false),
        ("mem_backend", Body(MEMORY_BACKEND), false),
        ("mem_file_path", Text, false),
        ("network_overrides", Unused, false),
        ("resume_vm", Flag, false),
        ("snapshot_path", Text, true),
    ],
);
pub(super) const LOAD_1_14: Request = (
    "PUT",
    "/snapshot/load",
    &[
        ("clock_realtime", Flag, false),
        ("enable_diff_snapshots", Flag, false),
        ("mem_backend", Body(MEMORY_BACKEND), false),
        ("mem_file_path", Text, false),
        ("network_overrides", Unused, false),
        ("resume_vm", Flag, false),
        ("snapshot_path", Text, true),
        ("track_dirty_pages", Flag, false),
    ],
);
pub(super) const LOAD_1_16: Request = (
    "PUT",
    "/snapshot/load",
    &[
        ("clock_realtime", Flag, false),
        ("enable_diff_snapshots", Flag, false),
        ("mem_backend", Body(MEMORY_BACKEND), false),
        ("mem_file_path", Text, false),
        ("network_overrides", Unused, false),
        ("resume_vm", Flag, false),
        ("snapshot_path", Text, true),
        ("track_dirty_pages", Flag, false),
        ("vsock_override", Unused, false),
    ],
);
