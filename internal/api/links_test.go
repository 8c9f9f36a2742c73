package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"calotype/internal/images/imagestest"
)

// TestLinks: a URL for several pictures, as a client of the API sees it.
func TestLinks(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		made := f.draft("id", "trip", "policy", `{"uses":3}`, "metadata", `{"of":"trip"}`, "creator", "someone")
		path := "/images/v1/trip"
		used := func() string {
			t.Helper()
			got := f.ask("GET", path, "", "").image(t)
			return fmt.Sprint(got.Draft, got.Upload["uses"])
		}
		if got := used(); got != "true map[allowed:3 used:0]" {
			t.Errorf("a new link: %s", got)
		}
		if got := f.ask("GET", path+"?wait=60&used=7", "", "").image(t); !got.Draft {
			t.Errorf("with another number: %+v", got)
		}
		for _, query := range []string{"used=-1", "used=x", "used=", "used=1&used=1", "used=1.0"} {
			f.want(f.ask("GET", path+"?wait=60&"+query, "", ""), 400, 5400)
		}
		whole, first := make(chan reply), make(chan reply)
		go func() { whole <- f.ask("GET", path+"?wait=60", "", "") }()
		go func() { first <- f.ask("GET", path+"?wait=60&used=0", "", "") }()
		f.upload(made, "one.jpg", imagestest.JPEG(t, 1))
		if got := (<-first).image(t); fmt.Sprint(got.Upload["uses"]) != "map[allowed:3 used:1]" {
			t.Errorf("after the first use: %+v", got)
		}
		f.upload(made, "two.jpg", imagestest.JPEG(t, 2))
		one := f.ask("GET", path+"%2F1", "", "").image(t)
		if one.ID != "trip/1" || one.Filename != "one.jpg" || !strings.Contains(string(one.Meta), `"trip"`) ||
			*one.Creator != "someone" || one.Draft || one.Upload != nil || len(one.Variants) != 1 {
			t.Errorf("the first image is %+v", one)
		}
		if drafts, _, _ := f.listed("draft=true"); !slices.Equal(drafts, []string{"trip"}) {
			t.Errorf("the drafts are %v", drafts)
		}
		f.want(f.ask("DELETE", path+"/1", "", ""), 200, 0)
		if got := used(); got != "true map[allowed:3 used:2]" {
			t.Errorf("after a deletion: %s", got)
		}
		f.upload(made, "three.jpg", imagestest.JPEG(t, 3))
		if got := (<-whole).image(t); fmt.Sprint(got.Draft, got.Upload["uses"]) != "true map[allowed:3 used:3]" {
			t.Errorf("after the last use: %+v", got)
		}
		if ids, _, _ := f.listed("prefix=trip/&sort_order=asc"); !slices.Equal(ids, []string{"trip/2", "trip/3"}) {
			t.Errorf("the images are %v", ids)
		}
		f.want(f.ask("POST", "/images/v2/direct_upload", "application/json",
			fmt.Sprintf(`{"id":"%01017d","policy":{"uses":2}}`, 7)), 400, 5411)
		f.want(f.ask("POST", "/images/v2/direct_upload", "application/json", `{"policy":{"uses":1001}}`), 400, 5400)
		f.want(f.ask("POST", "/images/v2/direct_upload", "application/json", `{"policy":{"uses":0}}`), 400, 5400)
		// A used-up link is replaced.
		f.want(f.ask("POST", "/images/v2/direct_upload", "application/json", `{"id":"trip"}`), 200, 0)
	})
}
