-- +goose Up
-- Times are microseconds since 1970 UTC, by the clock of the node that wrote them. Flags are 0 or 1.

-- One row: who we are. Its id must equal the one in the blob store, or the sweep could eat
-- the originals of another installation.
CREATE TABLE installation (
    only_one SMALLINT PRIMARY KEY CHECK (only_one = 1),
    id       TEXT     NOT NULL,
    account  TEXT     NOT NULL, -- of the account made at the first start
    marked   SMALLINT NOT NULL, -- the blob store has been given our id
    created  BIGINT   NOT NULL
);

CREATE TABLE accounts (
    id      TEXT   PRIMARY KEY,
    hash    TEXT   NOT NULL UNIQUE,
    created BIGINT NOT NULL,
    flexible_variants SMALLINT NOT NULL DEFAULT 0,
    browser_ttl       BIGINT   NOT NULL DEFAULT 0 -- seconds; 0 is two days
);

CREATE TABLE tokens (
    key     TEXT   PRIMARY KEY,
    account TEXT   NOT NULL REFERENCES accounts (id),
    name    TEXT   NOT NULL,
    scope   TEXT   NOT NULL,
    sha256  TEXT   NOT NULL UNIQUE, -- of the secret, hex
    created BIGINT NOT NULL,
    UNIQUE (account, name)
);

CREATE TABLE variants (
    account      TEXT     NOT NULL REFERENCES accounts (id),
    id           TEXT     NOT NULL,
    options      TEXT     NOT NULL, -- canonical string
    never_signed SMALLINT NOT NULL,
    browser_ttl  BIGINT   NOT NULL DEFAULT 0, -- seconds; 0 is the account's
    PRIMARY KEY (account, id)
);

CREATE TABLE signing_keys (
    account TEXT   NOT NULL REFERENCES accounts (id),
    name    TEXT   NOT NULL,
    value   TEXT   NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (account, name)
);

-- Images and drafts. A ticket is columns of its draft, so that a claim is one UPDATE of one row.
CREATE TABLE images (
    key            TEXT     PRIMARY KEY, -- immutable; nothing refers to id
    account        TEXT     NOT NULL REFERENCES accounts (id),
    id             TEXT     NOT NULL,
    id_sha256      TEXT     NOT NULL,    -- 1024 characters do not fit an index row
    custom         SMALLINT NOT NULL,
    creator        TEXT,
    meta           TEXT,                 -- compact JSON object
    filename       TEXT,
    require_signed SMALLINT NOT NULL,
    created        BIGINT   NOT NULL,
    uploaded       BIGINT   NOT NULL,    -- of a draft: created
    draft          SMALLINT NOT NULL,

    ticket         TEXT     UNIQUE,      -- SHA-256 of the secret, hex; stays after its use
    expires        BIGINT   NOT NULL,
    refusals       INTEGER  NOT NULL,
    last_kind      TEXT     NOT NULL,
    last_message   TEXT     NOT NULL,
    claimed_by     TEXT,                 -- SHA-256 of the winner's Idempotency-Key, hex

    -- The original; all null in a draft.
    blob           TEXT     UNIQUE,
    format         TEXT,
    stored_width   INTEGER,              -- pixels, before EXIF orientation
    stored_height  INTEGER,
    max_pixels     BIGINT,               -- of the largest coded item in the file
    scans          INTEGER,
    orientation    INTEGER,
    frames         INTEGER,
    alpha          SMALLINT,
    size           BIGINT,               -- bytes
    sha256         TEXT,                 -- hex
    thumbhash      TEXT                  -- base64
);
CREATE UNIQUE INDEX images_id ON images (account, id_sha256);
CREATE INDEX images_list ON images (account, draft, uploaded, key);
CREATE INDEX images_expiry ON images (draft, expires);
