-- +goose Up
-- Times are microseconds since 1970 UTC, by the clock of the node that wrote them. Flags are 0 or 1.

-- One row: the installation. Its id must equal the one in the blob store, or the sweep could delete
-- the originals of another installation.
CREATE TABLE installation (
    only_one SMALLINT PRIMARY KEY CHECK (only_one = 1),
    id       TEXT     NOT NULL,
    account  TEXT     NOT NULL, -- of the account made at the first start
    marked   SMALLINT NOT NULL, -- the id was written to the blob store
    created  BIGINT   NOT NULL
);

-- The usage is charged and released in the transactions that insert, claim and delete images.
CREATE TABLE accounts (
    id                TEXT     PRIMARY KEY,
    hash              TEXT     NOT NULL UNIQUE,
    created           BIGINT   NOT NULL,
    suspended         SMALLINT NOT NULL,
    flexible_variants SMALLINT NOT NULL DEFAULT 0,
    browser_ttl       BIGINT   NOT NULL DEFAULT 0, -- seconds; 0 for two days

    used_images       BIGINT   NOT NULL,
    used_bytes        BIGINT   NOT NULL, -- of originals, and reservations of open drafts
    used_drafts       BIGINT   NOT NULL, -- open ones
    minted            BIGINT   NOT NULL, -- drafts created in mint_minute
    mint_minute       BIGINT   NOT NULL, -- minutes since 1970

    max_images        BIGINT   NOT NULL, -- here and below: -1 for no limit
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

-- A batch token has the account and the scope of its parent, and is invalid once the parent is deleted.
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
    browser_ttl  BIGINT   NOT NULL DEFAULT 0, -- seconds; 0 for the account's
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
    key            TEXT     PRIMARY KEY, -- immutable; no table refers to id
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

    -- The reservation of a draft; an image counts with its size.
    open           SMALLINT NOT NULL DEFAULT 0, -- the draft counts, until some time after its expiry
    reserved       BIGINT   NOT NULL DEFAULT 0, -- bytes, while it is open

    ticket         TEXT     UNIQUE,      -- SHA-256 of the secret, hex; kept after its use
    expires        BIGINT   NOT NULL,
    refusals       INTEGER  NOT NULL,
    last_kind      TEXT     NOT NULL,
    last_message   TEXT     NOT NULL,
    claimed_by     TEXT,                 -- SHA-256 of the Idempotency-Key of the claim, hex

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
-- Lists of a creator, of images without one, and erasures.
CREATE INDEX images_creator ON images (account, draft, creator, uploaded, key);

-- The values in the metadata of images, for filters; drafts have no rows. Written in the
-- transaction that writes the image's row; account and uploaded are copies of that row's.
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
-- Both end in the order of lists: a page scans one value, or all values of a path, in that order.
CREATE INDEX image_meta_value ON image_meta (account, path, kind, text, number, uploaded, image);
CREATE INDEX image_meta_path ON image_meta (account, path, kind, uploaded, image, number, text);

-- Tombstones of deleted images: the original, until the blob store has deleted it, and the renditions
-- on the disks of other nodes, each of which reads this table. Stored for two days.
CREATE TABLE tombstones (
    key        TEXT   PRIMARY KEY, -- of the image
    blob       TEXT,               -- of the original; null once it is deleted, and of a draft
    renditions TEXT   NOT NULL,    -- the prefix of their names; '' of a draft
    deleted    BIGINT NOT NULL,
    tried      BIGINT NOT NULL,    -- the time of the last attempt to delete the blob
    erasure    TEXT                -- key of its erasure, or null
);
CREATE INDEX tombstones_deleted ON tombstones (deleted, key);
CREATE INDEX tombstones_due ON tombstones (tried) WHERE blob IS NOT NULL;
CREATE INDEX tombstones_erasure ON tombstones (erasure);

-- Erasures of a creator, or of one image, with the figures of their receipts. The table holds creator
-- and image as a hash only. Stored for two days.
CREATE TABLE erasures (
    account    TEXT     NOT NULL,
    subject    TEXT     NOT NULL, -- SHA-256 of the creator or image, hex
    key        TEXT     NOT NULL UNIQUE,
    began      BIGINT   NOT NULL,
    mark       BIGINT   NOT NULL, -- uploads that began before are refused
    ended      BIGINT,            -- null while rows may be left
    scrubbed   SMALLINT NOT NULL, -- after its end, deleted rows were removed from the database's files
    images     BIGINT   NOT NULL,
    drafts     BIGINT   NOT NULL,
    bytes      BIGINT   NOT NULL, -- of originals
    renditions BIGINT   NOT NULL, -- removed by the nodes that served the requests
    uploads    BIGINT   NOT NULL, -- uploads in progress that were stopped there
    PRIMARY KEY (account, subject)
);

-- Rows that uploads for a creator and erasures update, and so lock. The next statement of the second
-- transaction then sees the changes of the first one. A creator's row is identified by a hash.
CREATE TABLE creator_fences (
    slot SMALLINT PRIMARY KEY,
    turn BIGINT   NOT NULL
);
INSERT INTO creator_fences (slot, turn) VALUES
    (0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0),
    (8, 0), (9, 0), (10, 0), (11, 0), (12, 0), (13, 0), (14, 0), (15, 0);
