-- +goose Up
-- The perceptual hash of the original, as a signed number: package phash. Null: a draft, an SVG, a picture of one tone,
-- or an image of a release without the column.
ALTER TABLE images ADD COLUMN phash BIGINT;
-- Near hashes are found by one of four bands of 16 bits: see internal/lookalikes. PostgreSQL uses the statistics of an
-- expression only if its index is not partial.
CREATE INDEX images_phash0 ON images (account, (phash & 65535), uploaded, key, phash);
CREATE INDEX images_phash1 ON images (account, ((phash >> 16) & 65535), uploaded, key, phash);
CREATE INDEX images_phash2 ON images (account, ((phash >> 32) & 65535), uploaded, key, phash);
CREATE INDEX images_phash3 ON images (account, ((phash >> 48) & 65535), uploaded, key, phash);
CREATE INDEX images_sha256 ON images (account, sha256, uploaded, key) WHERE sha256 IS NOT NULL;
CREATE INDEX images_received_sha256 ON images (account, received_sha256, uploaded, key)
    WHERE received_sha256 IS NOT NULL;

-- The pictures that an account refuses. A release without the table refuses none.
CREATE TABLE blocked (
    account  TEXT    NOT NULL REFERENCES accounts (id),
    value    TEXT    NOT NULL, -- SHA-256 or perceptual hash, hex
    phash    BIGINT,           -- the perceptual hash as a signed number; null for a SHA-256
    distance INTEGER NOT NULL, -- the largest one of a refused picture; 0 for a SHA-256
    note     TEXT    NOT NULL, -- of the account; '' for none
    created  BIGINT  NOT NULL,
    PRIMARY KEY (account, value)
);
CREATE INDEX blocked_list ON blocked (account, created, value);
CREATE INDEX blocked_phash0 ON blocked (account, (phash & 65535));
CREATE INDEX blocked_phash1 ON blocked (account, ((phash >> 16) & 65535));
CREATE INDEX blocked_phash2 ON blocked (account, ((phash >> 32) & 65535));
CREATE INDEX blocked_phash3 ON blocked (account, ((phash >> 48) & 65535));
