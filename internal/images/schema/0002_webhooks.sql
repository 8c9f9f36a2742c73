-- +goose Up
-- Webhooks, to whose URL events are posted, and streams, from which receivers claim events. Ids are 32
-- hex digits.
CREATE TABLE webhooks (
    id            TEXT   PRIMARY KEY,
    account       TEXT   NOT NULL,
    kind          TEXT   NOT NULL, -- webhook or stream
    name          TEXT   NOT NULL,
    url           TEXT   NOT NULL, -- '' of a stream
    secret        TEXT   NOT NULL, -- sent unchanged in cf-webhook-auth; '' for none
    events        TEXT   NOT NULL, -- the subscribed types, separated by spaces
    signing_key   TEXT   NOT NULL, -- 32 bytes, base64
    previous_key  TEXT   NOT NULL, -- the previous one; signs too until previous_until
    previous_until BIGINT NOT NULL,
    created       BIGINT NOT NULL,
    last_success  BIGINT,
    last_failure  BIGINT,
    failing_since BIGINT,          -- the first failure after the last success
    paused        BIGINT,          -- the time of the pause; null if not paused
    pause_reason  TEXT   NOT NULL,
    seen          BIGINT NOT NULL  -- of a stream: the time of the last claim
);
CREATE INDEX webhooks_account ON webhooks (account, created, id);
CREATE UNIQUE INDEX webhooks_stream ON webhooks (account, name) WHERE kind = 'stream';

-- The subscribed webhooks. Streams need no policy.
CREATE TABLE notification_policies (
    id             TEXT     PRIMARY KEY,
    account        TEXT     NOT NULL,
    name           TEXT     NOT NULL,
    description    TEXT     NOT NULL,
    enabled        SMALLINT NOT NULL,
    alert_interval TEXT     NOT NULL, -- stored for the client only
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

-- Events, written in the transaction of the change, if a webhook is subscribed.
CREATE TABLE events (
    id        TEXT     PRIMARY KEY, -- the same in every attempt and for every webhook
    account   TEXT     NOT NULL,
    type      TEXT     NOT NULL,
    image     TEXT     NOT NULL,    -- key of the image, which may be deleted
    id_sha256 TEXT     NOT NULL,    -- of the image's id at that time, hex
    creator   TEXT,                 -- of the image at that time
    created   BIGINT   NOT NULL,
    erasure   SMALLINT NOT NULL,    -- of an erasure: deleted after its delivery
    facts     TEXT     NOT NULL     -- JSON
);
CREATE INDEX events_created ON events (created, id);
CREATE INDEX events_image ON events (image);
CREATE INDEX events_subject ON events (account, id_sha256);
CREATE INDEX events_creator ON events (account, creator);

-- The outbox: one row for each event and webhook. A claim increments attempt, and only the claimer of
-- the newest attempt may complete the delivery.
CREATE TABLE deliveries (
    event       TEXT    NOT NULL,
    webhook     TEXT    NOT NULL,
    account     TEXT    NOT NULL,
    created     BIGINT  NOT NULL, -- of the event
    policy      TEXT    NOT NULL, -- '' of a stream
    policy_name TEXT    NOT NULL,
    due         BIGINT,           -- next attempt, or end of the lease; null if it has ended
    attempt     INTEGER NOT NULL, -- claims so far
    failures    INTEGER NOT NULL, -- since it was created or replayed
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
    status   INTEGER NOT NULL, -- of the answer; 0 without an answer
    error    TEXT    NOT NULL, -- the reason of a missing answer
    answer   TEXT    NOT NULL, -- its first bytes
    PRIMARY KEY (event, webhook, attempt)
);
CREATE INDEX delivery_attempts_account ON delivery_attempts (account, began, event);
CREATE INDEX delivery_attempts_webhook ON delivery_attempts (webhook, began);
