-- +goose Up
-- Whom to tell. A webhook is posted to its URL, a stream is asked for by its receiver. Ids are 32
-- hex digits.
CREATE TABLE webhooks (
    id            TEXT   PRIMARY KEY,
    account       TEXT   NOT NULL,
    kind          TEXT   NOT NULL, -- webhook or stream
    name          TEXT   NOT NULL,
    url           TEXT   NOT NULL, -- '' of a stream
    secret        TEXT   NOT NULL, -- sent as it is in cf-webhook-auth; '' for none
    events        TEXT   NOT NULL, -- the types it is told of, with spaces between
    signing_key   TEXT   NOT NULL, -- 32 bytes, base64
    previous_key  TEXT   NOT NULL, -- the one before; signs too until previous_until
    previous_until BIGINT NOT NULL,
    created       BIGINT NOT NULL,
    last_success  BIGINT,
    last_failure  BIGINT,
    failing_since BIGINT,          -- the first failure after the last success
    paused        BIGINT,          -- since when nothing is sent; null: it is
    pause_reason  TEXT   NOT NULL,
    seen          BIGINT NOT NULL  -- of a stream: when it was last asked for
);
CREATE INDEX webhooks_account ON webhooks (account, created, id);
CREATE UNIQUE INDEX webhooks_stream ON webhooks (account, name) WHERE kind = 'stream';

-- Which webhooks are told. Streams need no policy.
CREATE TABLE notification_policies (
    id             TEXT     PRIMARY KEY,
    account        TEXT     NOT NULL,
    name           TEXT     NOT NULL,
    description    TEXT     NOT NULL,
    enabled        SMALLINT NOT NULL,
    alert_interval TEXT     NOT NULL, -- kept for the client, nothing more
    created        BIGINT   NOT NULL,
    modified       BIGINT   NOT NULL
);
CREATE INDEX notification_policies_account ON notification_policies (account, created, id);

CREATE TABLE notification_targets (
    policy  TEXT NOT NULL,
    webhook TEXT NOT NULL,
    account TEXT NOT NULL,
    PRIMARY KEY (policy, webhook)
);
CREATE INDEX notification_targets_webhook ON notification_targets (webhook);

-- What happened, written in the transaction that made it happen, if somebody is to be told.
CREATE TABLE events (
    id        TEXT     PRIMARY KEY, -- the same in every attempt and at every webhook
    account   TEXT     NOT NULL,
    type      TEXT     NOT NULL,
    image     TEXT     NOT NULL,    -- key of the image, which may be gone
    id_sha256 TEXT     NOT NULL,    -- of the image's id then, hex
    creator   TEXT,                 -- of the image then
    created   BIGINT   NOT NULL,
    erasure   SMALLINT NOT NULL,    -- tells of an erasure: goes as soon as it is told
    facts     TEXT     NOT NULL     -- JSON
);
CREATE INDEX events_created ON events (created, id);
CREATE INDEX events_image ON events (image);
CREATE INDEX events_subject ON events (account, id_sha256);
CREATE INDEX events_creator ON events (account, creator);

-- The outbox: one row for each event and webhook. A claim raises attempt, and only who holds the
-- newest one may settle it.
CREATE TABLE deliveries (
    event       TEXT    NOT NULL,
    webhook     TEXT    NOT NULL,
    account     TEXT    NOT NULL,
    created     BIGINT  NOT NULL, -- of the event
    policy      TEXT    NOT NULL, -- '' at a stream
    policy_name TEXT    NOT NULL,
    due         BIGINT,           -- next attempt, or end of the lease; null when it has ended
    attempt     INTEGER NOT NULL, -- claims so far
    failures    INTEGER NOT NULL, -- since it was made or replayed
    outcome     TEXT    NOT NULL, -- pending, delivered or failed
    PRIMARY KEY (event, webhook)
);
CREATE INDEX deliveries_due ON deliveries (webhook, due, created) WHERE due IS NOT NULL;
CREATE INDEX deliveries_ended ON deliveries (webhook) WHERE due IS NULL;
CREATE INDEX deliveries_account ON deliveries (account, created, event);

CREATE TABLE delivery_attempts (
    event    TEXT    NOT NULL,
    webhook  TEXT    NOT NULL,
    attempt  INTEGER NOT NULL,
    account  TEXT    NOT NULL,
    began    BIGINT  NOT NULL,
    took     BIGINT  NOT NULL, -- microseconds
    status   INTEGER NOT NULL, -- of the answer; 0 when there was none
    error    TEXT    NOT NULL, -- why there was none
    answer   TEXT    NOT NULL, -- the first of its bytes
    PRIMARY KEY (event, webhook, attempt)
);
CREATE INDEX delivery_attempts_account ON delivery_attempts (account, began, event);
CREATE INDEX delivery_attempts_webhook ON delivery_attempts (webhook, began);
