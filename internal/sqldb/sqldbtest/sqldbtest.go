// Package sqldbtest gives tests an empty database of each engine.
package sqldbtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"calotype/internal/sqldb"
)

// Env names the variable that holds the URL of a PostgreSQL whose user may create databases.
const Env = "CALOTYPE_TEST_POSTGRES"

// Each runs fn on an empty SQLite database and on an empty PostgreSQL database. The second is
// skipped where Env is not set, and fails there in CI. DSN opens the same database once more.
func Each(t *testing.T, fn func(t *testing.T, dsn string)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		fn(t, filepath.Join(t.TempDir(), "calotype.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		fn(t, Postgres(t))
	})
}

// Open opens dsn until the test ends.
func Open(t testing.TB, dsn string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// Postgres makes an empty PostgreSQL database, removed when the test ends, and returns its URL.
func Postgres(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("slow: PostgreSQL")
	}
	server := os.Getenv(Env)
	if server == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not set; CI must run the tests on PostgreSQL too", Env)
		}
		t.Skipf("%s is not set; make test sets it", Env)
	}
	dsn, err := url.Parse(server)
	if err != nil {
		t.Fatalf("%s: %v", Env, err)
	}
	admin, err := sqldb.Open(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	name := "test_" + strings.ToLower(rand.Text())
	exec(t, admin, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		exec(t, admin, "DROP DATABASE "+name+" WITH (FORCE)")
		if err := admin.Close(); err != nil {
			t.Error(err)
		}
	})
	dsn.Path = "/" + name
	return dsn.String()
}

// exec runs a statement that PostgreSQL refuses inside a transaction.
func exec(t testing.TB, db *sqldb.DB, statement string) {
	t.Helper()
	rows, err := db.Query(context.Background(), statement)
	if err == nil {
		err = rows.Close()
	}
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// Explain returns the plan of a query.
func Explain(t testing.TB, db *sqldb.DB, postgres bool, query string, args ...any) (plan string) {
	t.Helper()
	words := `EXPLAIN QUERY PLAN `
	if postgres {
		words = `EXPLAIN `
	}
	rows, err := db.Query(t.Context(), words+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		var ignored [3]any
		if postgres {
			err = rows.Scan(&line)
		} else {
			err = rows.Scan(&ignored[0], &ignored[1], &ignored[2], &line)
		}
		if err != nil {
			t.Fatal(err)
		}
		plan += fmt.Sprintln(line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}
