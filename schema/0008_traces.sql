-- The best drawing that was found for each content that was traced, and what later traces learn from.

CREATE TABLE trace (
    id           INTEGER PRIMARY KEY,
    hash         BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),  -- of the content, which need not be that of an image
    version      INTEGER NOT NULL,                                   -- of the tracer: drawings of others are made again
    tier         INTEGER NOT NULL CHECK (tier BETWEEN 0 AND 2),      -- 0 fast, 1 balanced, 2 quality
    complete     INTEGER NOT NULL CHECK (complete IN (0, 1)),        -- 0 if there was no time for all that the tier tries
    milliseconds INTEGER NOT NULL,                                   -- that it took
    tried        INTEGER NOT NULL,                                   -- drawings that were compared
    type         TEXT,                                               -- of the picture
    facts        TEXT    NOT NULL,                                   -- JSON: what the drawing depends on
    parameters   TEXT    NOT NULL,                                   -- JSON: how it was made
    candidates   TEXT    NOT NULL,                                   -- JSON: score of each candidate, null if it was not tried
    score        REAL    NOT NULL,
    ssimulacra2  REAL    NOT NULL,
    ssim         REAL    NOT NULL,
    shapes       INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,                                   -- of the SVG
    svg          BLOB    NOT NULL,                                   -- deflated (RFC 1951)
    traced_at    INTEGER NOT NULL                                    -- milliseconds
) STRICT;
