-- +goose Up
-- The records of an account besides its images: events, deliveries, attempts,
-- tombstones and erasures. kept_bytes is charged in the transactions that insert and delete them.
-- A release without the column leaves a difference, which the recount finds.
ALTER TABLE accounts ADD COLUMN kept_bytes  BIGINT NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN kept_counted BIGINT NOT NULL DEFAULT 0; -- time of the last recount
ALTER TABLE accounts ADD COLUMN max_kept    BIGINT NOT NULL DEFAULT 67108864; -- -1 for no limit
ALTER TABLE accounts ADD COLUMN edited      BIGINT NOT NULL DEFAULT 0; -- edits and deletions made in edit_minute
ALTER TABLE accounts ADD COLUMN edit_minute BIGINT NOT NULL DEFAULT 0; -- minutes since 1970
ALTER TABLE accounts ADD COLUMN max_edits   BIGINT NOT NULL DEFAULT 12000; -- a minute; -1 for no limit

-- The account of a tombstone; null if an older release wrote it.
ALTER TABLE tombstones ADD COLUMN account TEXT;
CREATE INDEX tombstones_account ON tombstones (account);
