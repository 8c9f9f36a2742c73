package intake_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"calotype/internal/cfapi"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/intake"
	"calotype/internal/render"
	"calotype/internal/webhooks"
)

// maxBytes is the largest file of the servers of these tests.
const maxBytes = 20_000

// A client posts pictures to one server.
type client struct {
	t       *testing.T
	core    *imagestest.Core
	handler http.Handler
	hook    webhooks.Webhook
}

func newClient(t *testing.T, core *imagestest.Core, hook webhooks.Webhook) client {
	t.Helper()
	return client{t, core, intake.New(intake.Config{Core: core.Service, Log: slog.New(slog.DiscardHandler),
		URLs: cfapi.URLs{Upload: "https://up.example", Delivery: "https://img.example"}}), hook}
}

// draft creates a draft whose policy has a test, "" for none, and returns its ticket.
func (c client) draft(test string) (images.Image, string) {
	c.t.Helper()
	d := images.NewDraft{}
	if test != "" {
		d.Policy = json.RawMessage(`{"test":"` + test + `"}`)
	}
	return imagestest.Draft(c.t, c.core, d)
}

// An outcome is all that a client, the API and a webhook see of an upload. Values that differ between any two uploads
// are replaced.
type outcome struct {
	Status int
	Header http.Header
	Body   string
	Upload *cfapi.Upload // of the draft afterwards; nil for an image
	Events []string
}

var varying = []struct {
	is   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`), "ID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`), "TIME"},
	{regexp.MustCompile(`"receipt": "[\w-]+\.[\w-]+\.[\w-]+"`), "RECEIPT"},
}

func plain(text string) string {
	for _, v := range varying {
		text = v.is.ReplaceAllString(text, v.with)
	}
	return text
}

// post posts a picture, and returns the outcome.
func (c client) post(draft images.Image, ticket string, picture []byte) (o outcome) {
	c.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "a.jpg")
	if err == nil {
		_, err = part.Write(picture)
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/upload/hash/id?ticket="+ticket, &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.Header.Set("Origin", "https://app.example")
	r.Header.Set("X-Request-Id", "the-request-of-a-test")
	answer := httptest.NewRecorder()
	c.handler.ServeHTTP(answer, r)
	o = outcome{Status: answer.Code, Header: answer.Header(), Body: plain(answer.Body.String())}
	if length := o.Header.Get("Content-Length"); length != fmt.Sprint(answer.Body.Len()) {
		c.t.Errorf("Content-Length %s of %d bytes", length, answer.Body.Len())
	}
	o.Header.Del("Content-Length") // the lengths of names of formats and of ids
	img, err := c.core.ImageByKey(c.t.Context(), draft.Key)
	if err != nil {
		c.t.Fatal(err)
	}
	if o.Upload = cfapi.OwnerImage(img, nil).Upload; o.Upload != nil {
		o.Upload.Expires, o.Upload.Policy = "", nil // which names the test
	}
	for {
		due := imagestest.Claim(c.t, c.core, c.hook)
		if len(due) == 0 {
			return o
		}
		for _, d := range due {
			facts, err := json.Marshal(d.Event.Facts.Failure)
			if err != nil {
				c.t.Fatal(err)
			}
			o.Events = append(o.Events, string(d.Event.Type)+" "+plain(string(facts)))
			imagestest.Complete(c.t, c.core, imagestest.Attempt(d, http.StatusOK))
		}
	}
}

// TestTicketsOfTestsAnswerAsRealOnes compares the outcome of each test ticket with that of the case that it stands for.
func TestTicketsOfTestsAnswerAsRealOnes(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: waits ten seconds")
	}
	t.Parallel()
	core := imagestest.Open(t, images.Config{MaxUploadBytes: maxBytes}, filepath.Join(t.TempDir(), "calotype.db"))
	clock := imagestest.NewClock()
	core.SetNow(clock.Now)
	c := newClient(t, core, imagestest.Webhook(t, core))
	good := imagestest.JPEG(t, 1)

	real := map[string]outcome{}
	draft, ticket := c.draft("")
	real["slow"] = c.post(draft, ticket, good)
	real["webhook_twice"] = real["slow"]
	real["used"] = c.post(draft, ticket, imagestest.JPEG(t, 2))
	draft, ticket = c.draft("")
	real["undecodable"] = c.post(draft, ticket, good[:len(good)/2])
	draft, ticket = c.draft("")
	real["too_large"] = c.post(draft, ticket, append(bytes.Clone(good), make([]byte, maxBytes)...))
	draft, ticket = c.draft("")
	clock.Forward(31 * time.Minute)
	real["expired"] = c.post(draft, ticket, good)
	draft, ticket = c.draft("")
	real["busy"] = newClient(t, withoutWorkers(t, core), c.hook).post(draft, ticket, good)

	for _, want := range []struct {
		test         string
		status, code int
		counts       bool
	}{
		{"slow", 200, 0, false}, {"webhook_twice", 200, 0, false}, {"used", 409, 5409, false},
		{"expired", 410, 5410, false}, {"undecodable", 422, 9422, true}, {"too_large", 413, 5413, true},
		{"busy", 503, 5503, false},
	} {
		draft, ticket := c.draft(want.test)
		got, real := c.post(draft, ticket, good), real[want.test]
		if real.Status != want.status || want.counts != (len(real.Events) == 1 && real.Upload != nil &&
			real.Upload.Attempts == 1 && real.Upload.LastError.Code == want.code) {
			t.Errorf("%s: the real case is another one: %+v", want.test, real)
		}
		switch want.test {
		case "used":
			got.Upload = nil // the draft of the test is no image
		case "webhook_twice":
			if len(got.Events) != 2 {
				t.Errorf("%d deliveries: %s", len(got.Events), got.Events)
			}
			got.Events = slices.Compact(got.Events)
		}
		if !reflect.DeepEqual(got, real) {
			t.Errorf("%s:\n got %+v\nreal %+v", want.test, got, real)
		}
	}
}

// withoutWorkers returns a node on the database of core whose workers have ended.
func withoutWorkers(t *testing.T, core *imagestest.Core) *imagestest.Core {
	t.Helper()
	pool, err := render.NewPool(render.PoolConfig{Command: []string{os.Args[0], imagestest.WorkerArg}, Workers: 1})
	if err == nil {
		err = pool.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return imagestest.Open(t, images.Config{DB: core.DB, Blobs: core.Blobs, Render: pool, MaxUploadBytes: maxBytes,
		Now: core.Now}, "")
}
