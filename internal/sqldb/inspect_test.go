package sqldb_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
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
		if _, err := reader.Exec(t.Context(), `INSERT INTO t1_a (id, n) VALUES (1, 1)`); err == nil {
			t.Error("wrote to a database that is open for reading")
		}
		var id int
		if err := reader.QueryRow(t.Context(), `INSERT INTO t1_a (id, n) VALUES (1, 1) RETURNING id`).Scan(&id); err == nil ||
			!strings.Contains(strings.ReplaceAll(err.Error(), "readonly", "read-only"), "read-only") {
			t.Errorf("a query that writes: %v", err)
		}
		if err := reader.Migrate(t.Context(), migrations("1_a.sql", "2_b.sql")); err == nil {
			t.Error("migrated a database that is open for reading")
		}
		if remote {
			return
		}
		if err := errors.Join(db.Close(), reader.Close()); err != nil {
			t.Fatal(err)
		}
		before := contents(t, dsn)
		wantRead(t, dsn, 1) // without a writer
		wantContents(t, dsn, before)
	})
}

// TestOpenToReadKeepsFiles: opening the files of a database that no server uses changes no byte of them, in each
// state in which a crash or a person can leave them.
func TestOpenToReadKeepsFiles(t *testing.T) {
	t.Parallel()
	// The files while a writer has the database open, as a crash leaves them.
	dsn := filepath.Join(t.TempDir(), "test.db")
	db := sqldbtest.Open(t, dsn)
	if err := db.Migrate(t.Context(), migrations("1_a.sql")); err != nil {
		t.Fatal(err)
	}
	crashed := contents(t, dsn)
	if crashed["-wal"] == "" || crashed["-shm"] == "" {
		t.Fatalf("the writer has no log: %d files", len(crashed))
	}
	for name, test := range map[string]struct {
		change func(files map[string]string)
		schema int64 // -1: an error
		err    error
	}{
		"crashed":                     {func(map[string]string) {}, 1, nil},
		"crashed, index lost":         {func(f map[string]string) { delete(f, "-shm") }, -1, sqldb.ErrUnfinished},
		"crashed, index zeroed":       {func(f map[string]string) { f["-shm"] = strings.Repeat("\x00", 32<<10) }, 1, nil},
		"main file emptied":           {func(f map[string]string) { f[""] = "" }, -1, nil},
		"main file emptied, no index": {func(f map[string]string) { f[""] = ""; delete(f, "-shm") }, -1, nil},
		"all empty":                   {func(f map[string]string) { f[""], f["-wal"] = "", "" }, 0, nil},
		"unfinished rollback":         {func(f map[string]string) { f["-journal"] = "half of a journal" }, -1, sqldb.ErrUnfinished},
		"not a database":              {func(f map[string]string) { clear(f); f[""] = strings.Repeat("x", 4096) }, -1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{}
			for suffix, text := range crashed {
				files[suffix] = text
			}
			test.change(files)
			path := filepath.Join(t.TempDir(), "test.db")
			for suffix, text := range files {
				if err := os.WriteFile(path+suffix, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if test.schema >= 0 {
				wantRead(t, path, test.schema)
			} else if _, err := sqldb.OpenToRead(t.Context(), path); err == nil || test.err != nil && !errors.Is(err, test.err) {
				t.Errorf("%v, want %v", err, test.err)
			}
			wantContents(t, path, files)
		})
	}
}

// TestChanged: a reader without a lock notices a server that starts, writes or ends.
func TestChanged(t *testing.T) {
	t.Parallel()
	dsn := filepath.Join(t.TempDir(), "test.db")
	write := func() {
		db := sqldbtest.Open(t, dsn)
		if err := db.Migrate(t.Context(), migrations("1_a.sql")); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(t.Context(), `DELETE FROM t1_a`); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(t.Context(), `INSERT INTO t1_a (id, n) VALUES (1, 1)`); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write()
	reader := wantRead(t, dsn, 1)
	if reader.Changed() {
		t.Error("the database has changed without a writer")
	}
	server := sqldbtest.Open(t, dsn) // which creates the log
	if !reader.Changed() {
		t.Error("a start was not noticed")
	}
	beside := wantRead(t, dsn, 1)
	if _, err := server.Exec(t.Context(), `UPDATE t1_a SET n = 2`); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := beside.QueryRow(t.Context(), `SELECT n FROM t1_a`).Scan(&n); err != nil || n != 2 || beside.Changed() {
		t.Errorf("beside the server n is %d, %v; changed: %v", n, err, beside.Changed())
	}
	if err := errors.Join(beside.Close(), server.Close()); err != nil {
		t.Fatal(err)
	}
	reader = wantRead(t, dsn, 1)
	time.Sleep(20 * time.Millisecond) // the clock of the file system is coarse
	write()
	if !reader.Changed() {
		t.Error("a start and an end were not noticed")
	}
}

// TestCheckRights: PostgreSQL's user may write, or the error names what is missing.
func TestCheckRights(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		db := sqldbtest.Open(t, dsn)
		if err := db.Migrate(t.Context(), migrations("1_a.sql")); err != nil {
			t.Fatal(err)
		}
		if err := wantRead(t, dsn, 1).CheckRights(t.Context(), true); err != nil {
			t.Error(err)
		}
		if !strings.HasPrefix(dsn, "postgres") {
			return
		}
		separator := "?"
		if strings.Contains(dsn, "?") {
			separator = "&"
		}
		reader, err := sqldb.OpenToRead(t.Context(), dsn+separator+"default_transaction_read_only=on")
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		if err := reader.CheckRights(t.Context(), false); err == nil || !strings.Contains(err.Error(), "read_only") {
			t.Errorf("a user who may not write: %v", err)
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

// contents returns the bytes of the files of a database by their suffix.
func contents(t *testing.T, path string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(p, path)] = string(text)
	}
	return files
}

func wantContents(t *testing.T, path string, want map[string]string) {
	t.Helper()
	if got := contents(t, path); !reflect.DeepEqual(got, want) {
		for suffix := range want {
			t.Errorf("%s%s: %d bytes, were %d", filepath.Base(path), suffix, len(got[suffix]), len(want[suffix]))
		}
		t.Errorf("%d files, were %d", len(got), len(want))
	}
}
