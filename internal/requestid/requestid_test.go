package requestid

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func give(target string, header ...string) (id string, w *httptest.ResponseRecorder) {
	r := httptest.NewRequest("GET", target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w = httptest.NewRecorder()
	return Give(w, r), w
}

func TestGive(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", maxLength)
	for _, sent := range []string{
		"a", "7", "0f1e2d3c", "req-1.2_3:4", "8C6E8F5D-1E2B-4E6F-9B1A-000000000001", long,
	} {
		if id, w := give("/?x=1", Header, sent); id != sent || w.Header().Get(Header) != sent {
			t.Errorf("%q became %q, in the answer %q", sent, id, w.Header().Get(Header))
		}
	}
	for _, sent := range []string{
		"", long + "a", "a b", "a\tb", "a\nb", "a\x00", "é", "a\"b", "a'b", "<a>", "a=b", "a/b", "a,b",
	} {
		id, w := give("/", Header, sent)
		if id == sent || len(id) < 20 || !wellFormed(id) || w.Header().Get(Header) != id {
			t.Errorf("%q became %q, in the answer %q", sent, id, w.Header().Get(Header))
		}
	}
	if id, _ := give("/", Header, "first", Header, "second"); id == "first" || id == "second" {
		t.Errorf("of two ids %q was taken", id)
	}
	a, _ := give("/")
	if b, _ := give("/"); a == b {
		t.Errorf("twice the id %q", a)
	}
}

// TestGivenOnce: the second call for a request returns the id of the first.
func TestGivenOnce(t *testing.T) {
	t.Parallel()
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
	if a, b := Give(w, r), Give(w, r); a != b || len(w.Header()[Header]) != 1 {
		t.Errorf("%q, then %q; in the answer %q", a, b, w.Header()[Header])
	}
}

// TestSecretsAreNoIDs: a secret of the request does not become its id, in whole or in part.
func TestSecretsAreNoIDs(t *testing.T) {
	t.Parallel()
	const canary = "CANARYCANARY"
	for _, c := range []struct {
		sent, target string
		header       [2]string
	}{
		{canary, "/upload/a/b?ticket=" + canary, [2]string{}},
		{"id-" + canary, "/upload/a/b?x=1&ticket=" + canary, [2]string{}},
		{canary[:8], "/h/i/v?exp=1&sig=" + canary, [2]string{}},
		{canary, "/upload/tus/" + canary, [2]string{}}, {canary[:8], "/upload/resumable/" + canary, [2]string{}},
		{canary, "/", [2]string{"Authorization", "Bearer " + canary}},
		{canary, "/", [2]string{"Authorization", "bearer   " + canary}},
		{canary, "/", [2]string{"Authorization", "Basic Og==" + canary}},
		{canary, "/", [2]string{"Authorization", "Basic dTpDQU5BUllDQU5BUlk="}}, // u:canary
		{canary, "/", [2]string{"X-Auth-Key", canary}},
		{canary, "/", [2]string{"X-Auth-User-Service-Key", canary}},
		{canary, "/", [2]string{"Idempotency-Key", canary}},
		{canary, "/", [2]string{"Cookie", "a=b; c=" + canary}},
		{canary, "/", [2]string{"Referer", "https://x.example/?ticket=" + canary}},
	} {
		id, w := give(c.target, Header, c.sent, c.header[0], c.header[1])
		if strings.Contains(id, canary[:8]) || w.Header().Get(Header) != id {
			t.Errorf("%q with %q, %q became %q", c.sent, c.target, c.header, id)
		}
	}
	kept, _ := give("/?exp=12345&ticket=OTHER-ONE", Header, "12345",
		"Authorization", "Bearer other-one")
	if kept != "12345" {
		t.Errorf("a short id became %q", kept)
	}
}

// FuzzGive: for any sent id, the id is well-formed and is in the answer.
func FuzzGive(f *testing.F) {
	f.Add("a-1", "ticket=abcdef", "Bearer x")
	f.Add("abcdef", "ticket=abcdef&&=", "Basic ====")
	f.Fuzz(func(t *testing.T, sent, query, authorization string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = query
		r.Header = http.Header{Header: {sent}, "Authorization": {authorization}}
		w := httptest.NewRecorder()
		id := Give(w, r)
		if !wellFormed(id) || w.Header().Get(Header) != id {
			t.Errorf("%q became %q", sent, id)
		}
	})
}

func BenchmarkGive(b *testing.B) {
	r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		clear(w.Header())
		Give(w, r)
	}
}
