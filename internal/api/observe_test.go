package api

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"calotype/internal/errs"
)

// TestObserve: each answer is observed with its route, whose names are fixed at the start; requests without a
// route with "none".
func TestObserve(t *testing.T) {
	t.Parallel()
	var asked, got []string
	f := newFixture(t, filepath.Join(t.TempDir(), "calotype.db"))
	log := slog.New(slog.DiscardHandler)
	h := New(Config{Core: f.core.Service, Lists: f.core.Lists, Log: log, Observe: func(route string) func(int, time.Duration) {
		asked = append(asked, route)
		return func(status int, took time.Duration) {
			got = append(got, fmt.Sprint(route, " ", status))
			if took < 0 || took > time.Hour {
				t.Errorf("%s took %v", route, took)
			}
		}
	}})
	if len(asked) != len((&api{}).list())+1 {
		t.Errorf("asked for %q", asked)
	}
	for _, path := range []string{
		"GET images/v1/a/b", "HEAD images/v1/a", "DELETE images/v1/a", "GET images/v1/a/blob",
		"PUT images/v1/a", "GET nothing/at/all", "GET images/v2",
	} {
		method, path, _ := strings.Cut(path, " ")
		r := httptest.NewRequest(method, accountPath+"/"+path, nil)
		if path != "images/v2" {
			r.Header.Set("Authorization", "Bearer "+testToken)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	want := []string{
		"GET images/v1/{id...} 404", "GET images/v1/{id...} 404", "DELETE images/v1/{id...} 404",
		"GET images/v1/{id...}/blob 404", "none 405", "none 404", "GET images/v2 400",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// TestUploadsAreCounted: with what they end with, other requests not at all.
func TestUploadsAreCounted(t *testing.T) {
	t.Parallel()
	f := newFixture(t, filepath.Join(t.TempDir(), "calotype.db"))
	f.ask("GET", "/images/v2", "", "")
	f.want(f.ask("POST", "/images/v1", "application/json", "{}"), 415, 5415)
	f.want(f.ask("POST", "/images/v1", "multipart/form-data; boundary=x", "--x--\r\n"), 400, 5400)
	s, err := f.core.Stats()
	if err != nil || s.Accepted != 0 || s.Refused[errs.NotForm] != 1 ||
		s.Refused[errs.Invalid] != 1 || s.Refused[errs.Internal] != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}
