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

-- The usage is charged and credited in the transactions that insert, claim and delete images.
CREATE TABLE accounts (
    id                TEXT     PRIMARY KEY,
    hash              TEXT     NOT NULL UNIQUE,
    created           BIGINT   NOT NULL,
    suspended         SMALLINT NOT NULL,
    flexible_variants SMALLINT NOT NULL DEFAULT 0,
    browser_ttl       BIGINT   NOT NULL DEFAULT 0, -- seconds; 0 is two days

    used_images       BIGINT   NOT NULL,
    used_bytes        BIGINT   NOT NULL, -- of originals, and what open drafts reserve
    used_drafts       BIGINT   NOT NULL, -- open ones
    minted            BIGINT   NOT NULL, -- drafts made in mint_minute
    mint_minute       BIGINT   NOT NULL, -- minutes since 1970

    max_images        BIGINT   NOT NULL, -- here and below: -1 is none
    max_bytes         BIGINT   NOT NULL,
    max_drafts        BIGINT   NOT NULL,
    max_mints         BIGINT   NOT NULL  -- a minute
);

CREATE TABLE tokens (
    key     TEXT   PRIMARY KEY,
    account TEXT   NOT NULL REFERENCES accounts (id),
    name    TEXT   NOT NULL,
    scope   TEXT   NOT NULL,
    sha256  TEXT   NOT NULL UNIQUE, -- of the secret, hex
    created BIGINT NOT NULL,
    expires BIGINT,                 -- null: never
    batches BIGINT NOT NULL,        -- rows of batch_tokens
    UNIQUE (account, name)
);

-- A batch token has the account and the scope of its parent, and none once the parent is gone.
CREATE TABLE batch_tokens (
    sha256  TEXT   PRIMARY KEY, -- of the secret, hex
    parent  TEXT   NOT NULL,    -- key of a token
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX batch_tokens_parent ON batch_tokens (parent, expires);

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

    -- What a draft holds of its account's limits; an image holds its size.
    open           SMALLINT NOT NULL DEFAULT 0, -- the draft counts, until some time after it expired
    reserved       BIGINT   NOT NULL DEFAULT 0, -- bytes, while it is open

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
CREATE INDEX images_expiry ON images (draft, open, expires);
-- Lists of a creator, and of those without one.
CREATE INDEX images_creator ON images (account, creator, uploaded, key) WHERE draft = 0;

-- What filters read: the values in the metadata of images, none of drafts. Written in the
-- transaction that writes the image's own row; account and uploaded are copies of that row's.
CREATE TABLE image_meta (
    image    TEXT             NOT NULL REFERENCES images (key) ON DELETE CASCADE,
    path     TEXT             NOT NULL, -- of the value in the object, such as region.name
    account  TEXT             NOT NULL,
    uploaded BIGINT           NOT NULL,
    kind     TEXT             NOT NULL, -- string, number or boolean
    text     TEXT             NOT NULL, -- of a string, else ''
    number   DOUBLE PRECISION NOT NULL, -- of a number; of a boolean 0 or 1; else 0
    PRIMARY KEY (image, path)
);
-- Both end in the order of lists: a page walks one value, or all values of a path, in that order.
CREATE INDEX image_meta_value ON image_meta (account, path, kind, text, number, uploaded, image);
CREATE INDEX image_meta_path ON image_meta (account, path, kind, uploaded, image, number, text);
