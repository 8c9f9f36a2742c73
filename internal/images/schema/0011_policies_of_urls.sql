-- +goose Up
-- The policy of the one-time URL as compact JSON, null for none; an image keeps that of its draft. A release without
-- the column makes drafts without a policy, and does not apply those of others.
ALTER TABLE images ADD COLUMN policy TEXT;
-- The policy of all new one-time URLs of the account, whose keys those of the request override.
ALTER TABLE accounts ADD COLUMN upload_policy TEXT;
