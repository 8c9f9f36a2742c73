package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/httpframe"
	"calotype/internal/limit"
	"calotype/internal/requestid"
)

// newQuiet returns a handler without a core, for what needs none.
func newQuiet() *delivery {
	return New(Config{Log: slog.New(slog.DiscardHandler)}).(*delivery)
}

func checkRefusal(t *testing.T, what string, r *http.Response, status, code int) {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != status {
		t.Errorf("%s: status %d, want %d", what, r.StatusCode, status)
	}
	start := fmt.Sprintf("ERROR %d: ", code)
	if text := string(body); r.Header.Get("Content-Length") == "" ||
		text != "" && (!strings.HasPrefix(text, start) || strings.Index(text, "\n") != len(text)-1) {
		t.Errorf("%s: body %q, want %s...", what, text, start)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store",
		"Cf-Resized": fmt.Sprintf("err=%d", code), "Access-Control-Allow-Origin": "*",
		"X-Content-Type-Options": "nosniff", "ETag": "", "Vary": "", "Cache-Tag": "",
		"Surrogate-Key": "",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %s is %q, want %q", what, name, got, want)
		}
	}
	if r.Header.Get(requestid.Header) == "" {
		t.Errorf("%s: no request id", what)
	}
}

// refused returns the answer that err becomes.
func refused(ctx context.Context, err error) *http.Response {
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(ctx, "GET", "/", nil)
	setCommonHeaders(w.Header())
	newQuiet().refuse(newResponse(w, r, limit.Readers), r, err, &logLine{})
	return w.Result()
}

// kindsOfOtherSurfaces are the kinds that no delivery ends with. A new kind belongs here or in errorTable.
var kindsOfOtherSurfaces = []errs.Kind{
	errs.Internal, errs.Unauthenticated, errs.KeyNotFound, errs.WebhookNotFound, errs.PolicyNotFound,
	errs.WebhookRefused, errs.Exists, errs.TicketUnknown, errs.TicketUsed, errs.TicketInvalid,
	errs.PolicyRefused, errs.OriginRefused, errs.TicketBusy, errs.OffsetMismatch, errs.PartialBusy, errs.NotForm,
	errs.Blocked, errs.EntryNotFound,
	errs.TooLarge, errs.TooSlow, errs.LimitReached, errs.FetchFailed,
}

func TestEveryKindHasAWireForm(t *testing.T) {
	t.Parallel()
	for kind := range errorTable {
		if kind < 0 || kind >= errs.KindCount {
			t.Errorf("the table has a row for the kind %d, which does not exist", kind)
		}
	}
	for kind := range errs.KindCount {
		w, known := errorTable[kind]
		if known == slices.Contains(kindsOfOtherSurfaces, kind) {
			t.Errorf("%v: its row in the table: %v; give it one, or name it in kindsOfOtherSurfaces",
				kind, known)
		}
		if !known {
			w = defaultRow
		}
		if w.status < 400 || w.code < 9400 || w.code > 9600 || w.sentence == "" {
			t.Errorf("%v: %+v", kind, w)
			continue
		}
		for _, err := range []error{&errs.Error{Kind: kind}, errs.Errorf(kind, "A sentence")} {
			checkRefusal(t, kind.String(), refused(t.Context(), err), w.status, w.code)
		}
	}
}

// The codes that Cloudflare documents, and the statuses with them.
func TestWireForms(t *testing.T) {
	t.Parallel()
	for kind, want := range map[errs.Kind][2]int{
		errs.AccountUnknown: {403, 9427}, errs.ImageNotFound: {404, 9431},
		errs.VariantNotFound: {403, 9425}, errs.SignatureRefused: {403, 9425},
		errs.Forbidden: {403, 9429}, errs.Invalid: {400, 9432},
		errs.Undecodable: {422, 9516}, errs.RenditionFailed: {500, 9516},
		errs.Busy: {503, 9529},
	} {
		if got := errorTable[kind]; got.status != want[0] || got.code != want[1] {
			t.Errorf("%v: got %+v, want %v", kind, got, want)
		}
	}
}

func TestTheUnforeseenIsNotTold(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		errors.New("canary"), fmt.Errorf("reading: %w", errors.New("canary")),
		errs.Errorf(errs.Internal, "canary"), errs.Errorf(errs.TicketUsed, "canary"),
		&errs.Error{Kind: 999, Msg: "canary"}, &errs.Error{Kind: -1, Msg: "canary"},
		&errs.Error{Kind: errs.Undecodable, Msg: "Broken", Err: errors.New("canary")},
	} {
		w := refused(t.Context(), err)
		body, _ := io.ReadAll(w.Body)
		if strings.Contains(string(body), "canary") {
			t.Errorf("%v: the body is %q", err, body)
		}
		id := w.Header.Get(requestid.Header)
		if w.StatusCode == 500 && !strings.Contains(string(body), id) {
			t.Errorf("%v: %q does not name the request %s", err, body, id)
		}
	}
}

func TestBusySaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration]string{
		0: "1", time.Millisecond: "1", 1500 * time.Millisecond: "2", time.Minute: "60",
	} {
		w := refused(t.Context(), &errs.Error{Kind: errs.Busy, RetryAfter: after})
		if got := w.Header.Get("Retry-After"); got != want {
			t.Errorf("%v: Retry-After is %q, want %q", after, got, want)
		}
	}
	if got := refused(t.Context(), errors.New("x")).Header.Get("Retry-After"); got != "" {
		t.Errorf("the unforeseen: Retry-After is %q", got)
	}
}

func TestAClientThatLeftIsNoErrorOfOurs(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("reading an image: %w", context.Canceled)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	checkRefusal(t, "client gone", refused(gone, err), 502, 9528)
	checkRefusal(t, "client there", refused(t.Context(), err), 500, 9523)
}

func TestLogLine(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	d := newQuiet()
	d.Log = slog.New(slog.NewTextHandler(&text, nil))
	path := "/" + testHash + "/canary-id/?sig=canary-sig&exp=1"
	r := httptest.NewRequest(strings.Repeat("M", 100), path, nil)
	r.Header.Set("Authorization", "canary-token")
	r.Header.Set(requestid.Header, "canary-sig") // a secret of the request
	d.ServeHTTP(httptest.NewRecorder(), r)
	d.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != 2 || strings.Contains(text.String(), "canary") {
		t.Fatalf("got %q", lines)
	}
	for i, want := range []string{
		"level=INFO msg=delivery", "method=" + strings.Repeat("M", httpframe.MaxMethod) + " ", "status=405",
		"code=9424", "method=GET ", "status=400", "code=9432", "request_id=", "took=", "bytes=",
		"account=",
	} {
		line := lines[0]
		if i >= 4 {
			line = lines[1]
		}
		if !strings.Contains(line, want) {
			t.Errorf("%q lacks %q", line, want)
		}
	}
}

// A request that panics (here for want of a core) is answered and logged like all that is
// unforeseen.
func TestAPanicIsAnswered(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	d := newQuiet()
	d.Log = slog.New(slog.NewTextHandler(&text, nil))
	w := httptest.NewRecorder()
	d.ServeHTTP(w, httptest.NewRequest("GET", "/"+testHash+"/a/public", nil))
	checkRefusal(t, "panic", w.Result(), 500, 9523)
	if !strings.Contains(text.String(), "level=ERROR") || !strings.Contains(text.String(), "panic: ") {
		t.Errorf("got %q", text.String())
	}
}
