-- +goose Up
-- What is removed from the originals of the account before they are stored: none, gps or all. A release without the
-- column stores them as they come.
ALTER TABLE accounts ADD COLUMN strip_originals TEXT NOT NULL DEFAULT 'none';
-- The names of what was removed from the original, separated by spaces; null if nothing was looked for.
ALTER TABLE images ADD COLUMN stripped TEXT;
-- SHA-256 of the bytes as they came, hex; null if the original is these bytes. A repeat of the request is recognized
-- by it.
ALTER TABLE images ADD COLUMN received_sha256 TEXT;
