-- +goose Up
-- SHA-256 in hex of the last body that a one-time URL refused for its content, so that a client's own
-- repeats of it count once. Null or empty: none, or one that another try may take. A release that does
-- not know of it counts each repeat.
ALTER TABLE images ADD COLUMN refused_sha256 TEXT;
