-- Very small versions of pictures, which show whether two pictures are the same one: luma of 32 × 32 cells, then a* and
-- b* of 8 × 8 cells as signed bytes. A table of its own, because filters read the table `feature` from end to end.
CREATE TABLE miniature (
    image INTEGER PRIMARY KEY REFERENCES image ON DELETE CASCADE,
    cells BLOB NOT NULL CHECK (length(cells) = 1152)
) STRICT;
