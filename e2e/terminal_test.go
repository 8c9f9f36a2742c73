package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// evil writes a terminal's title, clears it, begins a line, and turns the text round.
const evil = "\x1b]0;PWNED\a\x1b[2J\r\nfake: line\u202e\u200b\u009b2J\U000e0001"

// wantVisible fails when a text does more to a terminal than show itself, in lines.
func wantVisible(t *testing.T, what, text string) {
	t.Helper()
	if !strings.Contains(text, "PWNED") {
		t.Errorf("%s does not show what the other server said: %q", what, text)
	}
	if at := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !strconv.IsPrint(r) }); at >= 0 {
		t.Errorf("%s holds %q", what, text[max(0, at-100):min(len(text), at+100)])
	}
	if strings.Contains(text, "\nfake") {
		t.Errorf("%s has a line that is the other server's: %s", what, text)
	}
}

// evilSource says evil things in each field that an import reads; refuse is a path that it refuses.
func evilSource(t *testing.T, refuse string) string {
	t.Helper()
	answers := map[string]any{
		"/v1/variants": map[string]any{"variants": map[string]any{
			evil:   map[string]any{"options": map[string]any{"width": 1}},
			"good": map[string]any{"options": map[string]any{evil: evil, "width": evil}},
			"fit":  map[string]any{"options": map[string]any{"fit": evil}},
		}},
		"/v1/keys":   map[string]any{"keys": []any{map[string]any{"name": evil, "value": evil}}},
		"/v1/config": map[string]any{"flexible_variants": true},
		"/v2": map[string]any{"continuation_token": nil, "images": []any{
			map[string]any{"id": evil, "filename": evil, "creator": evil, "uploaded": evil,
				"variants": []any{"https://x/" + evil + "/" + evil + "/" + evil}},
			map[string]any{"id": "a\u202eb", "filename": evil, "creator": evil, "meta": evil,
				"uploaded": "2023-02-03T04:05:06Z", "variants": []any{}},
		}},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, path, _ := strings.Cut(r.URL.Path, "/images")
		result, ok := answers[path]
		if !ok || path == refuse {
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]any{"success": false,
				"errors": []any{map[string]any{"code": 5400, "message": evil}}})
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"success": true, "result": result})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestImportShowsWhatIsForeign runs imports from sources that write to the terminal of who moves in.
func TestImportShowsWhatIsForeign(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, refuse := range []string{"none", "/v2", "/v1/config"} {
		ran := calotype(t, []string{"CALOTYPE_TOKEN=x", "CALOTYPE_DISK_RESERVE=1MiB"}, "import", "-data",
			s.data, "-from", evilSource(t, refuse)+"/client/v4", "-account", accountID, "-rate", "0",
			"-outbound-allow", "127.0.0.1")
		wantVisible(t, "the output", ran.stdout)
		if refuse == "/v2" {
			wantVisible(t, "the error", ran.stderr)
		}
		report, err := os.ReadFile(filepath.Join(s.data, "import-report.json"))
		if err != nil {
			t.Fatal(err)
		}
		wantVisible(t, "the report", string(report))
		if !json.Valid(report) {
			t.Errorf("the report is no JSON: %s", report)
		}
	}
}

// TestListenShowsWhatIsForeign listens to a server that writes to the terminal of the developer.
func TestListenShowsWhatIsForeign(t *testing.T) {
	t.Parallel()
	local := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, evil, http.StatusTeapot)
	}))
	t.Cleanup(local.Close)
	event, err := json.Marshal(map[string]any{"data": map[string]any{"event": evil, "id": evil}})
	if err != nil {
		t.Fatal(err)
	}
	claims := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var result any
		switch {
		case r.Method == http.MethodPut:
			result = map[string]any{"signing_secret": "whsec_" + strings.Repeat("A", 32)}
		case strings.HasSuffix(r.URL.Path, "/claim") && claims == 0:
			claims++
			result = map[string]any{"deliveries": []any{map[string]any{
				"event_id": evil, "attempt": 1, "headers": map[string]any{}, "body": string(event)}}}
		default:
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]any{"success": false,
				"errors": []any{map[string]any{"message": evil}}})
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"success": true, "result": result})
	}))
	t.Cleanup(server.Close)
	env := []string{"CLOUDFLARE_BASE_URL=" + server.URL + "/client/v4",
		"CLOUDFLARE_ACCOUNT_ID=" + accountID, "CLOUDFLARE_API_TOKEN=" + token}
	ran := calotype(t, env, "listen", "--forward-to", local.URL)
	wantVisible(t, "the output", ran.stdout)
	wantVisible(t, "the error", ran.stderr)
	if n := strings.Count(ran.stdout, "PWNED"); n < 4 || ran.code != 1 {
		t.Errorf("listen ended with %d and shows %d texts: %s", ran.code, n, ran.stdout)
	}
}
