package sqldb_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"calotype/internal/sqldb"
	"calotype/internal/sqldb/sqldbtest"
)

// TestSnapshot takes snapshots while transactions add a row to each of two tables: a snapshot has the same
// number of rows in both, and all rows that were committed before it.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	dsn := filepath.Join(t.TempDir(), "live.db")
	db := sqldbtest.Open(t, dsn)
	if err := db.Migrate(t.Context(), migrations("1_a.sql", "2_b.sql")); err != nil {
		t.Fatal(err)
	}
	add := func(n int) error {
		return db.Tx(t.Context(), func(tx *sqldb.Tx) error {
			if _, err := tx.Exec(`INSERT INTO t1_a (id, n) VALUES (?1, ?2)`, n, n); err != nil {
				return err
			}
			_, err := tx.Exec(`INSERT INTO t2_b (id, n) VALUES (?1, ?2)`, n, n)
			return err
		})
	}
	other := sqldbtest.Open(t, dsn) // as another process has it
	end := make(chan struct{})
	var wait sync.WaitGroup
	var mu sync.Mutex
	committed := 0
	wait.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-end:
				return
			default:
			}
			if err := add(n); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			committed = n
			mu.Unlock()
		}
	})
	for range 10 {
		path := filepath.Join(t.TempDir(), "snapshot.db")
		mu.Lock()
		before := committed
		mu.Unlock()
		if err := other.Snapshot(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		var a, b int
		err := sqldbtest.Open(t, path).QueryRow(t.Context(),
			`SELECT (SELECT count(*) FROM t1_a), (SELECT count(*) FROM t2_b)`).Scan(&a, &b)
		if err != nil || a != b || a < before {
			t.Errorf("%d and %d rows, %v; %d were committed before", a, b, err, before)
		}
	}
	close(end)
	wait.Wait()
}

// TestASnapshotIsPrivate: it can be read by its owner only, and holds nothing of deleted rows.
func TestASnapshotIsPrivate(t *testing.T) {
	t.Parallel()
	db := sqldbtest.Open(t, filepath.Join(t.TempDir(), "live.db"))
	if err := db.Migrate(t.Context(), migrations("1_a.sql")); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO t1_a (id, n) VALUES ('canary', 1)`, `INSERT INTO t1_a (id, n) VALUES ('stays', 2)`,
		`DELETE FROM t1_a WHERE n = 1`,
	} {
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "snapshot.db")
	if err := db.Snapshot(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || bytes.Contains(text, []byte("canary")) || !bytes.Contains(text, []byte("stays")) {
		t.Errorf("the snapshot is not what it should be: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if err := db.Snapshot(t.Context(), path); err == nil {
		t.Error("a snapshot was written over another")
	}
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, text) {
		t.Errorf("the refused snapshot changed the file: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	path = filepath.Join(t.TempDir(), "cancelled.db")
	if err := db.Snapshot(ended, path); err == nil {
		t.Error("a snapshot was made for a cancelled caller")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a cancelled snapshot left a file: %v", err)
	}
}

func TestNoSnapshotOfPostgres(t *testing.T) {
	t.Parallel()
	db := sqldbtest.Open(t, sqldbtest.Postgres(t))
	err := db.Snapshot(t.Context(), filepath.Join(t.TempDir(), "snapshot.db"))
	if err == nil || !strings.Contains(err.Error(), "SQLite only") {
		t.Errorf("got %v", err)
	}
}

func TestSchema(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		db := sqldbtest.Open(t, dsn)
		if err := db.Migrate(t.Context(), migrations("1_a.sql", "2_b.sql")); err != nil {
			t.Fatal(err)
		}
		for newest, files := range map[int64][]string{1: {"1_a.sql"}, 3: {"1_a.sql", "2_b.sql", "3_c.sql"}} {
			database, program, err := db.Schema(t.Context(), migrations(files...))
			if err != nil || database != 2 || program != newest {
				t.Errorf("got %d, %d, %v; want 2 and %d", database, program, err, newest)
			}
		}
	})
}
