package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"calotype/internal/errs"
)

// lines makes a form of lines, each "name=value".
func lines(text string) form {
	var f form
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		f = append(f, field{name: name, text: value})
	}
	return f
}

func TestFlatten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, form, want string }{
		{"none", "id=x\nmetadatax=1", ""},
		{"Go", "metadata.key=v\nmetadata.nest.a.0=x\nmetadata.nest.a.1=y",
			`{"key":"v","nest":{"a":["x","y"]}}`},
		{"JavaScript", "metadata[key]=v\nmetadata[nest][a][]=x\nmetadata[nest][a][]=y",
			`{"key":"v","nest":{"a":["x","y"]}}`},
		{"Python", "metadata.key=v\nmetadata.nest.a[]=x\nmetadata.nest.a[]=y",
			`{"key":"v","nest":{"a":["x","y"]}}`},
		{"types stay text", "metadata.i=5\nmetadata.f=1.5\nmetadata.b=true\nmetadata.e=",
			`{"i":"5","f":"1.5","b":"true","e":""}`},
		{"a dot is ambiguous", "metadata.dot.ted=x", `{"dot":{"ted":"x"}}`},
		{"a dot in brackets is not", "metadata[dot.ted]=x", `{"dot.ted":"x"}`},
		{"one element", "metadata[a][]=x", `{"a":["x"]}`},
		{"numbers out of order", "metadata.a.1=y\nmetadata.a.0=x", `{"a":["x","y"]}`},
		{"numbers not from 0", "metadata.a.1=x\nmetadata.a.2=y", `{"a":{"1":"x","2":"y"}}`},
		{"numbers with a gap", "metadata.a.0=x\nmetadata.a.2=y", `{"a":{"0":"x","2":"y"}}`},
		{"numbers and names", "metadata.a.0=x\nmetadata.a.b=y", `{"a":{"0":"x","b":"y"}}`},
		{"number with a zero before", "metadata.a.00=x", `{"a":{"00":"x"}}`},
		{"the whole is an object", "metadata.0=x\nmetadata.1=y", `{"0":"x","1":"y"}`},
		{"array of objects", "metadata.a.0.b=x\nmetadata.a.1.b=y", `{"a":[{"b":"x"},{"b":"y"}]}`},
		{"order stays", "metadata.z=1\nmetadata.a=2\nmetadata.m=3", `{"z":"1","a":"2","m":"3"}`},
		{"quotes", `metadata[a"\]=<&>"` + "\u00fc", `{"a\"\\":"<&>\"` + "\u00fc" + `"}`},
		{"five levels", "metadata.a.b.c.d.e=x", `{"a":{"b":{"c":{"d":{"e":"x"}}}}}`},
		{"beside an unset whole", "metadata=\nmetadata.a=x", `{"a":"x"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := lines(c.form).object("metadata")
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestFlattenJSONLeaves(t *testing.T) {
	t.Parallel()
	f, err := decodeForm("application/json", []byte(`{"metadata.a":1.50,"metadata.b":{"c":[]}}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.object("metadata")
	if want := `{"a":1.50,"b":{"c":[]}}`; err != nil || string(got) != want {
		t.Errorf("%s (%v), want %s", got, err, want)
	}
}

func TestFlattenRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, form, says string }{
		{"twice", "metadata.a=1\nmetadata.a=2", "given twice"},
		{"twice in two spellings", "metadata.a=1\nmetadata[a]=2", "given twice"},
		{"leaf then branch", "metadata.a=1\nmetadata.a.b=2", "both as a value and in parts"},
		{"branch then leaf", "metadata.a.b=1\nmetadata.a=2", "both as a value and in parts"},
		{"list then names", "metadata.a[]=1\nmetadata.a.b=2", "mixes"},
		{"names then list", "metadata.a.b=1\nmetadata.a[]=2", "mixes"},
		{"list then numbers", "metadata.a[]=1\nmetadata.a.0=2", "mixes"},
		{"list then leaf", "metadata.a[]=1\nmetadata.a=2", "both as a value and in parts"},
		{"a list at the top", "metadata[]=1", "must be an object"},
		{"a list of objects", "metadata.a[].b=1", "only the last part"},
		{"six levels", "metadata.a.b.c.d.e.f=1", "5 levels"},
		{"a list on the sixth", "metadata.a.b.c.d.e[]=1", "5 levels"},
		{"many", strings.Repeat("metadata.a[]=1\n", maxLeaves+1), "64 values"},
		{"empty key", "metadata.=1", "empty"},
		{"empty key within", "metadata.a..b=1", "empty"},
		{"open bracket", "metadata[a=1", "not closed"},
		{"text after a bracket", "metadata[a]b=1", "closing bracket"},
		{"bytes in a key", "metadata.\xff=1", "UTF-8"},
		{"bytes in a value", "metadata.a=\xff", "UTF-8"},
		{"whole and parts", "metadata={}\nmetadata.a=1", "given twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := lines(c.form).object("metadata")
			e := errs.AsError(err)
			if err == nil || e.Kind != errs.Invalid || !strings.Contains(e.Msg, c.says) {
				t.Errorf("%s (%v), want a refusal that says %q", got, err, c.says)
			}
		})
	}
}

func TestFlattenAtTheBound(t *testing.T) {
	t.Parallel()
	got, err := lines(strings.Repeat("metadata.a[]=1\n", maxLeaves)).object("metadata")
	if err != nil || strings.Count(string(got), `"1"`) != maxLeaves {
		t.Errorf("%s (%v)", got, err)
	}
}

// count returns the leaves of a JSON value and how deep they lie.
func count(v any) (leaves, depth int) {
	var children []any
	switch v := v.(type) {
	case map[string]any:
		for _, c := range v {
			children = append(children, c)
		}
	case []any:
		children = v
	default:
		return 1, 0
	}
	for _, c := range children {
		l, d := count(c)
		leaves, depth = leaves+l, max(depth, d+1)
	}
	return leaves, depth
}

func FuzzFlatten(f *testing.F) {
	f.Add("metadata.key=v\nmetadata.nest.a.0=x\nmetadata.nest.a.1=y")
	f.Add("metadata[key]=v\nmetadata[nest][a][]=x\nmetadata[nest][a][]=y")
	f.Add("metadata.a.1=x\nmetadata.a.2=y\nmetadata[b.c]=z")
	f.Add("metadata.a=1\nmetadata.a.b=2")
	f.Add("metadata.a.b.c.d.e=\nmetadata[]=\nmetadata[a]b=\nmetadata..=")
	f.Fuzz(func(t *testing.T, text string) {
		fields := lines(text)
		got, err := fields.unflatten("metadata")
		if err != nil {
			if errs.AsError(err).Kind != errs.Invalid {
				t.Errorf("unforeseen: %v", err)
			}
			return
		}
		parts := 0
		for _, v := range fields {
			if isPart("metadata", v.name) {
				parts++
			}
		}
		if parts == 0 {
			if got != nil {
				t.Errorf("%s from nothing", got)
			}
			return
		}
		var object map[string]any
		if err := json.Unmarshal(got, &object); err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		leaves, depth := count(object)
		if leaves != parts || leaves > maxLeaves || depth > maxDepth {
			t.Errorf("%s holds %d values %d deep, of %d fields", got, leaves, depth, parts)
		}
		again, err := fields.unflatten("metadata")
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Errorf("%s, then %s (%v)", got, again, err)
		}
	})
}
