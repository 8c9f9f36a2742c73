package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestAllWaysToALink: each way to upload makes one image of a link and answers with it, and the image is delivered.
func TestAllWaysToALink(t *testing.T) {
	t.Parallel()
	onBothDatabases(t, func(t *testing.T, s *server) {
		u := s.createUploadURL("metadata", `{"k":"secret-of-the-owner"}`, "creator", "creator-1",
			"policy", fmt.Sprintf(`{"uses":%d}`, len(ways)))
		state := func(status string, used int) {
			t.Helper()
			a := do(t, "GET", u.UploadURL, nil, "Accept", "application/json")
			var got struct {
				ID, Status string
				Uses       struct{ Allowed, Used int }
			}
			if err := unmarshalResult(a, &got); err != nil || got.ID != u.ID || got.Status != status ||
				got.Uses.Allowed != len(ways) || got.Uses.Used != used {
				t.Errorf("after %d uses: %v, %s", used, err, a.body)
			}
		}
		var want []string
		for i, w := range ways {
			state("open", i)
			content := photo(t, 640, 480, 100+i)
			a, err := w.send(t.Context(), u.UploadURL, "one.jpg", content)
			if err != nil || a.status != http.StatusOK {
				t.Fatalf("%s: %d, %v: %s", w.name, a.status, err, a.body)
			}
			id := fmt.Sprintf("%s/%d", u.ID, i+1)
			want = append(want, id)
			var p picture
			if err := unmarshalResult(a, &p); err != nil || p.ID != id || p.Draft || len(p.Variants) != 1 || p.Meta != nil ||
				bytes.Contains(a.body, []byte("creator")) {
				t.Fatalf("%s: %v, %s", w.name, err, a.body)
			}
			wantStored(t, s, w.name, id, "one.jpg", content)
			if !strings.HasSuffix(p.Variants[0], "/"+id+"/public") {
				t.Errorf("the URL of %s is %s", id, p.Variants[0])
			}
			if d := do(t, "GET", p.Variants[0], nil); d.status != http.StatusOK ||
				!strings.HasPrefix(d.header.Get("Content-Type"), "image/") {
				t.Errorf("the delivery of %s: %d %.100s", id, d.status, d.body)
			}
		}
		state("used", len(ways))
		for i, w := range ways {
			a, err := w.send(t.Context(), u.UploadURL, "late.jpg", photo(t, 64, 48, 200+i))
			status := http.StatusConflict
			if w.name == "tus" {
				status = http.StatusGone
			}
			if err != nil {
				t.Errorf("%s: a used-up link: %v", w.name, err)
			}
			wantRefusal(t, a, status, 5409)
		}
		var got []string
		for _, p := range s.list() {
			got = append(got, p.ID)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("the images are %q, want %q", got, want)
		}
	})
}
