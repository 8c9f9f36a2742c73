-- +goose Up
-- What an account makes the server keep besides its images: events, deliveries, attempts,
-- tombstones and erasures. kept_bytes is charged in the transactions that insert and delete them.
-- A release that does not know the column leaves a difference, which the recount finds.
ALTER TABLE accounts ADD COLUMN kept_bytes  BIGINT NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN kept_counted BIGINT NOT NULL DEFAULT 0; -- when it was recounted
ALTER TABLE accounts ADD COLUMN max_kept    BIGINT NOT NULL DEFAULT 67108864; -- -1 is none
ALTER TABLE accounts ADD COLUMN edited      BIGINT NOT NULL DEFAULT 0; -- edits and deletions made in edit_minute
ALTER TABLE accounts ADD COLUMN edit_minute BIGINT NOT NULL DEFAULT 0; -- minutes since 1970
ALTER TABLE accounts ADD COLUMN max_edits   BIGINT NOT NULL DEFAULT 12000; -- a minute; -1 is none

-- The account that a tombstone counts for; null of one that an older release wrote.
ALTER TABLE tombstones ADD COLUMN account TEXT;
CREATE INDEX tombstones_account ON tombstones (account);
