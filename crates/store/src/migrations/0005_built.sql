-- Images that were built by a recipe of the user's. The column's list of kinds cannot be changed in place.
CREATE TABLE images_of_all_kinds (
    name       TEXT PRIMARY KEY NOT NULL,
    digest     TEXT NOT NULL,
    kernel     TEXT NOT NULL,
    bytes      INTEGER NOT NULL CHECK (bytes >= 0),
    entries    INTEGER NOT NULL CHECK (entries >= 0),
    source     TEXT NOT NULL CHECK (json_valid(source)),
    created_at INTEGER NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('catalog', 'oci', 'registered', 'promoted', 'built')),
    reference  TEXT,
    config     TEXT CHECK (config IS NULL OR json_valid(config)),
    path       TEXT,
    CHECK ((kind = 'registered') = (path IS NOT NULL))
) STRICT;
INSERT INTO images_of_all_kinds (name, digest, kernel, bytes, entries, source, created_at, kind, reference, config, path)
    SELECT name, digest, kernel, bytes, entries, source, created_at, kind, reference, config, path FROM images;
DROP TABLE images;
ALTER TABLE images_of_all_kinds RENAME TO images;
CREATE INDEX images_by_reference ON images (reference);
CREATE INDEX images_by_digest ON images (digest);
