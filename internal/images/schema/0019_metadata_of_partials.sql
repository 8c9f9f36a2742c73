-- +goose Up
-- Upload-Metadata of a resumable upload over tus, which HEAD returns. A release without the column returns none.
ALTER TABLE partials ADD COLUMN metadata TEXT NOT NULL DEFAULT '';
