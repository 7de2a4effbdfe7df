-- How runs of `add` went, the last hundred.

CREATE TABLE run (
    id                INTEGER PRIMARY KEY,
    started_at        INTEGER NOT NULL,                     -- milliseconds
    seconds           REAL    NOT NULL,
    embedded          INTEGER NOT NULL,                     -- pictures that the model ran for
    images_per_second REAL    NOT NULL,
    peak_memory       INTEGER,                              -- bytes; NULL where the system does not tell
    report            TEXT    NOT NULL                      -- all counts and settings, as `add --json` tells them
) STRICT;

-- What `status` counts, without reading whole tables: of 100,000 files in a twentieth of a second.
CREATE INDEX file_present ON file (root) WHERE missing_since IS NULL AND image IS NOT NULL;
CREATE INDEX file_skipped ON file (skipped) WHERE skipped IS NOT NULL;
CREATE INDEX image_failed ON image (id) WHERE format IS NULL;
CREATE INDEX image_truncated ON image (id) WHERE truncated = 1;
DROP INDEX feature_type;
CREATE INDEX feature_type ON feature (version, type);
