package listen

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// TestStreamName: the same machine and URL have the same name, others have others, and no name holds
// what may be secret or is longer than streams' names may be.
func TestStreamName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	plain := regexp.MustCompile(`^[A-Za-z0-9.-]{1,100}$`)
	for _, to := range []string{
		"http://localhost:3000/hook", "http://localhost:3000/hook/", "http://localhost:3001/hook",
		"https://localhost:3000/hook", "http://localhost:3000/hook?key=canary",
		"http://user:canary@localhost:3000/hook", "http://[::1]:3000/", "http://x/" +
			strings.Repeat("a", 200), "http://x/" + strings.Repeat("a", 201), "http://x/%2e%2f/ä",
	} {
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{"laptop", "Ann's laptop"} {
			name := StreamName(host, u)
			if name != StreamName(host, u) || seen[name] || !plain.MatchString(name) ||
				strings.Contains(name, "canary") {
				t.Errorf("%s on %s has the name %q", to, host, name)
			}
			seen[name] = true
		}
	}
}

func TestIsFinal(t *testing.T) {
	t.Parallel()
	for status, final := range map[int]bool{
		301: true, 400: true, 401: true, 403: true, 404: true, 408: false, 429: false, 500: false,
		502: false, 503: false,
	} {
		if isFinal(errors.Join(&apiError{status: status})) != final {
			t.Errorf("status %d: final is not %v", status, final)
		}
	}
	if isFinal(errors.New("connection refused")) {
		t.Error("no connection is final")
	}
}

func TestFirstLine(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"": "", " no\nmore": "no", strings.Repeat("ä", 101): strings.Repeat("ä", 100) + "...",
	} {
		if got := firstLine(answer); got != want {
			t.Errorf("%q: %q", answer, got)
		}
	}
}
