-- +goose Up
-- The deliveries that caches in front of the server must purge: an outbox, whose rows are deleted when the receiver has
-- accepted them. They outlive their account. A release without the table has nothing purged.
CREATE TABLE purges (
    tag     TEXT     NOT NULL, -- the cache tag of the deliveries
    path    TEXT     NOT NULL, -- <account hash> or <account hash>/<image id>; '' if the receiver goes by tags
    owner   TEXT     NOT NULL, -- the cache tag of the account
    due     BIGINT   NOT NULL, -- next request, or end of the lease
    attempt INTEGER  NOT NULL, -- changes and claims so far; only the newest claim ends a row
    repeats SMALLINT NOT NULL, -- requests that follow an accepted one
    PRIMARY KEY (tag, path)
);
CREATE INDEX purges_due ON purges (due);
CREATE INDEX purges_owner ON purges (owner);

-- One row if servers have a receiver of purges, none otherwise.
CREATE TABLE purge_receivers (
    number SMALLINT PRIMARY KEY, -- 1
    paths  SMALLINT NOT NULL     -- the receiver needs paths
);
