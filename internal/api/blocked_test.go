package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

// blocked reads a page of the list.
func (f *fixture) blocked(query string) (values []string, next string) {
	f.t.Helper()
	var page struct {
		Blocked []struct {
			Value, Type, Note, Created string
			Distance                   *int
		}
		Next *string `json:"continuation_token"`
	}
	r := f.ask("GET", "/images/v2/blocked"+query, "", "")
	if err := json.Unmarshal(r.Result, &page); err != nil || r.status != http.StatusOK {
		f.t.Fatalf("%d %s, %v", r.status, r.body, err)
	}
	for _, b := range page.Blocked {
		text := fmt.Sprintf("%s %s %s", b.Type, b.Value, b.Note)
		if b.Distance != nil {
			text += fmt.Sprint(" ", *b.Distance)
		}
		values = append(values, text)
	}
	if page.Next != nil {
		next = *page.Next
	}
	return values, next
}

func TestBlocked(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		clock := imagestest.NewClock()
		f.core.SetNow(clock.Now)
		sum, hash := strings.Repeat("5", 64), strings.Repeat("c", 16)
		path := "/images/v2/blocked/"
		for _, c := range []struct {
			value, contentType, body string
			status, code             int
		}{
			{sum, "", "", 200, 0}, {hash, jsonType, `{"distance": 3, "note": "a"}`, 200, 0},
			{hash, urlencoded, "distance=0&note=b", 200, 0}, {strings.Repeat("d", 16), jsonType, `{}`, 200, 0},
			{sum, jsonType, `{"distance": 1}`, 400, 5400}, {hash, jsonType, `{"distance": 11}`, 400, 5400},
			{hash, jsonType, `{"distance": -1}`, 400, 5400}, {hash, jsonType, `{"distance": "x"}`, 400, 5400},
			{hash, jsonType, `{"note": "` + strings.Repeat("x", 201) + `"}`, 400, 5400}, {hash[1:], "", "", 400, 5400},
			{strings.ToUpper(hash), "", "", 400, 5400},
		} {
			clock.Forward(1e9)
			r := f.ask("PUT", path+c.value, c.contentType, c.body)
			if r.status != c.status || r.code() != c.code {
				t.Errorf("%.20s %s: %d %s", c.value, c.body, r.status, r.body)
			}
		}
		want := []string{"phash " + strings.Repeat("d", 16) + "  8", "phash " + hash + " b 0", "sha256 " + sum + " "}
		got, next := f.blocked("")
		if !slices.Equal(got, want) || next != "" {
			t.Errorf("%q, %q", got, next)
		}
		var paged []string
		for query := "?per_page=1"; ; query = "?per_page=1&continuation_token=" + next {
			got, next = f.blocked(query)
			if paged = append(paged, got...); next == "" {
				break
			}
		}
		if !slices.Equal(paged, want) {
			t.Errorf("pages: %q", paged)
		}
		for _, query := range []string{"?per_page=0", "?per_page=1001", "?page=1", "?continuation_token=x"} {
			f.want(f.ask("GET", path[:len(path)-1]+query, "", ""), 400, 5400)
		}
		f.want(f.ask("DELETE", path+hash, "", ""), 200, 0)
		f.want(f.ask("DELETE", path+hash, "", ""), 404, 5404)
		f.want(f.ask("DELETE", path+sum+"?creator=x", "", ""), 400, 5400)
	})
}

// TestListsOfLooks: the parameters of look-alikes find an image, and what is not valid is refused.
func TestListsOfLooks(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		img, err := imagestest.Create(t, f.core, testAccount, images.NewDraft{}, imagestest.JPEG(t, 3))
		if err != nil {
			t.Fatal(err)
		}
		hash, sum := img.Original.Phash, img.Original.SHA256
		for query, n := range map[string]int{
			"near=" + hash: 1, "near=" + strings.ToUpper(hash) + "&distance=0": 1, "sha256=" + sum: 1,
			"near=" + hash + "&creator=": 1, "near=" + hash + "&creator=x": 0, "sha256=" + strings.Repeat("0", 64): 0,
		} {
			r := f.ask("GET", "/images/v2?"+query, "", "")
			if r.status != http.StatusOK || strings.Count(r.body, `"phash": "`+hash+`"`) != n {
				t.Errorf("%s: %d %s", query, r.status, r.body)
			}
		}
		for _, query := range []string{
			"near=", "near=" + hash[1:], "near=" + hash + "&distance=11", "near=" + hash + "&distance=x", "distance=3",
			"sha256=", "sha256=" + sum[1:], "sha256=" + sum + "&near=" + hash, "near=" + hash + "&draft=true",
			"near=" + hash + "&near=" + hash, "near=" + hash + "&prefix=a", "sha256=" + sum + "&filename=a",
		} {
			f.want(f.ask("GET", "/images/v2?"+query, "", ""), 400, 5400)
		}
		f.want(f.ask("GET", "/images/v1?near="+hash, "", ""), 400, 5400)
	})
}
