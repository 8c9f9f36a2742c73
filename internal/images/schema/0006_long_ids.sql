-- +goose Up
-- Bytes of the id in a URL where they are many (see longid.go), else 0: the rows among which a new
-- variant looks for one whose URLs would be too long. Rows of earlier releases have 0.
ALTER TABLE images ADD COLUMN long_id INTEGER NOT NULL DEFAULT 0;
CREATE INDEX images_long_id ON images (account, long_id) WHERE long_id > 0;
