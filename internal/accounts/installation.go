package accounts

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// The table installation has one row: the id of the installation, and the account of the first start.

// installationAccount returns given if it is set, else the ID of the first account. It inserts the row of the
// installation if the database has none.
func (s *Service) installationAccount(tx *Change, given string) (string, error) {
	first := cmp.Or(given, text.NewHexID())
	_, err := tx.Exec(`INSERT INTO installation (only_one, id, account, marked, created)
		VALUES (1, ?1, ?2, 0, ?3) ON CONFLICT DO NOTHING`, text.NewKey(), first, sqldb.Micros(s.now()))
	if err != nil || given != "" {
		return given, err
	}
	err = tx.QueryRow(`SELECT account FROM installation`).Scan(&first)
	return first, err
}

// ErrNeverUsed says that no server has started on the database.
var ErrNeverUsed = errors.New("this database was never used: the first start of the server sets it up")

// Installation returns the id of the installation. marked reports whether its blob store was marked with the id:
// see images.Service.Installation. Error: ErrNeverUsed.
func (s *Service) Installation(ctx context.Context) (id string, marked bool, err error) {
	err = s.db.QueryRow(ctx, `SELECT id, marked FROM installation`).Scan(&id, &marked)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, ErrNeverUsed
	}
	if err != nil {
		return "", false, fmt.Errorf("reading the installation's id: %w", err)
	}
	return id, marked, nil
}

// MarkInstallation records that the blob store is marked with the id of the installation.
func (s *Service) MarkInstallation(ctx context.Context) error {
	_, err := s.Exec(ctx, `UPDATE installation SET marked = 1 WHERE marked = 0`)
	return err
}
