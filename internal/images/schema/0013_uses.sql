-- +goose Up
-- A link is a draft whose ticket may be used several times: uses is the number of accepted uploads that it allows,
-- used the number so far. Each of them inserts an image with the id of the draft, a slash and a number, which is
-- used plus skipped: numbers whose ids were taken are skipped.
ALTER TABLE images ADD COLUMN uses INTEGER NOT NULL DEFAULT 1;
ALTER TABLE images ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
ALTER TABLE images ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0;
-- The family of an image is the key of the link that it was uploaded to; null for all other images.
ALTER TABLE images ADD COLUMN family TEXT;
-- Repeats of uploads to a link are found by their Idempotency-Key.
CREATE INDEX images_family ON images (family, claimed_by) WHERE family IS NOT NULL;
