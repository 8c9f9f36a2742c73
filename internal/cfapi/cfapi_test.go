package cfapi

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/images"
)

func TestWriteResult(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		result any
		want   string
	}{
		{"created", Created{[]int{5}}, `{
  "result": [
    5
  ],
  "success": true,
  "errors": [],
  "messages": []
}
`},
		{"without result_info", struct{}{}, `{
  "result": {},
  "success": true,
  "errors": [],
  "messages": []
}
`},
		{"null result_info", WithInfo{map[string]string{"id": "<a&b>"}, nil}, `{
  "result": {
    "id": "<a&b>"
  },
  "result_info": null,
  "success": true,
  "errors": [],
  "messages": []
}
`},
		{"result_info", WithInfo{[]int{}, struct {
			Page int `json:"page"`
		}{1}}, `{
  "result": [],
  "result_info": {
    "page": 1
  },
  "success": true,
  "errors": [],
  "messages": []
}
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			if err := WriteResult(w, c.result); err != nil {
				t.Fatal(err)
			}
			status := 200
			if _, created := c.result.(Created); created {
				status = 201
			}
			if w.Code != status || w.Body.String() != c.want {
				t.Errorf("%d %s\nwant %d %s", w.Code, w.Body, status, c.want)
			}
			if got := w.Header().Get("Content-Type"); got != "application/json; charset=UTF-8" {
				t.Errorf("Content-Type %q", got)
			}
		})
	}
}

func TestWriteResultWithoutJSON(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	if err := WriteResult(w, math.NaN()); err == nil {
		t.Error("no error for a result without JSON form")
	}
	if w.Code != 500 || !strings.Contains(w.Body.String(), `"code": 5500`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestWriteError(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	id := Prepare(w, httptest.NewRequest("GET", "/", nil))
	err := WriteError(w, &Error{Status: 503, Code: 5503, Message: `Say "again" <later>`,
		RetryAfter: 1200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "result": null,
  "success": false,
  "errors": [
    {
      "code": 5503,
      "message": "Say \"again\" <later>"
    }
  ],
  "messages": []
}
`
	if w.Code != 503 || w.Body.String() != want {
		t.Errorf("%d %s\nwant 503 %s", w.Code, w.Body, want)
	}
	for name, want := range map[string]string{
		"Retry-After":            "2",
		"X-Should-Retry":         "",
		"X-Request-Id":           id,
		"Cache-Control":          "no-store",
		"X-Content-Type-Options": "nosniff",
		"Content-Type":           "application/json; charset=UTF-8",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s %q, want %q", name, got, want)
		}
	}

	w = httptest.NewRecorder()
	if err := WriteError(w, &Error{Status: 409, Code: 5409, Final: true}); err != nil {
		t.Fatal(err)
	}
	if got := w.Header().Get("X-Should-Retry"); got != "false" {
		t.Errorf("X-Should-Retry %q on a final refusal", got)
	}
	if got := w.Header().Get("Retry-After"); got != "" {
		t.Errorf("Retry-After %q on a final refusal", got)
	}
}

// TestUnforeseenNamesTheRequest: only the message of 5500 holds the request's id.
func TestUnforeseenNamesTheRequest(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		errors.New("CAUSE"): true, errs.Errorf(errs.ImageNotFound, "No such image"): false,
	} {
		w := httptest.NewRecorder()
		id := Prepare(w, httptest.NewRequest("GET", "/", nil))
		if err := WriteError(w, Refusal(err)); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(w.Body.String(), id); got != want || id == "" ||
			strings.Contains(w.Body.String(), "CAUSE") {
			t.Errorf("%v is answered as %s; the id is %s", err, w.Body, id)
		}
	}
}

func TestHEAD(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = WriteResult(w, "x")
	}))
	defer srv.Close()
	get, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	get.Body.Close()
	head, err := http.Head(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	head.Body.Close()
	if head.StatusCode != 200 || head.ContentLength != get.ContentLength || get.ContentLength <= 0 {
		t.Errorf("HEAD %d with length %d, GET has %d",
			head.StatusCode, head.ContentLength, get.ContentLength)
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	u := URLs{API: "https://a.example", Upload: "https://u.example", Delivery: "https://d.example"}
	const hash = "Vi7wi5KSItxGFsWRG2Us6Q"
	for id, escaped := range map[string]string{
		"2cdc28f0-017a-49c4-9ed7-87056c839010": "2cdc28f0-017a-49c4-9ed7-87056c839010",
		"a/b/c.png":                            "a/b/c.png",
		"100% sure":                            "100%25%20sure",
		"a%2Fb":                                "a%252Fb",
		"grüße/日本":                             "gr%C3%BC%C3%9Fe/%E6%97%A5%E6%9C%AC",
		"what?#;":                              "what%3F%23%3B",
	} {
		up := u.OneTimeURL(hash, id, "TICKET").UploadURL
		if want := "https://u.example/upload/" + hash + "/" + escaped + "?ticket=TICKET"; up != want {
			t.Errorf("upload URL of %q: %s, want %s", id, up, want)
		}
		variants := u.Variants(hash, id, []string{"public", "thumb"})
		want := []string{
			"https://d.example/" + hash + "/" + escaped + "/public",
			"https://d.example/" + hash + "/" + escaped + "/thumb",
		}
		if !slices.Equal(variants, want) {
			t.Errorf("variants of %q: %v, want %v", id, variants, want)
		}
		parsed, err := url.Parse(up)
		if err != nil || parsed.Path != "/upload/"+hash+"/"+id {
			t.Errorf("upload URL of %q parses to path %q (%v)", id, parsed.Path, err)
		}
	}
	if v := u.Variants(hash, "x", nil); v == nil {
		t.Error("no variants are nil, not empty")
	}
}

// keys returns the keys of a JSON object in their order.
func keys(t *testing.T, v any) []string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(b)))
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	var all []string
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			t.Fatal(err)
		}
		all = append(all, key.(string))
	}
	return all
}

func TestDraft(t *testing.T) {
	t.Parallel()
	creator := "user-1"
	at := time.Date(2026, 3, 7, 8, 4, 50, 716_999_000, time.FixedZone("", 3600))
	img := images.Image{
		ID: "d", Creator: &creator, Meta: json.RawMessage(`{"n":12345678901234567890}`),
		Uploaded: at, RequireSignedURLs: true, Draft: true,
		Ticket: &images.Ticket{Expires: at.Add(time.Hour), Refusals: 2,
			LastKind: errs.Undecodable, LastMessage: "broken"},
	}
	owner := OwnerImage(img, []string{"v"})
	want := []string{"id", "filename", "meta", "metadata", "creator", "uploaded",
		"requireSignedURLs", "variants", "draft", "upload"}
	if got := keys(t, owner); !slices.Equal(got, want) {
		t.Errorf("owner's keys %v, want %v", got, want)
	}
	b, err := encode(owner)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`"filename": null`, `"uploaded": "2026-03-07T07:04:50.716Z"`, `"draft": true`,
		`"n": 12345678901234567890`, `"expires": "2026-03-07T08:04:50.716Z"`, `"attempts": 2`,
		`"code": 9422`, `"message": "broken"`,
	} {
		if !strings.Contains(string(b), part) {
			t.Errorf("no %s in %s", part, b)
		}
	}
	want = []string{"id", "filename", "uploaded", "requireSignedURLs", "variants", "draft"}
	if got := keys(t, UploaderImage(img, nil)); !slices.Equal(got, want) {
		t.Errorf("uploader's keys %v, want %v", got, want)
	}
	img.Ticket.LastMessage = ""
	b, err = encode(OwnerImage(img, nil))
	if err != nil || !strings.Contains(string(b), `"lastError": null`) ||
		!strings.Contains(string(b), `"variants": []`) {
		t.Errorf("a fresh draft: %v %s", err, b)
	}
}

func TestUploadedImage(t *testing.T) {
	t.Parallel()
	name := "cat.jpg"
	img := images.Image{ID: "i", Filename: &name, Original: &images.Original{
		Header: imagefile.Header{Format: imagefile.JPEG, Width: 30, Height: 40, Frames: 1},
		Width:  40, Height: 30, Size: 99, SHA256: "ab", Thumbhash: "dGg=", Phash: "c1f8a3d2745b960e",
	}}
	want := []string{"id", "filename", "uploaded", "requireSignedURLs", "variants", "original"}
	got := OwnerImage(img, nil)
	if k := keys(t, got); !slices.Equal(k, want) {
		t.Errorf("keys %v, want %v", k, want)
	}
	wantOriginal := Original{"jpeg", 40, 30, 1, 99, "ab", "dGg=", "c1f8a3d2745b960e", nil, ""}
	if !reflect.DeepEqual(*got.Original, wantOriginal) || *got.Filename != name {
		t.Errorf("original %+v of %s", *got.Original, *got.Filename)
	}
	order := []string{"format", "width", "height", "frames", "file_size", "sha256", "thumbhash",
		"phash"}
	if k := keys(t, got.Original); !slices.Equal(k, order) {
		t.Errorf("keys of original %v, want %v", k, order)
	}
}

// TestWriteProblem: one object is a problem and an envelope.
func TestWriteProblem(t *testing.T) {
	t.Parallel()
	at, sent := int64(5), int64(0)
	w := httptest.NewRecorder()
	if err := WriteProblem(w, &Error{Status: 409, Code: 5409, Message: "Continue", Final: true},
		Problem{Type: "https://example.com/#x", Title: "mismatch", Expected: &at, Provided: &sent}); err != nil {
		t.Fatal(err)
	}
	want := `{
  "type": "https://example.com/#x",
  "title": "mismatch",
  "expected-offset": 5,
  "provided-offset": 0,
  "status": 409,
  "result": null,
  "success": false,
  "errors": [
    {
      "code": 5409,
      "message": "Continue"
    }
  ],
  "messages": []
}
`
	if w.Code != 409 || w.Body.String() != want {
		t.Errorf("%d %s\nwant 409 %s", w.Code, w.Body, want)
	}
	if h := w.Header(); h.Get("Content-Type") != "application/problem+json" || h.Get("X-Should-Retry") != "false" {
		t.Errorf("the headers are %v", h)
	}
	w = httptest.NewRecorder()
	if err := WriteProblem(w, &Error{Status: 400}, Problem{}); err != nil || strings.Contains(w.Body.String(), "offset") {
		t.Errorf("without offsets: %v, %s", err, w.Body)
	}
}
