package images

import (
	"context"
	"fmt"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/lookalikes"
	"calotype/internal/partials"
	"calotype/internal/webhooks"
)

// AccountTables are the tables of this package with rows of accounts besides images, in the order of their
// deletion.
var AccountTables = []string{"variants", "erasures"}

// DeleteAccount deletes an account with all its data, permanently. It suspends the account first, so that
// nothing is added concurrently. If it fails, a repeated call continues. It returns the number of images and
// drafts that it deleted. Errors: AccountUnknown, Invalid for the account of the first start.
func (s *Service) DeleteAccount(ctx context.Context, id string) (deleted int, err error) {
	return s.DeleteAccountInSteps(ctx, id, func(int) {})
}

// DeleteAccountInSteps is DeleteAccount, which calls done with the number of images and drafts that each step has
// deleted.
func (s *Service) DeleteAccountInSteps(ctx context.Context, id string, done func(int)) (deleted int, err error) {
	doomed, err := s.Accounts.ByID(ctx, id)
	if err != nil {
		return 0, err
	}
	first, err := s.Accounts.First(ctx)
	if err != nil {
		return 0, err
	}
	if first.ID == id {
		return 0, errs.Errorf(errs.Invalid, "%s is the account that the first start made, and the next start "+
			"would make again: suspend it", id)
	}
	if err := s.Accounts.Suspend(ctx, id, true); err != nil {
		return 0, err
	}
	deleted, err = s.Accounts.ChangeInSteps(ctx, func(tx *accounts.Change) (int, error) {
		gone, _, err := s.deleteRowsAndBytes(tx, "",
			`key IN (SELECT key FROM images WHERE account = ?1 LIMIT 500)`, id)
		tx.AfterCommit(func(context.Context) { done(len(gone)) })
		return len(gone), err
	})
	if err != nil {
		return deleted, fmt.Errorf("deleting the images of an account: %w", err)
	}
	err = s.Accounts.ChangeInReserve(ctx, func(tx *accounts.Change) error {
		tx.Invalidate([]accounts.Stale{{Account: id, Hash: doomed.Hash}})
		tx.Scrub() // of its keys, and the secrets of its webhooks
		return deleteAccountRows(tx, id)
	})
	if err != nil {
		return deleted, fmt.Errorf("deleting an account: %w", err)
	}
	return deleted, nil
}

// deleteAccountRows deletes an account without images, and its rows in all tables.
func deleteAccountRows(tx *accounts.Change, id string) error {
	// In the order of all transactions that add rows of the account; another order could deadlock.
	if err := tx.Lock(id); err != nil {
		return err
	}
	for _, tables := range [][]string{
		AccountTables, lookalikes.AccountTables, partials.AccountTables, webhooks.AccountTables,
	} {
		if err := tx.DeleteRows(id, tables...); err != nil {
			return err
		}
	}
	return tx.DeleteAccount(id)
}
