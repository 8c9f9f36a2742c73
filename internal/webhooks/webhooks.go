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

// Config configures a Service. All fields are needed.
type Config struct {
	DB        *sqldb.DB
	Accounts  *accounts.Service
	Retention time.Duration // of events, delivered or not
	Replays   *limit.Pool   // by account
	// Variants returns the names of an account's variants, in the order of every answer.
	Variants func(tx *accounts.Change, account string) ([]string, error)
	Now      func() time.Time
	Log      *slog.Logger
}

// A Service has the webhooks of a database.
type Service struct {
	config      Config
	db          *sqldb.DB
	accounts    *accounts.Service
	now         func() time.Time
	outbox      outbox
	replays     *limit.Rates // deliveries that accounts have replayed
	historyRows int          // rows that History reads at once
}

// historyRows bounds the rows that History reads at once, so that few rows that do not fit are read.
const historyRows = 100

// New returns a Service on a migrated database.
func New(c Config) *Service {
	return &Service{
		config: c, db: c.DB, accounts: c.Accounts, now: c.Now,
		outbox: outbox{make(chan struct{}, 1)}, historyRows: historyRows,
		replays: limit.NewRates(MaxReplays, ReplayWindow, replayAccounts),
	}
}
