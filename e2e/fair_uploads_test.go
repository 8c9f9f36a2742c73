package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// smallSpool has room for four bodies of the largest size.
var smallSpool = []string{"-spool-bytes", "8MiB", "-max-upload-bytes", "2MiB"}

// slowBodies is how many bodies an attack holds open: three times as many as the spool has room for,
// by what they may grow to.
const slowBodies = 12

// TestSlowBodiesHoldNothing: bodies that may grow large and bring a byte a second are held open, by
// one used URL, by many URLs, by resumable uploads and by an API token. Another account uploads all the while.
func TestSlowBodiesHoldNothing(t *testing.T) {
	t.Parallel()
	for name, targets := range map[string]func(s *server) []slowTarget{
		"repeats": func(s *server) (all []slowTarget) {
			u, key := s.createUploadURL(), "Idempotency-Key: k"
			body, kind := fileForm(s.t, "a.jpg", photo(s.t, 64, 48, 1))
			a := do(s.t, "POST", u.UploadURL, body, "Content-Type", kind, "Idempotency-Key", "k")
			if a.status != http.StatusOK {
				s.t.Fatalf("status %d: %s", a.status, a.body)
			}
			for range slowBodies {
				all = append(all, slowTarget{url: u.UploadURL, header: key})
			}
			return all
		},
		"URLs": func(s *server) (all []slowTarget) {
			for range slowBodies / 4 {
				u := s.createUploadURL()
				for range 4 {
					all = append(all, slowTarget{url: u.UploadURL, header: "X-Nothing: 1"})
				}
			}
			return all
		},
		"token": func(s *server) (all []slowTarget) {
			to := s.url + "/client/v4/accounts/" + accountID + "/images/v1"
			for range slowBodies {
				all = append(all, slowTarget{url: to, header: "Authorization: Bearer " + token})
			}
			return all
		},
		"tus": func(s *server) (all []slowTarget) {
			for range slowBodies / 2 {
				u := s.createUploadURL()
				for range 2 {
					up, a, err := newTus(s.t.Context(), u.UploadURL, "a.jpg", 1<<20, nil)
					if err != nil || a.status != http.StatusCreated {
						s.t.Fatalf("status %d, %v: %s", a.status, err, a.body)
					}
					all = append(all, slowTarget{url: up.url, method: "PATCH", kind: "application/offset+octet-stream",
						header: "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0"})
				}
			}
			return all
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBothDatabases(t, func(t *testing.T, s *server) {
				b := newBystander(s)
				held := targets(s)
				b.beside(6, func(ctx context.Context) {
					var bodies sync.WaitGroup
					for _, target := range held {
						bodies.Go(func() { target.hold(ctx, t) })
					}
					bodies.Wait()
				})
			}, smallSpool...)
		})
	}
}

// A slowTarget is where a body is sent, with a header; a form by POST unless it has another method and type.
type slowTarget struct{ url, header, method, kind string }

// hold sends the begin of a chunked body and then a byte a second, until ctx ends or the server has
// answered.
func (s slowTarget) hold(ctx context.Context, t *testing.T) {
	u, err := url.Parse(s.url)
	if err != nil {
		t.Error(err)
		return
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	before, _ := formFrame()
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n%s\r\n"+
		"Content-Type: %s\r\n\r\n%x\r\n%s\r\n", cmp.Or(s.method, "POST"), u.RequestURI(), u.Host, s.header,
		cmp.Or(s.kind, "multipart/form-data; boundary="+rawBoundary), len(before), before)
	for ctx.Err() == nil {
		if _, err := io.WriteString(conn, "1\r\nx\r\n"); err != nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// TestRealBytesHoldAShare: an account fills what it gets of the spool with bytes that are there, and
// keeps them; another account uploads beside it.
func TestRealBytesHoldAShare(t *testing.T) {
	t.Parallel()
	onBothDatabases(t, func(t *testing.T, s *server) {
		b := newBystander(s)
		to := s.url + "/client/v4/accounts/" + accountID + "/images/v1"
		b.beside(6, func(ctx context.Context) {
			var bodies sync.WaitGroup
			for range slowBodies {
				bodies.Go(func() {
					begin, _ := formFrame()
					body := io.MultiReader(strings.NewReader(begin),
						bytes.NewReader(make([]byte, 2<<20-1)), untilDone{ctx})
					a, err := send(ctx, "POST", to, body, "Authorization", "Bearer "+token,
						"Content-Type", "multipart/form-data; boundary="+rawBoundary)
					if err == nil && (a.status != http.StatusServiceUnavailable ||
						a.header.Get("Retry-After") == "") {
						t.Errorf("a body that the spool has no room for: %d %s", a.status, a.body)
					}
				})
			}
			bodies.Wait()
		})
	}, smallSpool...)
}

// untilDone is a body's rest that never comes.
type untilDone struct{ context.Context }

func (u untilDone) Read([]byte) (int, error) {
	<-u.Done()
	return 0, u.Err()
}

// TestTenAttemptsAtMost sends 200 bodies at once to one URL: ten are refused for their content.
func TestTenAttemptsAtMost(t *testing.T) {
	t.Parallel()
	onBothDatabases(t, func(t *testing.T, s *server) {
		u := s.createUploadURL()
		picture := photo(t, 64, 48, 1)
		statuses := map[int]int{}
		var mu sync.Mutex
		var posts sync.WaitGroup
		for i := range 200 {
			posts.Go(func() {
				body := tagged(picture, i)
				form, kind := fileForm(t, "a.jpg", body[:len(body)-40])
				a, err := send(t.Context(), "POST", u.UploadURL, form, "Content-Type", kind)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				statuses[a.status]++
			})
		}
		posts.Wait()
		var image struct {
			Upload struct{ Attempts int }
		}
		got := s.api("GET", "images/v1/"+u.ID, nil)
		if err := json.Unmarshal(got.envelope(t).Result, &image); err != nil {
			t.Fatal(err)
		}
		if image.Upload.Attempts != 10 || statuses[http.StatusUnprocessableEntity] != 10 ||
			statuses[http.StatusGone] != 190 {
			t.Errorf("%d attempts are counted; the answers are %v", image.Upload.Attempts, statuses)
		}
	})
}

// TestFetchesAreShared: two accounts fetch from an origin that hangs, as often as they may; a third
// account's picture is fetched.
func TestFetchesAreShared(t *testing.T) {
	t.Parallel()
	picture := photo(t, 64, 48, 1)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			<-r.Context().Done()
			return
		}
		_, _ = w.Write(picture)
	}))
	t.Cleanup(origin.Close)
	t.Cleanup(origin.CloseClientConnections)
	onBothDatabases(t, func(t *testing.T, s *server) {
		fetch := func(ctx context.Context, b *bystander, path string) (answer, error) {
			body := fmt.Sprintf(`{"url":%q}`, origin.URL+path)
			return send(ctx, "POST", b.api+"v1", strings.NewReader(body),
				"Authorization", "Bearer "+b.token, "Content-Type", "application/json")
		}
		ctx, cancel := context.WithCancel(t.Context())
		var hanging sync.WaitGroup
		defer hanging.Wait()
		defer cancel()
		for range 2 {
			greedy := newBystander(s)
			full := make(chan struct{}, 17)
			for range 17 { // one more than it may have
				hanging.Go(func() {
					a, err := fetch(ctx, greedy, "/hang")
					if err == nil && a.status == http.StatusServiceUnavailable {
						full <- struct{}{}
					}
				})
			}
			<-full
		}
		a, err := fetch(t.Context(), newBystander(s), "/picture")
		if err != nil || a.status != http.StatusOK {
			t.Errorf("a third account: %d, %v: %s", a.status, err, a.body)
		}
	}, "-outbound-allow", "127.0.0.0/8")
}
