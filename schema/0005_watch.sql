-- What watching needs to know of a root, and files by their inodes.

-- Which files of the root are looked at: the options of the last `add` of all of it, as JSON.
ALTER TABLE root ADD COLUMN scan TEXT NOT NULL DEFAULT '{}';

-- Files that were not found when the root was last scanned, too many at once to be believed: their rows are kept as
-- they are until they are back, or `prune` confirms that they are gone.
ALTER TABLE root ADD COLUMN vanished INTEGER NOT NULL DEFAULT 0;

-- Missing files of a content come first where one that has moved is looked for; a content may have very many copies.
DROP INDEX file_image;
CREATE INDEX file_image ON file (image, missing_since) WHERE image IS NOT NULL;

-- A file that is renamed keeps its inode.
CREATE INDEX file_inode ON file (inode) WHERE inode <> 0;
