-- Shares of an image that have each colour name: one byte for each name, in half per cents. NULL in rows of older
-- versions, which the next `add` measures again.
ALTER TABLE feature ADD COLUMN color_shares BLOB;
