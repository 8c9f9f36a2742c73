package api

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"calotype/internal/render"
)

// TestOptionsAreDescribed wants each row of the table of options in openapi.json and in docs/api.md, and
// no other options there.
func TestOptionsAreDescribed(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	var inDocs []string
	for line := range strings.Lines(string(doc)) {
		first, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), "|")
		for _, match := range regexp.MustCompile("`options\\.([a-z_.-]+)`").FindAllStringSubmatch(first, -1) {
			inDocs = append(inDocs, match[1])
		}
	}
	var d struct {
		Components struct {
			Schemas struct {
				VariantOptions struct{ Properties map[string]any }
			}
		}
	}
	if err := json.Unmarshal(openAPI, &d); err != nil {
		t.Fatal(err)
	}
	properties := d.Components.Schemas.VariantOptions.Properties

	names := []string{"browser_ttl"} // an option of variants, not of renditions
	for _, o := range render.AllOptions() {
		names = append(names, o.Name)
		if o.Alias != "" && !regexp.MustCompile("Short names are[^.]*`"+o.Alias+"`").Match(doc) {
			t.Errorf("docs/api.md does not name the short name `%s` of the option %s after "+
				"\"Short names are\"", o.Alias, o.Name)
		}
	}
	for _, name := range names {
		if !slices.Contains(inDocs, name) {
			t.Errorf("the table of variants in docs/api.md has no row for `options.%s`", name)
		}
		if properties[name] == nil {
			t.Errorf("openapi.json has no property %q in the schema VariantOptions", name)
		}
	}
	for _, name := range inDocs {
		if !slices.Contains(names, name) {
			t.Errorf("docs/api.md has a row for `options.%s`, which has no row in the table of "+
				"internal/render/options.go", name)
		}
	}
	for name := range properties {
		if !slices.Contains(names, name) {
			t.Errorf("openapi.json has the property %q in the schema VariantOptions, which has no row in "+
				"the table of internal/render/options.go", name)
		}
	}
}
