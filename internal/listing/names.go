package listing

import (
	"unicode/utf8"

	"calotype/internal/errs"
	"calotype/internal/fields"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// indexedCharacters is the number of characters of an id in the index images_prefix: 1024 characters do
// not fit into an index of PostgreSQL. Ids with the same indexed characters are in the order of their
// keys.
const indexedCharacters = 128

const (
	idOrder       = `SUBSTR(m.id, 1, 128) COLLATE BINARY` // as the index has it
	filenameOrder = `m.filename COLLATE BINARY`
)

// checkNames checks the prefixes in the query.
func (q Query) checkNames() error {
	switch {
	case utf8.RuneCountInString(q.Prefix) > fields.MaxIDRunes || !text.IsPlain(q.Prefix):
		return errs.Errorf(errs.Invalid, "prefix is not valid: it is the beginning of an id, with at most %d "+
			"characters and no control characters", fields.MaxIDRunes)
	case len(q.Filename) > fields.MaxFilenameBytes || !text.IsPlain(q.Filename):
		return errs.Errorf(errs.Invalid, "filename is not valid: it is the beginning of a file name, with at most "+
			"%d bytes and no control characters", fields.MaxFilenameBytes)
	}
	return nil
}

// throughNames scans images or drafts by their ids, or images by their file names.
func (w *scanPlan) throughNames(q Query) {
	w.table, w.key, w.named = "images", "key", true
	draft := `m.draft = 0`
	if q.Drafts {
		draft = `m.draft = 1`
	}
	w.driving = append(w.driving, func(*sqldb.Builder) string { return draft })
	if q.Prefix == "" {
		w.by, w.beginning = filenameOrder, q.Filename
	} else {
		w.by, w.beginning = idOrder, firstCharacters(q.Prefix)
		if utf8.RuneCountInString(q.Prefix) > indexedCharacters {
			w.residual = append(w.residual, func(s *sqldb.Builder) string {
				return beginsWith(s, `m.id COLLATE BINARY`, q.Prefix)
			})
		}
		if q.Filename != "" {
			w.residual = append(w.residual, func(s *sqldb.Builder) string {
				return beginsWith(s, filenameOrder, q.Filename)
			})
		}
	}
	w.residual = append(w.residual, creatorByExpression(q.Creator)...)
}

// creatorByExpression is the condition on the creator in a scan of images by another index. As an expression, so that
// PostgreSQL does not use the index by creators, whose order is not the list's.
func creatorByExpression(creator *string) []condition {
	if creator == nil {
		return nil
	}
	return []condition{func(s *sqldb.Builder) string {
		if *creator == "" {
			return `m.creator || '' IS NULL`
		}
		return `m.creator || '' = ` + s.Arg(*creator)
	}}
}

// stretch is the condition on the names after a position. With two bounds on one side an engine may use
// the wrong one and read all rows between them, so there is only one.
func (w scanPlan) stretch(s *sqldb.Builder, from *position) string {
	switch {
	case from == nil:
		return beginsWith(s, w.by, w.beginning)
	case w.order == "DESC":
		return w.by + ` >= ` + s.Arg(w.beginning) + ` AND ` + w.by + ` <= ` + s.Arg(from.name)
	}
	condition := w.by + ` >= ` + s.Arg(from.name)
	if next := afterAll(w.beginning); next != "" {
		condition += ` AND ` + w.by + ` < ` + s.Arg(next)
	}
	return condition
}

// beginsWith is the condition that a text, in byte order, has a prefix: it is between the prefix and
// the next text without it.
func beginsWith(s *sqldb.Builder, text, beginning string) string {
	condition := text + ` >= ` + s.Arg(beginning)
	if next := afterAll(beginning); next != "" {
		condition += ` AND ` + text + ` < ` + s.Arg(next)
	}
	return condition
}

// afterAll returns the first text after all texts with a prefix, "" if there is no such text.
func afterAll(beginning string) string {
	all := []rune(beginning)
	for len(all) > 0 {
		last := &all[len(all)-1]
		if *last < utf8.MaxRune {
			if *last++; *last == 0xD800 { // surrogates are not characters
				*last = 0xE000
			}
			return string(all)
		}
		all = all[:len(all)-1]
	}
	return ""
}

// firstCharacters returns the indexed characters of an id.
func firstCharacters(id string) string {
	n := 0
	for i := range id {
		if n == indexedCharacters {
			return id[:i]
		}
		n++
	}
	return id
}
