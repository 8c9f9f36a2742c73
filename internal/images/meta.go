package images

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"calotype/internal/accounts"
	"calotype/internal/sqldb"
)

// Bounds on metadata that filters can find. Values beyond them are stored, but have no row in image_meta.
const (
	maxMetaLevels    = 5   // names in a path
	maxMetaPathRunes = 100 // of a path with its dots; names are ASCII
	maxMetaRows      = 64  // of an image
)

// A metaKind is the type of a value in metadata, as image_meta names it. Nulls have no row.
type metaKind string

const (
	metaString  metaKind = "string"
	metaNumber  metaKind = "number"
	metaBoolean metaKind = "boolean"
)

// A metaValue is a value of one of the kinds. Fields that a kind does not use are zero, so that
// values can be compared. Numbers are JavaScript's.
type metaValue struct {
	kind   metaKind
	text   string
	number float64 // of a boolean 0 or 1
}

// A metaRow is a value with its path: the names that lead to it, joined by dots. Elements of an
// array are named by their index from 0.
type metaRow struct {
	path string
	metaValue
}

// metaRows returns the rows of metadata in the order of their paths, no path twice. It returns at most
// maxMetaRows, and leaves out the last ones.
func metaRows(meta json.RawMessage) ([]metaRow, error) {
	if len(meta) == 0 {
		return nil, nil
	}
	var object map[string]any
	if err := json.Unmarshal(meta, &object); err != nil {
		return nil, fmt.Errorf("reading metadata: %w", err)
	}
	var rows []metaRow
	collectMeta(object, "", 0, func(row metaRow) { rows = append(rows, row) })
	slices.SortFunc(rows, func(a, b metaRow) int { return strings.Compare(a.path, b.path) })
	return rows[:min(len(rows), maxMetaRows)], nil
}

// collectMeta calls add for the values within value, whose path has a number of names.
func collectMeta(value any, path string, levels int, add func(metaRow)) {
	below := func(name string, inner any) {
		if !isMetaName(name) || levels == maxMetaLevels {
			return
		}
		inside := name
		if path != "" {
			inside = path + "." + name
		}
		if len(inside) <= maxMetaPathRunes {
			collectMeta(inner, inside, levels+1, add)
		}
	}
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			below(name, inner)
		}
	case []any:
		for i, inner := range value {
			below(strconv.Itoa(i), inner)
		}
	case string:
		add(metaRow{path, metaValue{kind: metaString, text: value}})
	case float64:
		add(metaRow{path, metaValue{kind: metaNumber, number: value}})
	case bool:
		add(metaRow{path, metaValue{kind: metaBoolean, number: float64(sqldb.BoolInt(value))}})
	}
}

// isMetaName reports whether filters can name s: letters, digits and underscores of ASCII.
func isMetaName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

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
	rows, err := metaRows(json.RawMessage(meta.String))
	if err != nil || len(rows) == 0 {
		return err
	}
	args := []any{key, account, uploaded}
	var values []string
	for _, row := range rows {
		n := len(args)
		values = append(values,
			fmt.Sprintf("(?1, ?%d, ?2, ?3, ?%d, ?%d, ?%d)", n+1, n+2, n+3, n+4))
		args = append(args, row.path, string(row.kind), row.text, row.number)
	}
	_, err = tx.Exec(`INSERT INTO image_meta (image, path, account, uploaded, kind, text, number)
		VALUES `+strings.Join(values, ", "), args...)
	if err != nil {
		return fmt.Errorf("writing the rows of metadata: %w", err)
	}
	return nil
}
