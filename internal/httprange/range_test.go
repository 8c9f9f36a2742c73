package httprange_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"calotype/internal/httprange"
)

const content = "0123456789"

// serve returns the answer to a GET with a Range header.
func serve(asked string) (refused int, answer *httptest.ResponseRecorder) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header["Range"] = []string{asked}
	answer = httptest.NewRecorder()
	answer.Header().Set("Content-Type", "text/plain")
	httprange.Clean(r.Header, 10)
	return httprange.Serve(answer, r, strings.NewReader(content)), answer
}

func TestRanges(t *testing.T) {
	t.Parallel()
	for asked, want := range map[string]string{
		"": content, "items=0-1": content, "bytes": content, "bytes=abc": content,
		"bytes=5-2": content, "bytes=1-2-3": content, "bytes=3-5": "345", "BYTES = 3-5 ,": "345",
		"bytes=-2": "89", "bytes=7-": "789", "bytes=8-99999999999999999999": "89",
		"bytes=0-0" + strings.Repeat(",2-2", 10): content, // eleven ranges
	} {
		status := http.StatusPartialContent
		if want == content {
			status = http.StatusOK
		}
		refused, answer := serve(asked)
		if refused != 0 || answer.Code != status || answer.Body.String() != want {
			t.Errorf("%q: refused with %d, sent %d %q", asked, refused, answer.Code, answer.Body)
		}
	}
	for _, asked := range []string{"bytes=10-", "bytes=99999999999999999999-"} {
		refused, answer := serve(asked)
		if refused != http.StatusRequestedRangeNotSatisfiable || answer.Body.Len() != 0 ||
			answer.Header().Get("Content-Range") != fmt.Sprintf("bytes */%d", len(content)) {
			t.Errorf("%q: refused with %d, sent %q", asked, refused, answer.Body)
		}
	}
}

// FuzzRange has any header answered with the whole, a part or a refusal, and parts bounded.
func FuzzRange(f *testing.F) {
	for _, asked := range []string{"bytes=0-1", "bytes=0-1,-3", "bytes= 5-,,", "items=1", "bytes=--"} {
		f.Add(asked)
	}
	f.Fuzz(func(t *testing.T, asked string) {
		refused, answer := serve(asked)
		body, err := io.ReadAll(answer.Body)
		switch {
		case err != nil:
			t.Fatal(err)
		case refused == http.StatusRequestedRangeNotSatisfiable && len(body) == 0:
		case refused == 0 && answer.Code == http.StatusOK && string(body) == content:
		case refused == 0 && answer.Code == http.StatusPartialContent && len(body) < 4096:
		default:
			t.Errorf("refused with %d, sent %d %q", refused, answer.Code, body)
		}
	})
}
