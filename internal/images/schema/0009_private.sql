-- +goose Up
-- Settings of an account, 0 or 1. A release without the columns treats them as 0: it refuses options on private
-- images and new private images with a custom id, and delivers those that exist with a signature only.
ALTER TABLE accounts ADD COLUMN private_options    SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN private_custom_ids SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN lenient_options    SMALLINT NOT NULL DEFAULT 0;
