-- +goose Up
-- Whether the quality of renditions is searched for variants and URLs that name none. A release without the column uses
-- the default quality.
ALTER TABLE accounts ADD COLUMN auto_quality SMALLINT NOT NULL DEFAULT 0;
-- The qualities that were found for renditions of an image with quality=auto.
CREATE TABLE found_qualities (
    image   TEXT     NOT NULL REFERENCES images (key) ON DELETE CASCADE,
    format  TEXT     NOT NULL, -- of the renditions
    class   TEXT     NOT NULL, -- of their size and options
    quality SMALLINT NOT NULL, -- 1 to 100
    method  SMALLINT NOT NULL, -- number of the search, which grows with each change of it
    PRIMARY KEY (image, format, class)
);
