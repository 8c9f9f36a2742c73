// Package accounts owns the accounts with their settings, limits, usage, API tokens and signing keys, and the
// transactions of the core: each writing transaction is a Change, which charges accounts for what it adds.
//
// The packages above, webhooks and images, keep what belongs to an account. They add their rules by Hooks.
package accounts

import (
	"time"

	"calotype/internal/sqldb"
)

// Hooks are what the packages above add to the rules of accounts.
type Hooks struct {
	// Created runs in the transaction that inserts an account.
	Created func(tx *Change, account string) error
	// Invalidate runs after the commit of a Change that calls Change.Invalidate, and does not block.
	Invalidate func()
	// Scrub runs after the commit of a Change that calls Change.Scrub, and does not block.
	Scrub func()
	// CheckRoom refuses what adds rows while the disk is full. Error: NoSpace.
	CheckRoom func() error
	// MakeRoom frees some bytes of a full disk, and reports whether it could.
	MakeRoom func() (bool, error)
}

// A Service keeps the accounts of a database.
type Service struct {
	db    *sqldb.DB
	now   func() time.Time
	hooks Hooks
}

// New returns a Service on a migrated database.
func New(db *sqldb.DB, now func() time.Time, hooks Hooks) *Service {
	return &Service{db: db, now: now, hooks: hooks}
}

// CheckRoom refuses what adds rows while the disk is full. Error: NoSpace.
func (s *Service) CheckRoom() error { return s.hooks.CheckRoom() }
