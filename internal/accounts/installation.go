package accounts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// The row of the installation: a database has one. It names the account of the first start.

// installationAccount returns the id of the first account, or given if it is set.
func (s *Service) installationAccount(tx *Change, given string) (string, error) {
	first := given
	if first == "" {
		first = text.NewHexID()
	}
	_, err := tx.Exec(`INSERT INTO installation (only_one, id, account, marked, created)
		VALUES (1, ?1, ?2, 0, ?3) ON CONFLICT DO NOTHING`, text.NewKey(), first, sqldb.Micros(s.now()))
	if err != nil || given != "" {
		return given, err
	}
	err = tx.QueryRow(`SELECT account FROM installation`).Scan(&first)
	return first, err
}

// Installation returns the id of the installation, and whether its blob store has the mark.
func (s *Service) Installation(ctx context.Context) (id string, marked bool, err error) {
	err = s.db.QueryRow(ctx, `SELECT id, marked FROM installation`).Scan(&id, &marked)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, errors.New("this database was never used: the first start of the server sets it up")
	}
	if err != nil {
		return "", false, fmt.Errorf("reading the installation's id: %w", err)
	}
	return id, marked, nil
}

// MarkInstallation records that the blob store has the mark of the installation.
func (s *Service) MarkInstallation(ctx context.Context) error {
	_, err := s.Exec(ctx, `UPDATE installation SET marked = 1 WHERE marked = 0`)
	return err
}
