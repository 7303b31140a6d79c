-- Times are milliseconds since the Unix epoch. Sizes are bytes unless the name says otherwise.

CREATE TABLE vms (
    id             TEXT PRIMARY KEY NOT NULL,
    name           TEXT NOT NULL UNIQUE,
    state          TEXT NOT NULL
                   CHECK (state IN ('created', 'starting', 'running', 'stopping', 'stopped', 'error')),
    reason         TEXT,
    image          TEXT NOT NULL,
    image_digest   TEXT NOT NULL,
    kernel         TEXT NOT NULL,
    kernel_version TEXT NOT NULL,
    vcpu           INTEGER NOT NULL CHECK (vcpu > 0),
    memory_mib     INTEGER NOT NULL CHECK (memory_mib > 0),
    disk_size      INTEGER NOT NULL CHECK (disk_size >= 0),
    network        TEXT NOT NULL CHECK (network IN ('none', 'user')),
    env            TEXT NOT NULL CHECK (json_valid(env)),
    ephemeral      INTEGER NOT NULL CHECK (ephemeral IN (0, 1)),
    vmm            TEXT NOT NULL,
    vmm_reason     TEXT NOT NULL,
    machine_id     TEXT NOT NULL,
    boot_id        TEXT,
    created_at     INTEGER NOT NULL,
    started_at     INTEGER
) STRICT;

CREATE INDEX vms_by_creation ON vms (created_at, id);

-- `vm` refers to no row: what was done to a VM is told after the VM is gone.
CREATE TABLE operations (
    id         TEXT PRIMARY KEY NOT NULL,
    kind       TEXT NOT NULL,
    vm         TEXT,
    state      TEXT NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'cancelled')),
    error      TEXT CHECK (error IS NULL OR json_valid(error)),
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    CHECK ((state = 'running') = (ended_at IS NULL))
) STRICT;

CREATE INDEX operations_by_start ON operations (started_at, id);

CREATE TABLE images (
    name       TEXT PRIMARY KEY NOT NULL,
    digest     TEXT NOT NULL,
    kernel     TEXT NOT NULL,
    bytes      INTEGER NOT NULL CHECK (bytes >= 0),
    entries    INTEGER NOT NULL CHECK (entries >= 0),
    source     TEXT NOT NULL CHECK (json_valid(source)),
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE kernels (
    name       TEXT PRIMARY KEY NOT NULL,
    version    TEXT NOT NULL,
    bytes      INTEGER NOT NULL CHECK (bytes >= 0),
    source     TEXT NOT NULL CHECK (json_valid(source)),
    created_at INTEGER NOT NULL
) STRICT;
