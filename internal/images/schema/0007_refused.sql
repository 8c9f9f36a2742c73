-- +goose Up
-- SHA-256 in hex of the last body that a one-time URL refused because of its content, so that a client's
-- repeats of it count once. Null or empty: no such body, or one that a retry may accept. A release without
-- the column counts each repeat.
ALTER TABLE images ADD COLUMN refused_sha256 TEXT;
