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
