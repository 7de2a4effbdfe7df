-- Seal of the file of codes that the graph was built over, where that is an older one than `codes`: a graph takes
-- long to build, and is used with older codes until too much has changed.
ALTER TABLE model ADD COLUMN graph_codes TEXT;
