package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"calotype/internal/sqldb"
)

// draftConnections are those of the backends that ask for one-time URLs.
const draftConnections = 16

// drafts measures how many one-time URLs can be asked for in a second, beside what the database
// does alone: transactions of one small row each, from as many callers at once.
func (b *bench) drafts() error {
	if err := b.draftsOn("SQLite", ""); err != nil {
		return err
	}
	postgres := os.Getenv("CALOTYPE_TEST_POSTGRES")
	if postgres == "" {
		say("no PostgreSQL: it is left out; scripts/with-postgres starts one")
		return nil
	}
	return b.draftsOn("PostgreSQL", postgres)
}

func (b *bench) draftsOn(engine, database string) error {
	s, err := b.startServer("drafts-"+engine, database)
	if err != nil {
		return err
	}
	defer s.stop()
	alone := database
	if alone == "" {
		alone = filepath.Join(b.scratch, "alone.db")
	}
	rows, err := openBareRows(alone)
	if err != nil {
		return err
	}
	defer rows.db.Close()
	n := b.scaled(3000)
	ours := func() ([]float64, error) {
		cpu, took, err := s.sendDrafts(n)
		return []float64{float64(n) / took.Seconds(), micros(cpu) / float64(n)}, err
	}
	theirs := func() ([]float64, error) {
		var took time.Duration
		cpu, err := ownCPU(func() (err error) {
			took, err = rows.insert(n)
			return err
		})
		return []float64{float64(n) / took.Seconds(), micros(cpu) / float64(n)}, err
	}
	err = b.inTurn([]row{
		{name: "direct_upload on " + engine + ", rate", unit: "1/s", peer: "the database alone"},
		{name: "direct_upload on " + engine + ", CPU", unit: "us", peer: "the database alone"},
	}, ours, theirs)
	if err != nil {
		return err
	}
	return b.profiled(s, "drafts-"+engine, func() error {
		_, _, err := s.sendDrafts(2 * n)
		return err
	})
}

func (s *server) sendDrafts(n int) (cpu, took time.Duration, err error) {
	asked := s.draftRequest()
	return s.send(draftConnections, n, http.StatusOK, func(int) request { return asked }, nil)
}

// bareRows are rows of about the size of a draft, in a separate table.
type bareRows struct {
	db   *sqldb.DB
	next atomic.Int64
}

func openBareRows(dsn string) (*bareRows, error) {
	db, err := sqldb.Open(context.Background(), dsn)
	if err != nil {
		return nil, err
	}
	_, err = db.Exec(context.Background(), `CREATE TABLE bench (
		key TEXT PRIMARY KEY, account TEXT NOT NULL, ticket TEXT UNIQUE, expires BIGINT NOT NULL)`)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &bareRows{db: db}, nil
}

// insert inserts n rows, each durably.
func (r *bareRows) insert(n int) (time.Duration, error) {
	var left atomic.Int64
	left.Store(int64(n))
	errs := make([]error, draftConnections)
	var group sync.WaitGroup
	began := time.Now()
	for i := range errs {
		group.Go(func() {
			for errs[i] == nil && left.Add(-1) >= 0 {
				// Random keys land anywhere in the indexes, as those of drafts do.
				key := fmt.Sprintf("%016x", uint64(r.next.Add(1))*0x9e3779b97f4a7c15)
				_, errs[i] = r.db.Exec(context.Background(),
					`INSERT INTO bench (key, account, ticket, expires) VALUES (?1, ?2, ?3, ?4)`,
					key, accountID, key+key+key+key, int64(1))
			}
		})
	}
	group.Wait()
	return time.Since(began), errors.Join(errs...)
}
