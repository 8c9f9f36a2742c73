-- +goose Up
-- Bytes of the id in a URL if it is long (see longid.go), else 0: the creation of a variant checks these
-- rows for URLs that would be too long. Rows of earlier releases have 0.
ALTER TABLE images ADD COLUMN long_id INTEGER NOT NULL DEFAULT 0;
CREATE INDEX images_long_id ON images (account, long_id) WHERE long_id > 0;
