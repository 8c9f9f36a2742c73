package images

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"calotype/internal/accounts"
	"calotype/internal/fields"
)

// replaceMeta rewrites the rows of image_meta from the row of an image. Code that inserts an image, turns a
// draft into one, or changes meta, account or uploaded calls it in the same transaction, after the statement
// that wrote the row: that statement's lock excludes other transactions until the commit.
// A draft has no rows, so that a one-time URL costs one INSERT. Deleting an image deletes its rows.
func replaceMeta(tx *accounts.Change, key string) error {
	if _, err := tx.Exec(`DELETE FROM image_meta WHERE image = ?1`, key); err != nil {
		return fmt.Errorf("deleting the rows of metadata: %w", err)
	}
	return insertMeta(tx, key)
}

// insertMeta is replaceMeta for an image that has no rows yet.
func insertMeta(tx *accounts.Change, key string) error {
	var (
		account  string
		uploaded int64
		meta     sql.NullString
		draft    bool
	)
	err := tx.QueryRow(`SELECT account, uploaded, meta, draft FROM images WHERE key = ?1`, key).
		Scan(&account, &uploaded, &meta, &draft)
	if err != nil {
		return fmt.Errorf("reading metadata to be made into rows: %w", err)
	}
	if draft {
		return nil
	}
	rows, err := fields.MetaRows(json.RawMessage(meta.String))
	if err != nil || len(rows) == 0 {
		return err
	}
	args := []any{key, account, uploaded}
	var values []string
	for _, row := range rows {
		n := len(args)
		values = append(values,
			fmt.Sprintf("(?1, ?%d, ?2, ?3, ?%d, ?%d, ?%d)", n+1, n+2, n+3, n+4))
		args = append(args, row.Path, string(row.Kind), row.Text, row.Number)
	}
	_, err = tx.Exec(`INSERT INTO image_meta (image, path, account, uploaded, kind, text, number)
		VALUES `+strings.Join(values, ", "), args...)
	if err != nil {
		return fmt.Errorf("writing the rows of metadata: %w", err)
	}
	return nil
}
