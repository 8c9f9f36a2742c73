-- +goose Up
-- The hour of the last use of a token, in microseconds; null: not used since this column exists. A node writes it at
-- most once an hour for a token, some time after the use: see accounts/tokenuse.go.
ALTER TABLE tokens ADD COLUMN used BIGINT;
