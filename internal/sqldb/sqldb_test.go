package sqldb_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"calotype/internal/sqldb"
	"calotype/internal/sqldb/sqldbtest"
)

func migrations(names ...string) fstest.MapFS {
	files := fstest.MapFS{}
	for _, name := range names {
		table := strings.TrimSuffix(name, ".sql")
		files[name] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE t" + table +
			" (id TEXT PRIMARY KEY, n BIGINT NOT NULL);\n")}
	}
	return files
}

func TestNodesThatStartAtOnceMigrateOnce(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		first := sqldbtest.Open(t, dsn)
		nodes := []*sqldb.DB{first}
		if strings.HasPrefix(dsn, "postgres") {
			for range 3 {
				nodes = append(nodes, sqldbtest.Open(t, dsn))
			}
		}
		errs := make([]error, len(nodes))
		var wait sync.WaitGroup
		for i, node := range nodes {
			wait.Go(func() { errs[i] = node.Migrate(t.Context(), migrations("1_a.sql", "2_b.sql")) })
		}
		wait.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if _, err := first.Exec(t.Context(), "INSERT INTO t2_b (id, n) VALUES (?1, ?2)", "x", 1); err != nil {
			t.Fatal(err)
		}
	})
}

func TestANewerSchemaIsRefused(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		db := sqldbtest.Open(t, dsn)
		if err := db.Migrate(t.Context(), migrations("1_a.sql", "2_b.sql")); err != nil {
			t.Fatal(err)
		}
		err := db.Migrate(t.Context(), migrations("1_a.sql"))
		if newer := new(sqldb.NewerSchemaError); !errors.As(err, &newer) ||
			newer.Database != 2 || newer.Program != 1 {
			t.Fatalf("got %v, want a refusal that names 2 and 1", err)
		}
	})
}

func TestTx(t *testing.T) {
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		db := sqldbtest.Open(t, dsn)
		if err := db.Migrate(t.Context(), migrations("1_a.sql")); err != nil {
			t.Fatal(err)
		}
		stop := errors.New("stop")
		err := db.Tx(t.Context(), func(tx *sqldb.Tx) error {
			if _, err := tx.Exec("INSERT INTO t1_a (id, n) VALUES (?2, ?1)", 7, "gone?1"); err != nil {
				return err
			}
			return stop
		})
		if !errors.Is(err, stop) {
			t.Fatalf("got %v, want the closure's error", err)
		}

		ctx, cancel := context.WithCancel(t.Context())
		err = db.Tx(ctx, func(tx *sqldb.Tx) error {
			cancel() // the client goes away in the middle
			_, err := tx.Exec("INSERT INTO t1_a (id, n) VALUES ('what?', ?1)", 8)
			return err
		})
		if err != nil {
			t.Fatalf("a transaction was lost with its client: %v", err)
		}
		var id string
		if err := db.QueryRow(t.Context(), "SELECT id FROM t1_a WHERE n > ?1", 0).Scan(&id); err != nil || id != "what?" {
			t.Fatalf("got %q, %v; want the one committed row", id, err)
		}
		if err := db.Tx(ctx, func(*sqldb.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("a transaction began for a client that had gone: %v", err)
		}
	})
}

func TestABadURLDoesNotShowItsPassword(t *testing.T) {
	t.Parallel()
	_, err := sqldb.Open(t.Context(), "postgres://user:hunter2@host:notaport/db")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v, want an error without the password", err)
	}
}
