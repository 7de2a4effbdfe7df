-- What pictures say of themselves.

-- Of a content: EXIF data, XMP packets and IPTC records in it, as version `version` of the program's own rules reads them.
CREATE TABLE metadata (
    image   INTEGER PRIMARY KEY REFERENCES image ON DELETE CASCADE,
    version INTEGER NOT NULL,
    said    TEXT                                            -- JSON; NULL if it says nothing
) STRICT;

-- Of XMP files beside pictures; each has a row of its own in `file`.
CREATE TABLE sidecar (
    file INTEGER PRIMARY KEY REFERENCES file ON DELETE CASCADE,
    said TEXT NOT NULL                                      -- JSON
) STRICT;

-- What holds for a picture file: what the XMP file beside it says, and what its content says of the rest. Files of which
-- nothing is said have no row. Derived from the two tables above, for filters and for the search of words.
CREATE TABLE description (
    file      INTEGER PRIMARY KEY REFERENCES file ON DELETE CASCADE,
    sidecar   INTEGER,                                      -- the XMP file that counts, in `file`
    camera    TEXT,
    lens      TEXT,
    latitude  REAL,                                         -- degrees
    longitude REAL,                                         -- degrees
    rating    INTEGER,                                      -- -1 to 5
    keywords  TEXT,                                         -- in lower case, each between line breaks
    words     TEXT                                          -- of title, description, keywords and names
) STRICT;

CREATE INDEX description_place ON description (latitude, longitude) WHERE latitude IS NOT NULL;
CREATE INDEX description_sidecar ON description (sidecar) WHERE sidecar IS NOT NULL;

-- The words of `description`; a row for each row that has any.
CREATE VIRTUAL TABLE said_word USING fts5 (
    words, content = '', contentless_delete = 1, tokenize = 'porter unicode61 remove_diacritics 2'
);

CREATE TRIGGER description_added AFTER INSERT ON description WHEN new.words IS NOT NULL BEGIN
    INSERT INTO said_word (rowid, words) VALUES (new.file, new.words);
END;

CREATE TRIGGER description_removed AFTER DELETE ON description WHEN old.words IS NOT NULL BEGIN
    DELETE FROM said_word WHERE rowid = old.file;
END;
