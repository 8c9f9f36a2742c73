-- +goose Up
-- Lists by the prefix of the id, of which the index holds 128 characters, and of the file name, in byte
-- order.
CREATE INDEX images_prefix ON images (account, draft, (SUBSTR(id, 1, 128)) COLLATE BINARY, key);
CREATE INDEX images_filename ON images (account, filename COLLATE BINARY, key) WHERE draft = 0;
