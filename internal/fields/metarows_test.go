package fields_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"calotype/internal/fields"
)

// paths returns the paths of the rows of metadata.
func paths(t *testing.T, meta string) (all []string) {
	t.Helper()
	rows, err := fields.MetaRows(json.RawMessage(meta))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		all = append(all, row.Path)
	}
	return all
}

func TestMetaRows(t *testing.T) {
	t.Parallel()
	name := func(n int) string { return strings.Repeat("x", n) }
	for meta, want := range map[string][]string{
		``: nil, `{}`: nil, `{"a":null,"b":{},"c":[]}`: nil,
		`{"b":1,"a":"x"}`:                                       {"a", "b"},
		`{"a":[true,{"b":1}],"c_1":""}`:                         {"a.0", "a.1.b", "c_1"},
		`{"a-b":1,"a b":1,"é":1,"":1,"a.b":1,"x":{"":1,"y":1}}`: {"x.y"},
		`{"a":{"a":{"a":{"a":{"a":1}}}}}`:                       {"a.a.a.a.a"},
		`{"a":{"a":{"a":{"a":{"a":{"a":1},"b":[1]}}}},"b":1}`:   {"b"},
		`{"` + name(100) + `":1,"` + name(101) + `":1}`:         {name(100)},
		`{"` + name(50) + `":{"` + name(49) + `":1,"b":1,"c-":1}}`: {
			name(50) + ".b", name(50) + "." + name(49)},
		`{"` + name(50) + `":{"` + name(50) + `":1},"a":1,"a":"2"}`: {"a"},
	} {
		slices.Sort(want)
		if got := paths(t, meta); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", meta, got, want)
		}
	}
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf(`"k%02d":%d`, 99-i, i))
	}
	got := paths(t, "{"+strings.Join(many, ",")+"}")
	if len(got) != 64 || got[0] != "k00" || got[63] != "k63" {
		t.Errorf("of 100 values: %v", got)
	}
}
