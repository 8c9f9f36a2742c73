-- +goose Up
-- Resumable uploads of drafts. The rows of ended ones stay for an hour. A release without the tables refuses
-- resumable uploads.
CREATE TABLE partials (
    key         TEXT    PRIMARY KEY,
    secret      TEXT    NOT NULL UNIQUE, -- SHA-256 of the secret of its URL, hex
    image       TEXT    NOT NULL,        -- key of the draft
    account     TEXT    NOT NULL,
    idempotency TEXT,                    -- SHA-256 of the Idempotency-Key of its creation, hex; null for none
    filename    TEXT    NOT NULL,
    length      BIGINT,                  -- bytes; null while unknown
    received    BIGINT  NOT NULL,        -- bytes of its parts: the offset
    parts       INTEGER NOT NULL,        -- number of them
    created     BIGINT  NOT NULL,
    expires     BIGINT  NOT NULL,        -- then the row is deleted
    holder      TEXT,                    -- key of the append that has the lease; null for none
    node        TEXT    NOT NULL,        -- of that append; '' before the first one
    until       BIGINT  NOT NULL,        -- end of the lease, or of the last append
    ended       BIGINT,                  -- null while it is open
    kind        TEXT    NOT NULL,        -- of its refusal; '' without one
    message     TEXT    NOT NULL,
    result      TEXT                     -- key of the image; null unless accepted
);
CREATE INDEX partials_image ON partials (image);
CREATE INDEX partials_result ON partials (result) WHERE result IS NOT NULL;
CREATE INDEX partials_account ON partials (account);
CREATE INDEX partials_expires ON partials (expires);

-- The received bytes of open partials: blobs, in the order of start. When a partial ends, its parts are marked as
-- gone, and the rows are deleted after the blobs.
CREATE TABLE parts (
    blob    TEXT   PRIMARY KEY,
    partial TEXT   NOT NULL, -- key of the partial, which may be deleted
    start   BIGINT NOT NULL, -- bytes before it
    size    BIGINT NOT NULL, -- bytes
    gone    BIGINT,          -- time of the end of the partial; null while it is open
    tried   BIGINT NOT NULL, -- time of the last attempt to delete the blob; 0 for none
    erasure TEXT             -- key of the erasure, or null
);
CREATE INDEX parts_partial ON parts (partial, start);
CREATE INDEX parts_due ON parts (tried) WHERE gone IS NOT NULL;
CREATE INDEX parts_erasure ON parts (erasure) WHERE erasure IS NOT NULL;

-- The bytes that the open partials of an account count for. Changed in the
-- transactions that create, extend and end partials.
CREATE TABLE partial_bytes (
    account TEXT   PRIMARY KEY,
    bytes   BIGINT NOT NULL
);
