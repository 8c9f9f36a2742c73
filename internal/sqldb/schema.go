package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A ForeignSchemaError names objects of a SQLite database that its schema does not have, objects that
// differ from the schema, and missing ones.
type ForeignSchemaError struct{ Objects []string }

func (e *ForeignSchemaError) Error() string {
	return "the database's schema is not the one that its version says: " +
		strings.Join(e.Objects, ", ")
}

// CheckSchema refuses a SQLite database whose tables, indexes, triggers and views are not exactly
// those of its version of fsys: it returns a ForeignSchemaError, or a NewerSchemaError. A foreign trigger
// would run with the next statement. CheckSchema makes a database for the comparison in a folder of
// dir, which it removes.
func (db *DB) CheckSchema(ctx context.Context, fsys fs.FS, dir string) (err error) {
	_, current, newest, err := db.schema(ctx, fsys)
	if err != nil {
		return err
	}
	if current > newest {
		return &NewerSchemaError{Database: current, Program: newest}
	}
	scratch, err := os.MkdirTemp(dir, "schema-")
	if err != nil {
		return fmt.Errorf("sqldb: making a schema to compare with: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	own, err := Open(ctx, filepath.Join(scratch, "schema.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.Close()) }()
	provider, _, _, err := own.schema(ctx, fsys)
	if err != nil {
		return err
	}
	if current > 0 {
		if _, err := provider.UpTo(ctx, current); err != nil {
			return fmt.Errorf("sqldb: making a schema to compare with: %w", err)
		}
	}
	want, err := own.objects(ctx)
	if err != nil {
		return err
	}
	got, err := db.objects(ctx)
	if err != nil {
		return err
	}
	return compareObjects(want, got)
}

func compareObjects(want, got map[string]string) error {
	var differ []string
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if text, ok := want[name]; !ok {
			differ = append(differ, fmt.Sprintf("%.100q should not be there", name))
		} else if text != got[name] {
			differ = append(differ, fmt.Sprintf("%.100q is another", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if _, ok := got[name]; !ok {
			differ = append(differ, fmt.Sprintf("%q is missing", name))
		}
	}
	if len(differ) == 0 {
		return nil
	}
	return &ForeignSchemaError{differ[:min(len(differ), 10)]}
}

// statistics are the tables that SQLite's ANALYZE makes.
var statistics = regexp.MustCompile(`^table sqlite_stat[134]$`)

// objects returns the objects of a SQLite database by type and name: the table and the text of each,
// without comments and spaces.
func (db *DB) objects(ctx context.Context) (map[string]string, error) {
	objects, err := SelectMap[string, string](db.Reader(ctx), `SELECT type || ' ' || name,
		tbl_name || ' ' || COALESCE(sql, '') FROM sqlite_master`)
	if err != nil {
		return nil, fmt.Errorf("sqldb: reading the schema: %w", err)
	}
	maps.DeleteFunc(objects, func(name, _ string) bool { return statistics.MatchString(name) })
	for name, text := range objects {
		objects[name] = plainSQL(text)
	}
	return objects, nil
}

var sqlComment = regexp.MustCompile(`--[^\n]*`)

// plainSQL removes comments and spaces. It is for this program's texts, whose quotes hold no dashes.
func plainSQL(text string) string {
	return strings.Join(strings.Fields(sqlComment.ReplaceAllString(text, "")), " ")
}
