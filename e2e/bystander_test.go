package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"calotype/internal/sqldb/sqldbtest"
)

// A bystander is another account of a server, which sends ordinary requests during an attack.
type bystander struct {
	s       *server
	token   string
	api     string   // base URL of the account's images
	extra   []string // headers of each request, such as X-Forwarded-For
	picture []byte
	sent    int // number of pictures, so that each has different bytes
}

// bystanderSteps are the requests of one round, in their order.
var bystanderSteps = []string{"create", "upload", "miss", "edit", "list", "delete", "readyz"}

// newBystander makes an account beside that of the tests. header is sent with each request.
func newBystander(s *server, header ...string) *bystander {
	s.t.Helper()
	run := func(args ...string) string {
		args = append(args, "-data", s.data)
		for i, arg := range s.args {
			if arg == "-db" {
				args = append(args, "-db", s.args[i+1])
			}
		}
		got := calotype(s.t, nil, args...)
		if got.code != 0 {
			s.t.Fatalf("%q ended with %d: %s", args, got.code, got.stderr)
		}
		return strings.TrimSpace(got.stdout)
	}
	id := strings.Fields(run("account", "create"))[2]
	return &bystander{s: s, extra: header, picture: photo(s.t, 640, 480, 1),
		token: run("token", "create", "bystander", "-account-id", id),
		api:   s.url + "/client/v4/accounts/" + id + "/images/"}
}

// A stepResult is the answer to one request of a bystander.
type stepResult struct {
	status int
	body   []byte
	took   time.Duration
	err    error // of the connection
}

// ok reports whether the request succeeded.
func (r stepResult) ok() bool { return r.err == nil && r.status == http.StatusOK }

func (r stepResult) String() string {
	if r.err != nil {
		return fmt.Sprintf("%v after %v", r.err, r.took)
	}
	return fmt.Sprintf("status %d after %v: %.200s", r.status, r.took, r.body)
}

// results are the answers to a bystander's requests, by step.
type results map[string][]stepResult

// rounds sends n rounds of requests, one after the other, or fewer when ctx ends.
func (b *bystander) rounds(ctx context.Context, n int) results {
	all := results{}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		b.round(ctx, all)
	}
	return all
}

// round uploads a new picture by a one-time URL, requests a variant that is not cached, edits, lists and
// deletes the image, and requests /readyz.
func (b *bystander) round(ctx context.Context, all results) {
	step := func(name, method, url string, body []byte, header ...string) stepResult {
		limited, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		began := time.Now()
		a, err := send(limited, method, url, bytes.NewReader(body), append(header, b.extra...)...)
		r := stepResult{a.status, a.body, time.Since(began), err}
		if ctx.Err() == nil {
			all[name] = append(all[name], r)
		}
		return r
	}
	auth := []string{"Authorization", "Bearer " + b.token}
	defer step("readyz", "GET", b.s.url+"/readyz", nil)
	var minted, uploaded struct {
		Result struct {
			ID, UploadURL string
			Variants      []string
		}
	}
	r := step("create", "POST", b.api+"v2/direct_upload", nil, auth...)
	if !r.ok() || json.Unmarshal(r.body, &minted) != nil {
		return
	}
	b.sent++
	form, kind := fileForm(b.s.t, "a.jpg", tagged(b.picture, b.sent))
	r = step("upload", "POST", b.s.here(minted.Result.UploadURL), form.Bytes(), "Content-Type", kind)
	if r.ok() && json.Unmarshal(r.body, &uploaded) == nil && len(uploaded.Result.Variants) > 0 {
		step("miss", "GET", b.s.here(uploaded.Result.Variants[0]), nil)
	}
	image := b.api + "v1/" + minted.Result.ID
	step("edit", "PATCH", image, fmt.Appendf(nil, `{"metadata":{"round":%d}}`, b.sent),
		append(auth, "Content-Type", "application/json")...)
	step("list", "GET", b.api+"v2?per_page=10", nil, auth...)
	step("delete", "DELETE", image, nil, auth...)
}

// wantUndisturbed reports each request that did not succeed, and logs the latencies beside those of
// an idle server.
func (all results) wantUndisturbed(t *testing.T, idle results) {
	t.Helper()
	for _, name := range bystanderSteps {
		if len(all[name]) == 0 {
			t.Errorf("the bystander sent no %s beside the attack", name)
			continue
		}
		for i, r := range all[name] {
			if !r.ok() {
				t.Errorf("%s %d of the bystander: %s", name, i, r)
			}
		}
		t.Logf("%-7s p50 %8v -> %8v, p99 %8v -> %8v", name, idle.quantile(name, 50),
			all.quantile(name, 50), idle.quantile(name, 99), all.quantile(name, 99))
	}
}

// quantile returns the percentile of a step's latencies.
func (all results) quantile(name string, percent int) time.Duration {
	var took []time.Duration
	for _, r := range all[name] {
		took = append(took, r.took)
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[(len(took)*percent+99)/100-1].Round(10 * time.Microsecond)
}

// beside runs rounds of a bystander alone, then beside an attack, which begins with its call and
// lasts until its context ends. It returns when the attack has ended.
func (b *bystander) beside(n int, attack func(ctx context.Context)) {
	t := b.s.t
	t.Helper()
	idle := b.rounds(t.Context(), n)
	for _, name := range bystanderSteps {
		if slices.ContainsFunc(idle[name], func(r stepResult) bool { return !r.ok() }) {
			t.Fatalf("%s of the bystander alone: %s", name, idle[name])
		}
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); attack(ctx) }()
	under := b.rounds(t.Context(), n)
	end()
	<-ended
	under.wantUndisturbed(t, idle)
}

// onBothDatabases runs fn against a server on SQLite and one on PostgreSQL.
func onBothDatabases(t *testing.T, fn func(t *testing.T, s *server), args ...string) {
	t.Run("sqlite", func(t *testing.T) { fn(t, newServer(t, args...)) })
	t.Run("postgres", func(t *testing.T) {
		fn(t, newServer(t, append([]string{"-db", sqldbtest.Postgres(t)}, args...)...))
	})
}

// TestBystanderAlone holds the bystander itself against a server that nothing attacks.
func TestBystanderAlone(t *testing.T) {
	t.Parallel()
	onBothDatabases(t, func(t *testing.T, s *server) {
		newBystander(s).beside(3, func(ctx context.Context) { <-ctx.Done() })
	})
}
