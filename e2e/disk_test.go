package e2e

import (
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"calotype/internal/blob"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb"
)

// These look at a server's state from beneath: the folders, and the rows.

// spooled returns the sizes of the files in the spool.
func (s *server) spooled() []int64 {
	s.t.Helper()
	return slices.Collect(maps.Values(fileSizes(s.t, filepath.Join(s.data, "spool"))))
}

// originals returns the keys of the originals in the blob folder, and their sizes.
func (s *server) originals() map[string]int64 {
	s.t.Helper()
	sizes := fileSizes(s.t, filepath.Join(s.data, "blobs"))
	delete(sizes, "calotype-installation")
	return sizes
}

// fileSizes returns the sizes of all files below dir, by their path in it; files that are
// deleted concurrently are left out.
func fileSizes(t testing.TB, dir string) map[string]int64 {
	t.Helper()
	sizes := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return nil // gone
		}
		key, err := filepath.Rel(dir, path)
		sizes[filepath.ToSlash(key)] = info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sizes
}

// A ground is what a stopped server left: its database and its blobs.
type ground struct {
	t     *testing.T
	s     *server
	db    *sqldb.DB
	blobs blob.Store
}

// open opens the state of a server whose database is dsn. A running server may change it at any time.
func (s *server) open(dsn string) *ground {
	s.t.Helper()
	db, err := sqldb.Open(s.t.Context(), dsn)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := db.Close(); err != nil {
			s.t.Error(err)
		}
	})
	blobs, err := blob.OpenDir(filepath.Join(s.data, "blobs"))
	if err != nil {
		s.t.Fatal(err)
	}
	return &ground{s.t, s, db, blobs}
}

// strings returns the first column of a query.
func (g *ground) strings(query string) (all []string) {
	g.t.Helper()
	rows, err := g.db.Query(g.t.Context(), query)
	if err != nil {
		g.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			g.t.Fatal(err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		g.t.Fatal(err)
	}
	return all
}

// orphans returns the originals and parts of no row. There must be no row without its original, or open upload
// without its parts.
func (g *ground) orphans() []string {
	g.t.Helper()
	there := g.s.originals()
	for _, key := range g.strings(`SELECT blob FROM images WHERE blob IS NOT NULL
		UNION ALL SELECT blob FROM parts WHERE gone IS NULL`) {
		if _, ok := there[key]; !ok {
			g.t.Errorf("a row names the original %s, which is not there", key)
		}
		delete(there, key)
	}
	return slices.Sorted(maps.Keys(there))
}

// sweep runs the sweep with a clock that is ahead.
func (g *ground) sweep(ahead time.Duration) images.SweepReport {
	g.t.Helper()
	core := imagestest.NewCore(images.Config{
		DB: g.db, Blobs: g.blobs, Dir: g.s.data,
		Now: func() time.Time { return time.Now().Add(ahead) },
	})
	defer core.Close()
	report, err := core.Sweep(g.t.Context(), images.SweepOptions{Confirm: true})
	if err != nil {
		g.t.Fatal(err)
	}
	return report
}

// wantSound asks SQLite whether its file is.
func (g *ground) wantSound(dsn string) {
	g.t.Helper()
	if strings.Contains(dsn, "://") {
		return
	}
	if said := g.strings(`PRAGMA integrity_check`); len(said) != 1 || said[0] != "ok" {
		g.t.Errorf("integrity_check says %q", said)
	}
}
