package cfapi

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"calotype/internal/errs"
)

// request makes a request and its body, read as a handler reads it.
func request(contentType, text string, limit int64) (*http.Request, *Body) {
	r := httptest.NewRequest(http.MethodPost, "/upload/x/y", strings.NewReader(text))
	r.Header.Set("Content-Type", contentType)
	limits := BodyLimits{Idle: time.Minute, Time: time.Hour, Bytes: limit}
	return r, NewBody(httptest.NewRecorder(), r, limits)
}

// receive reads a form and skips the fields that are not files.
func receive(r *http.Request, b *Body, to io.Writer) (string, error) {
	return ReadFileForm(r, b, to, func(string, io.Reader) error { return nil })
}

const (
	formType = "multipart/form-data; boundary=b"
	file     = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"C:\\a \\\"b\\\".jpg\"\r\n\r\nBYTES\r\n"
	urlField = "--b\r\nContent-Disposition: form-data; name=\"url\"\r\n\r\nhttp://127.0.0.1:9/\r\n"
	end      = "--b--\r\n"
)

func TestReceive(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		want errs.Kind // Internal for success
	}{
		"a file":                  {file + end, errs.Internal},
		"other fields are passed": {urlField + file + urlField + end, errs.Internal},
		"something after the end": {file + end + "epilogue", errs.Internal},
		"a part's vast header":    {"--b\r\nX: " + strings.Repeat("x", 200_000) + "\r\n\r\n" + end, errs.Invalid},
		"no file":                 {urlField + end, errs.Invalid},
		"two files":               {file + file + end, errs.Invalid},
		"no parts":                {end, errs.Invalid},
		"nothing":                 {"", errs.Invalid},
		"cut in the file":         {file[:len(file)-9], errs.Invalid},
		"cut before the end":      {file, errs.Invalid},
		"no form at all":          {"\xff\xd8\xff", errs.Invalid},
		"too long":                {file + end + strings.Repeat("x", 2000), errs.TooLarge},
	} {
		var got bytes.Buffer
		limit := int64(1000)
		if len(c.body) > 100_000 {
			limit = 1 << 20 // not the cause of a refusal
		}
		r, b := request(formType, c.body, limit)
		filename, err := receive(r, b, &got)
		if c.want == errs.Internal {
			if err != nil || got.String() != "BYTES" || filename != `C:\a "b".jpg` {
				t.Errorf("%s: got %q as %q, %v", name, got.String(), filename, err)
			}
			continue
		}
		if err == nil || errs.AsError(err).Kind != c.want {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestOnlyFormsAreTaken(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{"", "image/jpeg", "application/x-www-form-urlencoded",
		"multipart/form-data", "multipart/mixed; boundary=b", "multipart/form-data; boundary"} {
		r, _ := request(contentType, "", 10)
		err := CheckFileForm(r)
		if errs.AsError(err).Kind != errs.NotForm {
			t.Errorf("%q: got %v, want a refusal", contentType, err)
		}
	}
	r, _ := request(formType, "", 10)
	if err := CheckFileForm(r); err != nil {
		t.Errorf("a form was refused: %v", err)
	}
	r.Header.Set("Content-Encoding", "gzip")
	if err := CheckFileForm(r); errs.AsError(err).Kind != errs.NotForm {
		t.Errorf("an encoded form: got %v, want a refusal", err)
	}
}

// aborted is a body whose client goes away.
type aborted struct{ io.Reader }

func (a aborted) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	if err == io.EOF {
		err = errors.New("connection reset by peer")
	}
	return n, err
}

func TestABrokenConnectionIsNoFormError(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodPost, "/upload/x/y", aborted{strings.NewReader(file)})
	r.Header.Set("Content-Type", formType)
	limits := BodyLimits{Idle: time.Minute, Time: time.Hour, Bytes: 1000}
	_, err := receive(r, NewBody(httptest.NewRecorder(), r, limits), io.Discard)
	if errs.AsError(err).Kind != errs.Aborted {
		t.Errorf("got %v, want aborted", err)
	}
}

// TestDrain reads the rest of a body, even of one that was refused for its size.
func TestDrain(t *testing.T) {
	t.Parallel()
	_, b := request(formType, strings.Repeat("x", 5000), 10)
	if _, err := io.ReadAll(b); errs.AsError(err).Kind != errs.TooLarge {
		t.Fatalf("got %v, want too large", err)
	}
	if b.Drain(); b.err != io.EOF {
		t.Errorf("after draining: %v, want the end", b.err)
	}
	_, waiting := request(formType, "never sent", 100)
	waiting.expects = true
	if waiting.Drain(); waiting.read != 0 {
		t.Error("a client that waits for 100 Continue got it before its refusal")
	}
}

// TestASlowBodyIsRefused has a client that stops in the middle of its body.
func TestASlowBodyIsRefused(t *testing.T) {
	t.Parallel()
	got := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limits := BodyLimits{Idle: 50 * time.Millisecond, Time: time.Hour, Bytes: 1000}
		_, err := receive(r, NewBody(w, r, limits), io.Discard)
		got <- err
	}))
	defer server.Close()
	r, w := io.Pipe()
	defer w.Close()
	go func() { _, _ = io.WriteString(w, file[:60]) }()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, r)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", formType)
	go func() {
		if response, err := http.DefaultClient.Do(request); err == nil {
			response.Body.Close()
		}
	}()
	if err := <-got; errs.AsError(err).Kind != errs.TooSlow {
		t.Errorf("got %v, want too slow", err)
	}
}

// FuzzReadFileForm: no form makes the reader panic, and no field but file reaches the upload.
func FuzzReadFileForm(f *testing.F) {
	for _, seed := range []string{file + end, urlField + file + end, file, end, "", "--b\r\n\r\n\r\n--b--"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, form []byte) {
		var got bytes.Buffer
		r, b := request(formType, string(form), 1<<20)
		_, err := receive(r, b, &got)
		if err == nil && !bytes.Contains(form, got.Bytes()) {
			t.Errorf("%q is not of the form", got.Bytes())
		}
		if err != nil && errs.AsError(err).Kind == errs.Internal {
			t.Errorf("a bad form is an internal error: %v", err)
		}
	})
}

// trickle is a body that sends a piece in each interval.
type trickle struct {
	pieces int
	bytes  int // of a piece
	pause  time.Duration
}

func (c *trickle) Read(p []byte) (int, error) {
	if c.pieces == 0 {
		return 0, io.EOF
	}
	c.pieces--
	time.Sleep(c.pause)
	return copy(p, make([]byte, c.bytes)), nil
}

// slowly reads a slow body, and spends the time busy on each piece.
func slowly(c io.Reader, busy time.Duration) (*Body, error) {
	r := httptest.NewRequest(http.MethodPost, "/upload/x/y", c)
	b := NewBody(httptest.NewRecorder(), r,
		BodyLimits{Idle: 30 * time.Second, Time: time.Hour, Bytes: 10 << 20})
	p := make([]byte, 64<<10)
	for {
		if _, err := b.Read(p); err != nil {
			return b, err
		}
		time.Sleep(busy)
	}
}

func TestABodyMustKeepALeastRate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body trickle
		busy time.Duration
		slow bool
	}{
		"a byte every 20 s":               {trickle{200, 1, 20 * time.Second}, 0, true},
		"3 KiB a second":                  {trickle{3000, 3 << 10, time.Second}, 0, true},
		"3 KiB a second, except for 29 s": {trickle{29, 3 << 10, time.Second}, 0, false},
		"5 KiB a second":                  {trickle{1800, 5 << 10, time.Second}, 0, false},
		"60 KiB every 14 s":               {trickle{100, 60 << 10, 14 * time.Second}, 0, false},
		"a server that is busy":           {trickle{100, 5 << 10, time.Second}, time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, err := slowly(&c.body, c.busy)
				switch {
				case !c.slow && err != io.EOF:
					t.Errorf("after %d bytes: %v", b.BytesRead(), err)
				case c.slow && (errs.AsError(err).Kind != errs.TooSlow ||
					!strings.Contains(err.Error(), "4096 bytes a second")):
					t.Errorf("got %v, want a refusal that names the least rate", err)
				case c.slow && b.BytesRead() >= 45*leastRate:
					t.Errorf("%d bytes came before it was refused", b.BytesRead())
				}
			})
		})
	}
}

// TestABodyThatSlowsDown: the rate is measured over the last 30 s only.
func TestABodyThatSlowsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fast, slow := &trickle{100, 32 << 10, time.Second}, &trickle{1000, 1 << 10, time.Second}
		_, err := slowly(io.MultiReader(fast, slow), 0)
		if errs.AsError(err).Kind != errs.TooSlow {
			t.Errorf("got %v, want too slow", err)
		}
		// Three fast seconds carry 27 slow ones.
		if n := 1000 - slow.pieces; fast.pieces > 0 || n < 27 || n > 30 {
			t.Errorf("it was refused after %d slow seconds", n)
		}
	})
}
