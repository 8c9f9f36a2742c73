package sqldb_test

import (
	"sync"
	"testing"

	"calotype/internal/sqldb"
	"calotype/internal/sqldb/sqldbtest"
)

// TestRetryTx has two transactions that each lock a row and then the other's: PostgreSQL aborts one of
// them, which must be retried. SQLite has one writer, and no deadlocks.
func TestRetryTx(t *testing.T) {
	t.Parallel()
	db := sqldbtest.Open(t, sqldbtest.Postgres(t))
	for _, query := range []string{
		`CREATE TABLE pairs (id INTEGER PRIMARY KEY, n INTEGER NOT NULL)`,
		`INSERT INTO pairs (id, n) VALUES (1, 0), (2, 0)`,
	} {
		if _, err := db.Exec(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	var holding, both sync.WaitGroup
	holding.Add(2)
	runs := make(chan int, 100)
	for _, order := range [][2]int{{1, 2}, {2, 1}} {
		both.Go(func() {
			var meet sync.Once
			err := db.RetryTx(t.Context(), func(tx *sqldb.Tx) error {
				runs <- order[0]
				for _, id := range order {
					if _, err := tx.Exec(`UPDATE pairs SET n = n + 1 WHERE id = ?1`, id); err != nil {
						return err
					}
					meet.Do(func() { holding.Done(); holding.Wait() })
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	var sum int
	err := db.QueryRow(t.Context(), `SELECT SUM(n) FROM pairs`).Scan(&sum)
	if deadlocks := db.Stats()[0].Deadlocks; deadlocks != int64(len(runs)-2) {
		t.Errorf("%d deadlocks are counted in %d runs of two transactions", deadlocks, len(runs))
	}
	if err != nil || sum != 4 || len(runs) < 3 {
		t.Errorf("%d additions in %d runs, %v; want 4 in 3 or more", sum, len(runs), err)
	}
}
