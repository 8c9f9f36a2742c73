-- +goose Up
-- The keys that sign receipts of uploads, one set for the installation. A key signs from signs on until the next one
-- signs. A release without the table signs no receipts.
CREATE TABLE receipt_keys (
    number  BIGINT PRIMARY KEY, -- 1 and so on, each made once; the newest is never deleted
    seed    TEXT   NOT NULL,    -- the private key of Ed25519, 32 bytes in base64url
    created BIGINT NOT NULL,    -- from then on it is published
    signs   BIGINT NOT NULL
);
-- SHA-256 in hex of a draft's metadata at its creation, in the form of RFC 8785; NULL without metadata.
ALTER TABLE images ADD COLUMN meta_sha256 TEXT;
-- The id of the draft, if the image has another id now; else NULL.
ALTER TABLE images ADD COLUMN draft_id TEXT;
-- How often the delivery is repeated after a success: policy.test webhook_twice.
ALTER TABLE deliveries ADD COLUMN repeats SMALLINT NOT NULL DEFAULT 0;
