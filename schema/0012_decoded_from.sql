-- What of a file an image was decoded from: NULL for the whole picture, `preview` for the one in a raw file, `thumbnail`
-- for a thumbnail. All that is derived from a thumbnail is provisional: it is replaced once the whole picture is decoded.
ALTER TABLE image ADD COLUMN decoded_from TEXT;

UPDATE image SET decoded_from = 'preview' WHERE format = 'raw';

CREATE INDEX image_provisional ON image (id) WHERE decoded_from = 'thumbnail';
