package sqldb_test

import (
	"bytes"
	"crypto/rand"
	mathrand "math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"calotype/internal/sqldb"
	"calotype/internal/sqldb/sqldbtest"
)

const canary = "CANARY-7QZ"

// TestScrub deletes some rows among many, of all sizes, in a table and an index whose pages were
// split often, and searches the files for them.
func TestScrub(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	db := sqldbtest.Open(t, path)
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.Exec(t.Context(), query, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TABLE pictures (key TEXT PRIMARY KEY, creator TEXT, meta TEXT, blob TEXT)`)
	exec(`CREATE INDEX pictures_creator ON pictures (creator, key)`)
	rnd := mathrand.New(mathrand.NewSource(1))
	for range 60 {
		fill(t, db, rnd)
	}
	reading, err := db.Query(t.Context(), `SELECT key FROM pictures`)
	if err != nil {
		t.Fatal(err)
	}
	reading.Next() // a reader that stays
	exec(`DELETE FROM pictures WHERE meta >= ?1 AND meta < ?2`, canary, canary+"~")
	if done, err := db.Scrub(t.Context()); err != nil || done {
		t.Errorf("with a reader in the way: done %v, %v", done, err)
	}
	if err := reading.Close(); err != nil {
		t.Fatal(err)
	}
	if n := canaries(t, path) + canaries(t, path+"-wal"); n == 0 {
		t.Error("the files held no deleted rows before: the test proves nothing")
	}
	if err := db.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if done, err := db.Scrub(t.Context()); err != nil || !done {
		t.Errorf("done %v, %v", done, err)
	}
	for _, file := range []string{path, path + "-wal", path + "-shm"} {
		if n := canaries(t, file); n > 0 {
			t.Errorf("%s holds what was deleted, %d times", filepath.Base(file), n)
		}
	}
	// The timeout of the writer is restored: it waits for other writers.
	exec(`INSERT INTO pictures (key) VALUES ('after')`)
}

// fill inserts rows, and makes some of them longer, as an upload does.
func fill(t *testing.T, db *sqldb.DB, rnd *mathrand.Rand) {
	t.Helper()
	long := func(most int) string { return strings.Repeat("x", rnd.Intn(most)) }
	err := db.Tx(t.Context(), func(tx *sqldb.Tx) error {
		for range 100 {
			key, name := rand.Text(), "a person"
			if rnd.Intn(10) == 0 {
				name = canary
			}
			_, err := tx.Exec(`INSERT INTO pictures (key, creator, meta) VALUES (?1, ?2, ?3)`,
				key, name+long(1000), name+long(5000))
			if err == nil && rnd.Intn(3) > 0 {
				_, err = tx.Exec(`UPDATE pictures SET blob = ?2 WHERE key = ?1`, key, name+long(300))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func canaries(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(b, []byte(canary))
}

// TestScrubPostgres: Scrub does nothing and returns true.
func TestScrubPostgres(t *testing.T) {
	t.Parallel()
	db := sqldbtest.Open(t, sqldbtest.Postgres(t))
	if done, err := db.Scrub(t.Context()); err != nil || !done {
		t.Errorf("done %v, %v", done, err)
	}
	if err := db.Rebuild(t.Context()); err != nil {
		t.Error(err)
	}
}
