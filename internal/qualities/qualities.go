// Package qualities remembers the qualities that were found for renditions of images with quality=auto. A row is one
// quality for an image, a format and a class of renditions. The first row decides: all nodes and all later renditions
// use its quality, so that a rendition has the same bytes everywhere. Rows are deleted with their image.
package qualities

import (
	"context"
	"fmt"

	"calotype/internal/accounts"
	"calotype/internal/sqldb"
)

// MaxPerImage bounds the rows of an image. Renditions of further classes have the default quality of their format.
// Concurrent writes may exceed it by their number.
const MaxPerImage = 48

// Method is the number of the search that finds qualities. A row of a lower number is replaced, one of a higher number,
// by a newer release, is used.
const Method = 2

// Config configures a Service. All fields must be set.
type Config struct {
	DB       *sqldb.DB
	Accounts *accounts.Service // makes the transactions
}

// A Service reads and writes qualities. It is safe for concurrent use.
type Service struct{ config Config }

// New returns a Service.
func New(c Config) *Service { return &Service{c} }

// A Quality is a quality that was found, 1 to 100.
type Quality struct {
	Format, Class string // of the renditions
	Quality       int
}

// Of returns the qualities of an image, and whether it can have no further one.
func (s *Service) Of(ctx context.Context, image string) (all []Quality, full bool, err error) {
	all, err = sqldb.Select(s.config.DB.Reader(ctx), func(r sqldb.Row) (q Quality, err error) {
		err = r.Scan(&q.Format, &q.Class, &q.Quality)
		return q, err
	}, `SELECT format, class, quality FROM found_qualities WHERE image = ?1 AND method >= ?2`, image, Method)
	if err != nil {
		return nil, false, fmt.Errorf("reading the qualities of an image: %w", err)
	}
	return all, len(all) >= MaxPerImage, nil
}

// Record stores a quality of an image, and returns the one that is stored then: that of an earlier caller if there is
// one. It returns 0 if none is stored, because the image is deleted or has MaxPerImage qualities.
func (s *Service) Record(ctx context.Context, image string, found Quality) (quality int, err error) {
	err = s.config.Accounts.Change(ctx, func(tx *accounts.Change) error {
		_, err := tx.Exec(`INSERT INTO found_qualities (image, format, class, quality, method)
			SELECT key, CAST(?2 AS TEXT), CAST(?3 AS TEXT), CAST(?4 AS SMALLINT), CAST(?5 AS SMALLINT)
			FROM images WHERE key = ?1 AND (SELECT COUNT(*) FROM found_qualities
				WHERE image = ?1 AND method >= CAST(?5 AS SMALLINT)) < ?6
			ON CONFLICT (image, format, class) DO UPDATE SET quality = excluded.quality, method = excluded.method
				WHERE found_qualities.method < excluded.method`,
			image, found.Format, found.Class, found.Quality, Method, MaxPerImage)
		if err != nil {
			return err
		}
		return tx.QueryRow(`SELECT COALESCE(MAX(quality), 0) FROM found_qualities
			WHERE image = ?1 AND format = ?2 AND class = ?3 AND method >= ?4`,
			image, found.Format, found.Class, Method).Scan(&quality)
	})
	if err != nil {
		return 0, fmt.Errorf("recording the quality of a rendition: %w", err)
	}
	return quality, nil
}
