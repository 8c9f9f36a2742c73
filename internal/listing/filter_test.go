package listing_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"calotype/internal/fields"
	"calotype/internal/listing"
)

// FuzzMetaRows makes rows of any metadata that is accepted, and looks each of them up again.
func FuzzMetaRows(f *testing.F) {
	f.Add(`{"a":"x","b":[1,{"c":true}],"d":null}`)
	f.Add(`{"a":{"b":{"c":{"d":{"e":1,"f":{}}}}},"A-b":1,"":2}`)
	f.Add(`{"a":1,"a":{"0":"x"},"b":["x"]}`)
	f.Fuzz(func(t *testing.T, meta string) {
		var object map[string]any
		if json.Unmarshal([]byte(meta), &object) != nil {
			return
		}
		rows, err := fields.MetaRows(json.RawMessage(meta))
		if err != nil {
			t.Fatal(err)
		}
		byPath := func(a, b fields.MetaRow) int { return strings.Compare(a.Path, b.Path) }
		samePath := func(a, b fields.MetaRow) bool { return a.Path == b.Path }
		unique := slices.CompactFunc(slices.Clone(rows), samePath)
		if len(rows) > 64 || !slices.IsSortedFunc(rows, byPath) || len(unique) != len(rows) {
			t.Errorf("the rows %v", rows)
		}
		for _, row := range rows {
			// Each row can be named by a filter.
			if _, err := listing.NewFilter(row.Path, "eq", ""); err != nil {
				t.Error(err)
			}
		}
		if again, err := fields.MetaRows(json.RawMessage(meta)); err != nil || !slices.Equal(rows, again) {
			t.Errorf("%v, then %v (%v)", rows, again, err)
		}
	})
}
