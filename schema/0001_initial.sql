-- The index: what was found where, what it is, and what the models make of it.
--
-- Paths are bytes, relative to their root, with `/` between the parts. Times are nanoseconds (`*_ns`) or
-- milliseconds (`*_at`, `*_since`) since 1970. Everything derived from these tables lives outside the database and
-- can be deleted.

-- A directory that was given to `add`.
CREATE TABLE root (
    id          INTEGER PRIMARY KEY,
    path        BLOB    NOT NULL UNIQUE,                    -- absolute
    recursive   INTEGER NOT NULL CHECK (recursive IN (0, 1)), -- 0: only files of it that were given one by one
    device      INTEGER NOT NULL,                           -- where it was when last seen: the number of the
    file_system INTEGER NOT NULL,                           -- device, and the identity of the file system on it
    state       TEXT    NOT NULL CHECK (state IN ('online', 'offline')),
    scanned_at  INTEGER NOT NULL
) STRICT;

-- A content, stored once however many files hold it, whether or not it can be decoded.
CREATE TABLE image (
    id          INTEGER PRIMARY KEY,
    hash        BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32), -- BLAKE3
    bytes       INTEGER NOT NULL,
    format      TEXT,                                       -- this and the following: NULL until it is decoded
    width       INTEGER,                                    -- upright
    height      INTEGER,                                    -- upright
    orientation INTEGER CHECK (orientation BETWEEN 1 AND 8),
    has_alpha   INTEGER CHECK (has_alpha IN (0, 1)),
    truncated   INTEGER CHECK (truncated IN (0, 1)),
    added_at    INTEGER NOT NULL
) STRICT;

-- A file, with the signature by which it is known to be unchanged.
CREATE TABLE file (
    id            INTEGER PRIMARY KEY,
    root          INTEGER NOT NULL REFERENCES root ON DELETE CASCADE,
    path          BLOB    NOT NULL,
    size          INTEGER NOT NULL,
    mtime_ns      INTEGER NOT NULL,
    ctime_ns      INTEGER NOT NULL,
    inode         INTEGER NOT NULL,
    read_at_ns    INTEGER NOT NULL,                         -- when its bytes were read
    missing_since INTEGER,                                  -- NULL: present
    image         INTEGER REFERENCES image,                 -- NULL: no picture, or it could not be read
    skipped       TEXT,                                     -- why it is no picture that can be indexed
    UNIQUE (root, path),
    CHECK (image IS NULL OR skipped IS NULL)
) STRICT;

CREATE INDEX file_image ON file (image) WHERE image IS NOT NULL;
CREATE INDEX file_missing ON file (missing_since) WHERE missing_since IS NOT NULL;

-- A model by the digest of its graph and spec.
CREATE TABLE model (
    id        INTEGER PRIMARY KEY,
    digest    BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    name      TEXT    NOT NULL,
    dimension INTEGER NOT NULL,
    pending   INTEGER NOT NULL DEFAULT 0,                   -- contents that it had no vector of when last counted
    codes     TEXT,                                         -- checksum of the file of codes that is derived from here
    added_at  INTEGER NOT NULL
) STRICT;

-- A model's vector of an image. Ids are never given twice and a vector is never changed in place, so the ids
-- order all changes: what is derived from these rows tells by an id how far it goes.
CREATE TABLE embedding (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    image    INTEGER NOT NULL REFERENCES image ON DELETE CASCADE,
    model    INTEGER NOT NULL REFERENCES model ON DELETE CASCADE,
    vector   BLOB    NOT NULL,                              -- unit length, little-endian half-precision floats
    checksum INTEGER NOT NULL,                              -- the first 8 bytes of the BLAKE3 of `vector`
    UNIQUE (image, model)
) STRICT;

CREATE INDEX embedding_model ON embedding (model);

CREATE TABLE label (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- The best classes that a model sees in an image; rank 0 is the best.
CREATE TABLE classification (
    image INTEGER NOT NULL REFERENCES image ON DELETE CASCADE,
    model INTEGER NOT NULL REFERENCES model ON DELETE CASCADE,
    rank  INTEGER NOT NULL,
    label INTEGER NOT NULL REFERENCES label,
    score REAL    NOT NULL,                                 -- softmax
    PRIMARY KEY (image, model, rank)
) STRICT, WITHOUT ROWID;

CREATE INDEX classification_label ON classification (label, score);

-- What could not be indexed: a content (then for all its files), or a path that could not even be read.
CREATE TABLE failure (
    id       INTEGER PRIMARY KEY,
    image    INTEGER REFERENCES image ON DELETE CASCADE,
    model    INTEGER REFERENCES model ON DELETE CASCADE,    -- NULL: it fails with any model
    root     INTEGER REFERENCES root ON DELETE CASCADE,
    path     BLOB,
    stage    TEXT    NOT NULL CHECK (stage IN ('scan', 'read', 'decode', 'embed')),
    reason   TEXT    NOT NULL,
    attempts INTEGER NOT NULL,
    at       INTEGER NOT NULL,                              -- of the last attempt, milliseconds
    CHECK ((image IS NULL) = (path IS NOT NULL)),
    CHECK ((root IS NULL) = (path IS NULL))
) STRICT;

CREATE UNIQUE INDEX failure_image ON failure (image, ifnull(model, 0)) WHERE image IS NOT NULL;
CREATE UNIQUE INDEX failure_path ON failure (root, path) WHERE path IS NOT NULL;

CREATE TABLE setting (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
