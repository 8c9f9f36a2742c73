package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// backendSecret is what a backend's messages must bring in cf-webhook-auth.
const backendSecret = "canary-webhook-secret-7H2KD"

// A backend is an app's backend that receives events. It refuses messages whose signature does not verify,
// records all, and answers as the test sets it.
type backend struct {
	*httptest.Server
	t       *testing.T
	failing atomic.Bool // whether the first message of each event is answered 500
	id      string      // of its webhook
	signed  *standardwebhooks.Webhook

	mu       sync.Mutex
	received map[string]*tolds // by webhook-id
	gate     *turnstile
	held     int // messages that wait for their answer
}

// tolds are the messages about one event.
type tolds struct {
	event    toldEvent
	body     string // without the address of the server
	times    int
	answered int // with 2xx
}

// A toldEvent is the part of a body that the tests look at.
type toldEvent struct {
	Data struct {
		Event    string
		ID       string
		Original *struct{ SHA256 string }
		Error    *struct {
			Code, Attempt int
			Final         bool
		}
	}
}

// newBackend starts a backend, and adds it as a webhook of the server. path is the path and query of its
// URL.
func newBackend(t *testing.T, s *server, path string) *backend {
	t.Helper()
	r := &backend{t: t, received: map[string]*tolds{}, gate: newTurnstile()}
	r.open()
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	t.Cleanup(r.open)
	var hook struct {
		ID            string
		SigningSecret string `json:"signing_secret"`
	}
	s.alerting("destinations/webhooks", http.StatusCreated, map[string]any{
		"name": "backend", "url": r.URL + path, "secret": backendSecret}, &hook)
	s.alerting("policies", http.StatusOK, map[string]any{
		"name": "uploads", "alert_type": "image_notification", "enabled": true,
		"mechanisms": map[string]any{"webhooks": []any{map[string]any{"id": hook.ID}}}}, nil)
	verifier, err := standardwebhooks.NewWebhook(hook.SigningSecret)
	if err != nil {
		t.Fatalf("the signing secret: %v", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.id, r.signed = hook.ID, verifier
	return r
}

// alerting posts to the API of notifications.
func (s *server) alerting(path string, status int, fields, result any) {
	s.t.Helper()
	body, err := json.Marshal(fields)
	if err != nil {
		s.t.Fatal(err)
	}
	a := s.api("POST", "alerting/v3/"+path, bytes.NewReader(body), "Content-Type", "application/json")
	if a.status != status {
		s.t.Fatalf("%s: status %d, want %d\n%s", path, a.status, status, a.body)
	}
	if result == nil {
		return
	}
	if err := unmarshalResult(a, result); err != nil {
		s.t.Fatalf("%s: %v\n%s", path, err, a.body)
	}
}

// ServeHTTP takes a message.
func (r *backend) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // the server was killed while it sent
	}
	var event toldEvent
	if err := json.Unmarshal(body, &event); err != nil {
		r.t.Errorf("a message is no JSON: %v\n%s", err, body)
	}
	if event.Data.Event == "test" { // before the signing secret is known
		w.WriteHeader(http.StatusNoContent)
		return
	}
	id := q.Header.Get("webhook-id")
	gate, times := r.note(id, event, body, q.Header)
	defer func() { r.mu.Lock(); r.held--; r.mu.Unlock() }()
	select {
	case <-gate.permits:
	case <-gate.wide:
	case <-q.Context().Done():
		return
	}
	status := http.StatusNoContent
	if times == 1 && r.failing.Load() {
		status = http.StatusInternalServerError
	}
	w.WriteHeader(status)
	if status < 300 {
		r.mu.Lock()
		r.received[id].answered++
		r.mu.Unlock()
	}
}

// serverBase is where a server listens, which a restart changes.
var serverBase = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// note checks a message and remembers it. It returns where its answer has to wait, and the number of messages of
// its event up to now.
func (r *backend) note(
	id string, event toldEvent, body []byte, header http.Header,
) (gate *turnstile, times int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.signed.Verify(body, header); err != nil {
		r.t.Errorf("the message %s does not verify: %v\n%s", id, err, body)
	}
	changed := bytes.Clone(body)
	changed[len(changed)/2] ^= 1
	if r.signed.Verify(changed, header) == nil {
		r.t.Errorf("the message %s verifies with another byte too", id)
	}
	if got := header.Get("cf-webhook-auth"); got != backendSecret {
		r.t.Errorf("the message %s has the secret %q", id, got)
	}
	received, text := r.received[id], serverBase.ReplaceAllString(string(body), "http://server")
	switch {
	case id == "":
		r.t.Errorf("a message has no webhook-id: %v", header)
	case received == nil:
		received = &tolds{event: event, body: text}
		r.received[id] = received
	case received.body != text:
		r.t.Errorf("the messages of %s differ:\n%s\n%s", id, received.body, text)
	}
	received.times++
	r.held++
	return r.gate, received.times
}

// A turnstile is where messages wait for their answers.
type turnstile struct {
	permits chan struct{} // each for one answer
	wide    chan struct{} // closed: for all
	open    func()
}

func newTurnstile() *turnstile {
	g := &turnstile{permits: make(chan struct{}, 1000), wide: make(chan struct{})}
	g.open = sync.OnceFunc(func() { close(g.wide) })
	return g
}

// hold lets all messages wait from now on, until allow or open.
func (r *backend) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gate.open()
	r.gate = newTurnstile()
}

// allow answers n messages.
func (r *backend) allow(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range n {
		r.gate.permits <- struct{}{}
	}
}

// open answers all messages, those that wait and those to come.
func (r *backend) open() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gate.open()
}

// holds returns how many messages wait for their answers.
func (r *backend) holds() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held
}

// count returns how many messages have come.
func (r *backend) count() (n int) {
	for _, received := range r.all() {
		n += received.times
	}
	return n
}

// all returns what has come so far, by webhook-id.
func (r *backend) all() map[string]tolds {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]tolds, len(r.received))
	for id, received := range r.received {
		all[id] = *received
	}
	return all
}

// about returns the webhook-ids of one kind of event about an image that were answered with 2xx.
func (r *backend) about(event, image string) (ids []string) {
	for id, received := range r.all() {
		if received.event.Data.Event == event && received.event.Data.ID == image && received.answered > 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// wantOnce checks that an upload has one event, with the right original.
func (r *backend) wantOnce(image string, content []byte) {
	r.t.Helper()
	ids := r.about("image.upload.succeeded", image)
	if len(ids) != 1 {
		r.t.Errorf("the upload of %s has the events %q", image, ids)
		return
	}
	sum := sha256.Sum256(content)
	original := r.all()[ids[0]].event.Data.Original
	if original == nil || original.SHA256 != hex.EncodeToString(sum[:]) {
		r.t.Errorf("the event of %s has another original: %+v", image, original)
	}
}

// report describes what has come.
func (r *backend) report() string {
	times, events := map[int]int{}, map[string]int{}
	for _, received := range r.all() {
		times[received.times]++
		events[received.event.Data.Event]++
	}
	var text strings.Builder
	for _, event := range slices.Sorted(maps.Keys(events)) {
		fmt.Fprintf(&text, "%d of %s; ", events[event], event)
	}
	for _, n := range slices.Sorted(maps.Keys(times)) {
		fmt.Fprintf(&text, "%d came %d times; ", times[n], n)
	}
	return strings.TrimSuffix(text.String(), "; ")
}
