-- What an image looks like, measured by version `version` of the program's own rules. Columns of a stage that there
-- was no time for are NULL.
CREATE TABLE feature (
    image             INTEGER PRIMARY KEY REFERENCES image ON DELETE CASCADE,
    version           INTEGER NOT NULL,
    stage             TEXT    NOT NULL CHECK (stage IN ('quick', 'medium', 'full')),
    aspect_ratio      REAL    NOT NULL,
    unique_colors     INTEGER NOT NULL,
    palette_size      INTEGER NOT NULL,
    flat_fraction     REAL    NOT NULL,
    smooth_fraction   REAL    NOT NULL,
    edge_fraction     REAL    NOT NULL,
    dominant_colors   BLOB    NOT NULL,                     -- of each L*, a*, b*, share: little-endian single floats
    dhash             INTEGER NOT NULL,                     -- 64 bits
    phash             INTEGER NOT NULL,                     -- 64 bits
    entropy           REAL,                                 -- this and the following: from stage medium on
    brightness        REAL,
    contrast          REAL,
    fill_ratio        REAL,
    edge_density      REAL,                                 -- this and the following: stage full
    corner_density    REAL,
    gradient_strength REAL,
    sharpness         REAL,
    complexity_score  REAL
) STRICT;
