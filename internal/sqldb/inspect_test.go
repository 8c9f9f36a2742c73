package sqldb_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"calotype/internal/sqldb"
	"calotype/internal/sqldb/sqldbtest"
)

func TestOpenToRead(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		remote := strings.HasPrefix(dsn, "postgres")
		if !remote {
			if _, err := sqldb.OpenToRead(t.Context(), dsn); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("opened a file that does not exist: %v", err)
			}
		}
		db := sqldbtest.Open(t, dsn)
		wantRead(t, dsn, 0)
		if err := db.Migrate(t.Context(), migrations("1_a.sql")); err != nil {
			t.Fatal(err)
		}
		reader := wantRead(t, dsn, 1) // beside a writer
		if now, err := reader.Clock(t.Context()); err != nil || now.IsZero() == remote ||
			remote && time.Since(now).Abs() > time.Minute {
			t.Errorf("the clock is %v, %v", now, err)
		}
		if remote {
			return
		}
		if _, err := reader.Exec(t.Context(), `INSERT INTO t1_a (id, n) VALUES (1, 1)`); err == nil {
			t.Error("wrote to a database that is open for reading")
		}
		if err := errors.Join(db.Close(), reader.Close()); err != nil {
			t.Fatal(err)
		}
		before := names(t, filepath.Dir(dsn))
		wantRead(t, dsn, 1) // without a writer
		if after := names(t, filepath.Dir(dsn)); after != before {
			t.Errorf("the files were %s and are %s", before, after)
		}
	})
}

// wantRead opens the database for reading, and checks its engine, its pages and its schema.
func wantRead(t *testing.T, dsn string, schema int64) *sqldb.DB {
	t.Helper()
	db, err := sqldb.OpenToRead(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if engine, err := db.Engine(t.Context()); err != nil || len(engine) < len("SQLite 3") {
		t.Errorf("the engine is %q, %v", engine, err)
	}
	if err := db.QuickCheck(t.Context()); err != nil {
		t.Error(err)
	}
	found, newest, err := db.ReadSchema(t.Context(), migrations("1_a.sql", "2_b.sql"))
	if err != nil || found != schema || newest != 2 {
		t.Errorf("schema %d of %d, want %d of 2, %v", found, newest, schema, err)
	}
	return db
}

// names returns the names of the files in a folder.
func names(t *testing.T, dir string) (list string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		list += entry.Name() + " "
	}
	return list
}
