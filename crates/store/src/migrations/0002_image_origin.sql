-- Images from registries, layouts and archives: where they came from, and what they say about running them.
-- A VM keeps its image's configuration, since another image may get the name.

ALTER TABLE images ADD COLUMN kind TEXT NOT NULL DEFAULT 'catalog' CHECK (kind IN ('catalog', 'oci'));
ALTER TABLE images ADD COLUMN reference TEXT;
ALTER TABLE images ADD COLUMN config TEXT CHECK (config IS NULL OR json_valid(config));

CREATE INDEX images_by_reference ON images (reference);

ALTER TABLE vms ADD COLUMN image_config TEXT CHECK (image_config IS NULL OR json_valid(image_config));
