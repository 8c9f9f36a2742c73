package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"calotype/internal/outbound"
	"calotype/internal/sqldb"
)

// A receiver accepts messages as fast as it can.
type receiver struct {
	url    string
	server *http.Server

	mu      sync.Mutex
	gone    bool
	refused map[string]bool // by webhook-id: answered as by a receiver that is gone
	want    int
	keep    bool
	got     map[string]message // those that are waited for
	all     chan struct{}      // closed when there are as many as wanted
}

type message struct {
	Header http.Header
	Body   []byte
}

func newReceiver() (*receiver, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{url: "http://" + listener.Addr().String() + "/hook", refused: map[string]bool{}}
	r.server = &http.Server{Handler: r}
	go func() { _ = r.server.Serve(listener) }() // until close
	return r, nil
}

func (r *receiver) close() { _ = r.server.Close() }

// refuse says whether messages are answered as by a receiver that is gone for good.
func (r *receiver) refuse(gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = gone
}

// expect says that n messages are to come, each once or more often, and whether to keep them.
func (r *receiver) expect(n int, keep bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.want, r.keep, r.got, r.all = n, keep, make(map[string]message, n), make(chan struct{})
}

// await waits until they have come.
func (r *receiver) await() ([]message, error) {
	r.mu.Lock()
	all := r.all
	r.mu.Unlock()
	var err error
	select {
	case <-all:
	case <-time.After(10 * time.Minute):
		err = errors.New("events do not reach the receiver")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	messages := make([]message, 0, len(r.got))
	for _, m := range r.got {
		messages = append(messages, m)
	}
	return messages, err
}

// ServeHTTP takes a message. Those that were refused before, and tests, are not counted.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return
	}
	id := q.Header.Get("webhook-id")
	r.mu.Lock()
	defer r.mu.Unlock()
	if test := strings.HasPrefix(id, "evt_test_"); r.gone && !test {
		r.refused[id] = true
		w.WriteHeader(http.StatusGone)
		return
	} else if !test && !r.refused[id] && len(r.got) < r.want {
		m := message{}
		if r.keep {
			m = message{q.Header.Clone(), body}
		}
		r.got[id] = m
		if len(r.got) == r.want {
			close(r.all)
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// postMessages posts the messages of prepare, with the concurrency of the server for one webhook. It runs
// in a separate process, whose CPU time is measured.
func postMessages(path, to string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var messages []message
	if err := json.Unmarshal(text, &messages); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	poster := outbound.NewPoster(outbound.Config{
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	defer poster.Close()
	var group errgroup.Group
	group.SetLimit(webhookConnections)
	for _, m := range messages {
		group.Go(func() error {
			status, _, err := poster.Post(context.Background(), to, m.Header, m.Body, 1024)
			if err == nil && status != http.StatusNoContent {
				err = fmt.Errorf("posting a message: status %d", status)
			}
			return err
		})
	}
	return group.Wait()
}

// newDatabase makes a database on the PostgreSQL server that dsn leads to, and returns where it is.
func newDatabase(dsn, name string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return "", fmt.Errorf("reading CALOTYPE_TEST_POSTGRES: %w", err)
	}
	db, err := sqldb.Open(context.Background(), dsn)
	if err != nil {
		return "", err
	}
	// As a query: Exec would open a transaction, in which no database can be made.
	rows, err := db.Query(context.Background(), `CREATE DATABASE `+name)
	if err == nil {
		rows.Next()
		err = errors.Join(rows.Err(), rows.Close())
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return "", fmt.Errorf("making the database %s: %w", name, err)
	}
	u.Path = "/" + name
	return u.String(), nil
}

// bareClaim is how many rows are claimed at once, as by the server.
const bareClaim = 32

// A bareOutbox is what no outbox can do without: rows that are claimed, durably, some at once, and
// then settled, durably, with a row more for each attempt.
type bareOutbox struct {
	db   *sqldb.DB
	n    int
	runs int
}

func openBareOutbox(dsn string, n int) (*bareOutbox, error) {
	ctx := context.Background()
	db, err := sqldb.Open(ctx, dsn)
	if err != nil {
		return nil, err
	}
	for _, statement := range []string{
		`CREATE TABLE bare_outbox (id INTEGER PRIMARY KEY, due BIGINT, outcome TEXT NOT NULL)`,
		`CREATE INDEX bare_outbox_due ON bare_outbox (due) WHERE due IS NOT NULL`,
		`CREATE TABLE bare_attempts (id INTEGER NOT NULL, run INTEGER NOT NULL, answer TEXT NOT NULL,
			PRIMARY KEY (id, run))`,
	} {
		if _, err := db.Exec(ctx, statement); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	err = db.Tx(ctx, func(tx *sqldb.Tx) error {
		for i := range n {
			_, err := tx.Exec(`INSERT INTO bare_outbox VALUES (?1, NULL, 'pending')`, i)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &bareOutbox{db: db, n: n}, nil
}

func (o *bareOutbox) run() (time.Duration, error) {
	ctx := context.Background()
	if _, err := o.db.Exec(ctx, `UPDATE bare_outbox SET due = 1, outcome = 'pending'`); err != nil {
		return 0, err
	}
	o.runs++
	began := time.Now()
	for from := 0; from < o.n; from += bareClaim {
		err := o.db.Tx(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(`UPDATE bare_outbox SET due = 2 WHERE id >= ?1 AND id < ?2`,
				from, from+bareClaim)
			return err
		})
		if err != nil {
			return 0, err
		}
		err = o.db.Tx(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(`INSERT INTO bare_attempts SELECT id, CAST(?3 AS INTEGER), '204'
				FROM bare_outbox WHERE id >= ?1 AND id < ?2`, from, from+bareClaim, o.runs)
			if err == nil {
				_, err = tx.Exec(`UPDATE bare_outbox SET due = NULL, outcome = 'delivered'
					WHERE id >= ?1 AND id < ?2 AND due = 2`, from, from+bareClaim)
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}
