package fields

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Bounds on metadata that filters can find. Values beyond them are stored, but have no row in image_meta.
const (
	MaxMetaLevels    = 5   // names in a path
	MaxMetaPathRunes = 100 // of a path with its dots; names are ASCII
	maxMetaRows      = 64  // of an image
)

// A MetaKind is the type of a value in metadata, as image_meta names it. Nulls have no row.
type MetaKind string

const (
	MetaString  MetaKind = "string"
	MetaNumber  MetaKind = "number"
	MetaBoolean MetaKind = "boolean"
)

// A MetaValue is a value of one of the kinds. Fields that a kind does not use are zero, so that
// values can be compared. Numbers are JavaScript's.
type MetaValue struct {
	Kind   MetaKind
	Text   string
	Number float64 // of a boolean 0 or 1
}

// A MetaRow is a value with its path: the names that lead to it, joined by dots. Elements of an
// array are named by their index from 0.
type MetaRow struct {
	Path string
	MetaValue
}

// MetaRows returns the rows of metadata in the order of their paths, no path twice. It returns at most
// maxMetaRows, and leaves out the last ones.
func MetaRows(meta json.RawMessage) ([]MetaRow, error) {
	if len(meta) == 0 {
		return nil, nil
	}
	var object map[string]any
	if err := json.Unmarshal(meta, &object); err != nil {
		return nil, fmt.Errorf("reading metadata: %w", err)
	}
	var rows []MetaRow
	collectMeta(object, "", 0, func(row MetaRow) { rows = append(rows, row) })
	slices.SortFunc(rows, func(a, b MetaRow) int { return strings.Compare(a.Path, b.Path) })
	return rows[:min(len(rows), maxMetaRows)], nil
}

// collectMeta calls add for the values within value, whose path has a number of names.
func collectMeta(value any, path string, levels int, add func(MetaRow)) {
	below := func(name string, inner any) {
		if !IsMetaName(name) || levels == MaxMetaLevels {
			return
		}
		inside := name
		if path != "" {
			inside = path + "." + name
		}
		if len(inside) <= MaxMetaPathRunes {
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
		add(MetaRow{path, MetaValue{Kind: MetaString, Text: value}})
	case float64:
		add(MetaRow{path, MetaValue{Kind: MetaNumber, Number: value}})
	case bool:
		add(MetaRow{path, MetaBool(value)})
	}
}

// MetaBool returns the value of a boolean.
func MetaBool(value bool) MetaValue {
	v := MetaValue{Kind: MetaBoolean}
	if value {
		v.Number = 1
	}
	return v
}

// IsMetaName reports whether filters can name s: letters, digits and underscores of ASCII.
func IsMetaName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}
