// Package accounts owns the accounts with their settings, limits, usage, API tokens and signing keys, and the
// transactions of the core: each writing transaction is a Change, which charges accounts for what it adds.
//
// The packages above, webhooks and images, write the other tables with rows of accounts. They run their statements
// in a Change, and package images passes Hooks to New. Change.CountKept counts the rows in the account's row: kept.go.
package accounts

import (
	"time"

	"calotype/internal/sqldb"
)

// Hooks are callbacks that package images passes to New; the Service calls them. All must be set.
type Hooks struct {
	// Created runs in the transaction that inserts an account, after the account's row.
	Created func(tx *Change, account string) error
	// Invalidate runs after the commit of a Change that calls Change.Invalidate, and does not block.
	Invalidate func()
	// Purge records in the transaction which deliveries caches in front of the server must purge.
	Purge func(tx *Change, stale []Stale) error
	// Scrub runs after the commit of a Change that calls Change.Scrub, and does not block.
	Scrub func()
	// CheckSpace returns NoSpace while the disk is full.
	CheckSpace func() error
	// UseReserve frees some bytes of a full disk, and reports whether bytes are free now.
	UseReserve func() (bool, error)
}

// A Service reads and writes the accounts of a database. It is safe for concurrent use.
type Service struct {
	db    *sqldb.DB
	now   func() time.Time
	hooks Hooks
	uses  tokenUses
}

// New returns a Service on a migrated database.
func New(db *sqldb.DB, now func() time.Time, hooks Hooks) *Service {
	return &Service{db: db, now: now, hooks: hooks}
}

// CheckSpace returns NoSpace while the disk is full. A method that adds rows calls it before its Change.
func (s *Service) CheckSpace() error { return s.hooks.CheckSpace() }
