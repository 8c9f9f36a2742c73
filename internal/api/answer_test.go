package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"calotype/internal/errs"
	"calotype/internal/images/imagestest"
	"calotype/internal/limit"
)

// unused fails when an answer did not give its memory back.
func (f *fixture) unused() {
	f.t.Helper()
	f.eventually("all memory is given back", func() bool { return f.api.answers.Stats().Used == 0 })
}

// listed reads a page of the v2 list.
func (f *fixture) listed(query string) (ids []string, token string, body string) {
	f.t.Helper()
	r := f.ask("GET", "/images/v2?"+query, "", "")
	page := result[struct {
		Images []image
		Token  *string `json:"continuation_token"`
	}](f.t, r)
	for _, img := range page.Images {
		ids = append(ids, img.ID)
	}
	if page.Token != nil {
		token = *page.Token
	}
	return ids, token, r.body
}

// TestPagesEndByBytes has lists whose images do not fit an answer of the bound.
func TestPagesEndByBytes(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		const bound = 20_000
		f.api.bounds = pageBounds{token: bound, numbered: bound}
		var want []string
		for i := range 11 {
			// Nested, it takes many times its bytes where it is indented; a last image alone takes more
			// than a page.
			id, meta := fmt.Sprint("picture/ü/", i, strings.Repeat("x", 500*(i%3))),
				`{"a":`+strings.Repeat("[", 10)+strings.Repeat("]", 10)+`}`
			if i == 10 {
				meta = `{"a":` + strings.Repeat("[", 400) + strings.Repeat("]", 400) + `}`
			}
			f.upload(f.draft("id", id, "metadata", meta), "a.jpg", imagestest.JPEG(t, i))
			want = append(want, id)
		}
		for i := range 4 {
			f.json("POST", "/images/v1/variants", fmt.Sprintf(
				`{"id":"variant%d","options":{"width":1,"height":1,"fit":"cover","metadata":"none"}}`, i))
		}
		var got []string
		pages := 0
		for token := ""; ; pages++ {
			ids, next, body := f.listed("sort_order=asc&continuation_token=" + token)
			if len(ids) == 0 || len(body) > bound+500 && len(ids) > 1 {
				t.Fatalf("page %d has %d images in %d bytes", pages, len(ids), len(body))
			}
			got = append(got, ids...)
			if token = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, want) || pages < 3 {
			t.Errorf("%d pages of %q\nwant %q", pages, got, want)
		}
		// A page with a number is whole, or refused with a number of images that fit.
		var most int
		r := f.ask("GET", "/images/v1", "", "")
		f.refused(r, 400, 5400, "per_page", "images/v2")
		_, rest, _ := strings.Cut(r.body, "at most ")
		if _, err := fmt.Sscan(rest, &most); err != nil || most < 1 || most > 5 {
			t.Errorf("%d fit: %s", most, r.body)
		}
		r = f.ask("GET", fmt.Sprintf("/images/v1?page=2&per_page=%d", most), "", "")
		if page := result[struct{ Images []image }](t, r); len(page.Images) != most {
			t.Errorf("%d images on a page of %d", len(page.Images), most)
		}
		if head := f.ask("HEAD", "/images/v2", "", ""); head.status != 200 || head.body != "" {
			t.Errorf("HEAD: %d %q", head.status, head.body)
		}
		f.unused()
	})
}

// TestTheHistoryAndClaimsEndByBytes has more events than an answer of the bound takes.
func TestTheHistoryAndClaimsEndByBytes(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.want(f.ask("PUT", streams+"/laptop", "", ""), 200, 0)
		var want []string
		for i := range 7 {
			draft := f.draft("metadata", `{"text":"`+strings.Repeat("x", 900)+`"}`)
			f.upload(draft, "a.jpg", imagestest.JPEG(t, i))
			want = append(want, draft.ID)
		}
		f.api.bounds = pageBounds{token: 10_000, numbered: 10_000}
		var got []string
		attempts := []reportedAttempt{}
		for len(got) < len(want) {
			r := f.json("POST", streams+"/laptop/claim", "")
			some := result[claimed](t, r).Deliveries
			if len(some) == 0 || len(some) > 5 || len(r.body) > 11_000 {
				t.Fatalf("claimed %d in %d bytes, after %d", len(some), len(r.body), len(got))
			}
			for _, d := range some {
				var body struct{ Data struct{ ID string } }
				if err := json.Unmarshal([]byte(d.Body), &body); err != nil {
					t.Fatal(err)
				}
				got = append(got, body.Data.ID)
				attempts = append(attempts,
					reportedAttempt{EventID: d.EventID, Attempt: d.Attempt, Status: 200})
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("claimed %q\nwant %q", got, want)
		}
		if some := f.claim("laptop", ""); len(some) != 0 {
			t.Errorf("claimed %d again", len(some))
		}
		if n := f.settle("laptop", attempts...); n != len(want) {
			t.Errorf("settled %d", n)
		}
		f.refused(f.ask("GET", history+"?per_page=100", "", ""), 400, 5400, "per_page", "before")
		for page := 1; page <= 4; page++ {
			all := f.history(fmt.Sprintf("?per_page=2&page=%d", page))
			if n := min(2, len(want)-2*(page-1)); len(all) != n {
				t.Errorf("page %d of the history has %d attempts, want %d", page, len(all), n)
			}
		}
		f.unused()
	})
}

// smallPool returns a pool of size bytes without a queue.
func smallPool(size int64) *limit.Pool {
	return limit.New(limit.Config{Name: "answers", Size: size, Shares: []limit.Share{limit.Half}})
}

// TestAnswersShareMemory fills the memory of answers: an account that has used its share gets a
// Retry-After.
func TestAnswersShareMemory(t *testing.T) {
	t.Parallel()
	f := newServer(t, imagestest.New(t), Config{})
	for i := range 3 {
		draft := f.draft("metadata", `{"a":"`+strings.Repeat("x", 1000)+`"}`)
		f.upload(draft, "a.jpg", imagestest.JPEG(t, i))
	}
	f.want(f.ask("PUT", streams+"/laptop", "", ""), 200, 0)
	f.upload(f.draft(), "a.jpg", imagestest.JPEG(t, 9))
	f.api.answers = smallPool(1 << 20)
	mine, err := f.api.reserve(t.Context(), testAccount, 1<<19)
	if err != nil {
		t.Fatal(err)
	}
	busy := func() (all []reply) {
		return []reply{f.ask("GET", "/images/v2", "", ""), f.ask("GET", "/images/v1", "", ""),
			f.ask("GET", history, "", ""), f.json("POST", streams+"/laptop/claim", "")}
	}
	for i, r := range busy() {
		f.want(r, 503, 5503)
		if r.header.Get("Retry-After") == "" {
			t.Errorf("answer %d has no Retry-After", i)
		}
	}
	// What takes no memory worth the name is answered, and so is another account.
	f.want(f.ask("GET", "/images/v1/stats", "", ""), 200, 0)
	f.draft()
	if other, err := f.api.reserve(t.Context(), "other", 1<<18); err != nil {
		t.Errorf("another account: %v", err)
	} else {
		other.Release()
	}
	mine.Release()
	f.api.answers = newAnswers()
	for i, r := range busy() {
		f.want(r, 200, 0)
		if i == 3 && len(result[claimed](t, r).Deliveries) != 1 {
			t.Errorf("what was refused was claimed all the same: %s", r.body)
		}
	}
	f.unused()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.api.reserve(ctx, testAccount, 1); errs.AsError(err).Kind != errs.Aborted {
		t.Errorf("a client that has gone: %v", err)
	}
}

// TestALargeAnswerHoldsMemory: what is read whole waits for memory too, what was written is answered.
func TestALargeAnswerHoldsMemory(t *testing.T) {
	t.Parallel()
	a := &api{answers: smallPool(10)}
	for _, c := range []struct {
		method string
		size   int
		busy   bool
	}{
		{"GET", smallAnswer - 1000, false}, {"GET", smallAnswer + 1, true}, {"HEAD", smallAnswer + 1, true},
		{"PATCH", smallAnswer + 1, false},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.sendable(r, testAccount, strings.Repeat("x", c.size))
		if busy := err != nil && errs.AsError(err).Kind == errs.Busy; busy != c.busy ||
			busy && !errors.Is(err, limit.ErrFull) {
			t.Errorf("%s, %d bytes: %v", c.method, c.size, err)
		}
	}
	if a.answers.Stats().Used != 0 {
		t.Errorf("%+v", a.answers.Stats())
	}
}
