package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A requestLine is what the log says of one request.
type requestLine struct {
	Msg, Account, Image, Key, Creator, Reason string
	RequestID                                 string `json:"request_id"`
	Trace                                     string `json:"trace_id"`
	Span                                      string `json:"span_id"`
	Status, Code                              int
}

// lineOf returns the line of the log about a request.
func (s *server) lineOf(requestID string) requestLine {
	s.t.Helper()
	s.awaitLog(requestID)
	for line := range strings.Lines(s.log.String()) {
		var got requestLine
		if json.Unmarshal([]byte(line), &got) == nil && got.RequestID == requestID {
			return got
		}
	}
	s.t.Fatalf("the log has no line of %s", requestID)
	return requestLine{}
}

// TestWhyAnUploadFailed finds an upload in the log by its image and by its request, with the reason of
// its refusal, and asks for the rest by each name that the image has.
func TestWhyAnUploadFailed(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-outbound-allow", "127.0.0.1")
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(receiver.Close)
	if end := calotype(t, nil, "webhook", "add", "-data", s.data, "-outbound-allow", "127.0.0.1",
		receiver.URL); end.code != 0 {
		t.Fatalf("adding a webhook: %s", end.stdout+end.stderr)
	}
	u := s.createUploadURL("id", "folder/holiday", "creator", "ann", "metadata", `{"k":"not in the log"}`)
	body, kind := fileForm(t, "a.jpg", []byte("no picture"))
	refused := do(t, "POST", u.UploadURL, body, "Content-Type", kind, "X-Request-Id", "first-try")
	if refused.status != http.StatusUnsupportedMediaType {
		t.Fatalf("status %d", refused.status)
	}
	first := s.lineOf("first-try")
	want := requestLine{Msg: "upload", Account: accountID, Image: "folder/holiday", Key: first.Key, Creator: "ann",
		Reason: first.Reason, RequestID: "first-try", Status: http.StatusUnsupportedMediaType, Code: 5455}
	if first != want || !strings.Contains(first.Reason, "must have image/jpeg") || first.Key == "" {
		t.Errorf("the log says %+v, want %+v", first, want)
	}
	if a := post(t, u.UploadURL, "a.jpg", photo(t, 64, 48, 1)); a.status != http.StatusOK {
		t.Fatalf("status %d", a.status)
	}
	again, kind := fileForm(t, "a.jpg", photo(t, 64, 48, 2))
	do(t, "POST", u.UploadURL, again, "Content-Type", kind, "X-Request-Id", "too-late")
	if late := s.lineOf("too-late"); late.Image != "folder/holiday" || late.Code != 5409 ||
		late.Reason != "Upload URL already used" {
		t.Errorf("of a used URL the log says %+v", late)
	}
	s.api("POST", "images/v1", again, "Content-Type", "multipart/form-data; boundary=x", "X-Request-Id", "by-api")
	if by := s.lineOf("by-api"); by.Msg != "api" || by.Account != accountID || by.Reason != "invalid" {
		t.Errorf("of a refusal by the API the log says %+v", by)
	}
	s.api("GET", "images/v1/folder%2Fholiday", nil, "X-Request-Id", "details")
	if got := s.lineOf("details"); got.Image != "folder/holiday" || got.Reason != "" {
		t.Errorf("of details the log says %+v", got)
	}
	p, _ := s.image(u.ID)
	for id, url := range map[string]string{"delivered": p.Variants[0], "unknown-variant": p.Variants[0] + "x"} {
		do(t, "GET", url, nil, "X-Request-Id", id)
		got := s.lineOf(id)
		if got.Msg != "delivery" || got.Image != "folder/holiday" && got.Status == http.StatusOK ||
			(got.Reason == "") != (got.Status == http.StatusOK) {
			t.Errorf("%s: the log says %+v", id, got)
		}
	}
	if strings.Contains(s.log.String(), "not in the log") {
		t.Error("the log holds metadata")
	}
	waitUntil(t, "both events are delivered", func() bool {
		end := calotype(t, nil, "webhook", "history", "-data", s.data)
		return strings.Count(end.stdout+end.stderr, "folder/holiday") == 2
	})
	for _, name := range []string{"folder/holiday", first.Key, u.UploadURL, p.Variants[0]} {
		end := calotype(t, nil, "image", "show", "-data", s.data, name)
		for _, part := range []string{accountID, first.Key, "folder/holiday", "ann", "a.jpg", "jpeg, 64 x 48",
			"image.upload.failed", "image.upload.succeeded", "status 200"} {
			if end.code != 0 || !strings.Contains(end.stdout+end.stderr, part) {
				t.Errorf("%s: %d, without %q: %s", name, end.code, part, end.stdout+end.stderr)
			}
		}
	}
	end := calotype(t, nil, "image", "show", "-data", s.data, "nothing")
	if end.code == 0 || !strings.Contains(end.stdout+end.stderr, "no image or draft nothing") {
		t.Errorf("of no image: %d %s", end.code, end.stdout+end.stderr)
	}
}
