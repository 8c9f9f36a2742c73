// Package webhooks owns the webhooks and streams of accounts, the policies that subscribe them to events, the
// events, and the outbox, from which each event is delivered at least once. Package notify sends what is due.
//
// Record writes an event and its deliveries in the Change that makes the event happen. A sender claims due
// deliveries, sends them, and completes them with the result of each attempt.
package webhooks

import (
	"log/slog"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/limit"
	"calotype/internal/sqldb"
)

// Config configures a Service. All fields must be set.
type Config struct {
	DB        *sqldb.DB
	Accounts  *accounts.Service
	Retention time.Duration // after which events are deleted, delivered or not
	Replays   *limit.Pool   // of concurrent replays, by account
	// Variants returns the names of an account's variants in byte order, for Facts.Variants.
	Variants func(from sqldb.Reader, account string) ([]string, error)
	Now      func() time.Time
	Log      *slog.Logger
}

// A Service reads and writes the webhooks of a database. It is safe for concurrent use.
type Service struct {
	config      Config
	db          *sqldb.DB
	accounts    *accounts.Service
	now         func() time.Time
	wake        chan struct{} // wakes the notifier of this node; has a buffer of 1
	replays     *limit.Rates  // of replayed deliveries, by account
	historyRows int           // the number of rows that History reads at once
}

// historyRows bounds the rows that History reads at once, so that it reads few rows after the last one that fits
// into an answer.
const historyRows = 100

// New returns a Service on a migrated database.
func New(c Config) *Service {
	return &Service{
		config: c, db: c.DB, accounts: c.Accounts, now: c.Now,
		wake: make(chan struct{}, 1), historyRows: historyRows,
		replays: limit.NewRates(MaxReplays, ReplayWindow, replayAccounts),
	}
}
