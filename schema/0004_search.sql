-- Searching by kind, words, colour and date, and pairs of pictures that are no duplicates.

-- Derived, and measured again by the next `add`: there are more columns.
DROP TABLE feature;

-- What an image looks like, measured by version `version` of the program's own rules. Columns of a stage that there
-- was no time for are NULL.
CREATE TABLE feature (
    image             INTEGER PRIMARY KEY REFERENCES image ON DELETE CASCADE,
    version           INTEGER NOT NULL,
    stage             TEXT    NOT NULL CHECK (stage IN ('quick', 'medium', 'full')),
    aspect_ratio      REAL    NOT NULL,
    unique_colors     INTEGER NOT NULL,
    palette_size      INTEGER NOT NULL,
    shades            INTEGER NOT NULL,
    flat_fraction     REAL    NOT NULL,
    smooth_fraction   REAL    NOT NULL,
    edge_fraction     REAL    NOT NULL,
    gradient_fraction REAL    NOT NULL,
    dominant_colors   BLOB    NOT NULL,                     -- of each L*, a*, b*, share: little-endian single floats
    dhash             INTEGER NOT NULL,                     -- 64 bits
    phash             INTEGER NOT NULL,                     -- 64 bits
    type              TEXT,                                 -- NULL if there was no time for the next stage
    type_confidence   REAL,                                 -- 0 to 1
    entropy           REAL,                                 -- this and the following: from stage medium on
    brightness        REAL,
    contrast          REAL,
    fill_ratio        REAL,
    foreground_flat   REAL,
    shapes            INTEGER,
    glyphs            INTEGER,
    edge_density      REAL,                                 -- this and the following: stage full
    corner_density    REAL,
    gradient_strength REAL,
    sharpness         REAL,
    complexity_score  REAL
) STRICT;

CREATE INDEX feature_type ON feature (type);

-- When the camera took it, by the camera's own clock: `YYYY-MM-DD HH:MM:SS`. NULL if the file does not say.
ALTER TABLE image ADD COLUMN taken TEXT;

-- The words in the paths of files, below their roots; a row for each row of `file`.
CREATE VIRTUAL TABLE path_word USING fts5 (
    words, content = '', contentless_delete = 1, tokenize = 'porter unicode61 remove_diacritics 2'
);

INSERT INTO path_word (rowid, words) SELECT id, CAST(path AS TEXT) FROM file;

CREATE TRIGGER file_added AFTER INSERT ON file BEGIN
    INSERT INTO path_word (rowid, words) VALUES (new.id, CAST(new.path AS TEXT));
END;

CREATE TRIGGER file_renamed AFTER UPDATE OF path ON file BEGIN
    DELETE FROM path_word WHERE rowid = old.id;
    INSERT INTO path_word (rowid, words) VALUES (new.id, CAST(new.path AS TEXT));
END;

CREATE TRIGGER file_removed AFTER DELETE ON file BEGIN
    DELETE FROM path_word WHERE rowid = old.id;
END;

-- Contents that somebody has said are no duplicates of each other; of one content with itself: its copies are wanted.
CREATE TABLE dismissal (
    a  BLOB    NOT NULL CHECK (length(a) = 32),             -- BLAKE3 of the contents, which need not be in the index
    b  BLOB    NOT NULL CHECK (length(b) = 32),
    at INTEGER NOT NULL,                                    -- milliseconds
    PRIMARY KEY (a, b),
    CHECK (a <= b)
) STRICT, WITHOUT ROWID;
