package conformance

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// patience is how long the program waits for what must come, or be listed, at once.
const patience = 20 * time.Second

// A receiver is the backend of an app: it listens on this machine and keeps what is posted to it.
type receiver struct {
	url string

	mu       sync.Mutex
	status   int // of its answers
	messages []message
}

// A message is what was posted, and those of its fields that the program looks at.
type message struct {
	header http.Header
	body   []byte

	AlertType string `json:"alert_type"`
	AccountID string `json:"account_id"`
	PolicyID  string `json:"policy_id"`
	Data      struct {
		Event, ID, Filename string
		Error               struct{ Code, Attempt int }
	}
}

// newReceiver starts a receiver that answers 200 until the test sets another status. Its path is new, because
// ports are reused.
func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusOK}
	path := "/hook/" + rand.Text()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, 1<<20))
		if err != nil || q.Method != http.MethodPost || q.URL.Path != path {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(r.take(message{header: q.Header, body: body}))
	}))
	t.Cleanup(server.Close)
	r.url = server.URL + path
	return r
}

// take keeps a message and returns the status of the answer.
func (r *receiver) take(m message) int {
	if err := json.Unmarshal(m.body, &m); err != nil {
		return http.StatusBadRequest
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, m)
	return r.status
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// find returns the first message about an event of an image; that of a test has none.
func (r *receiver) find(event, id string) (message, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.messages {
		if m.Data.Event == event && m.Data.ID == id {
			return m, true
		}
	}
	return message{}, false
}

// wait waits for a message.
func (r *receiver) wait(t *testing.T, event, id string) (m message) {
	t.Helper()
	eventually(t, "no message "+event+" came to the receiver", func() (found bool) {
		m, found = r.find(event, id)
		return found
	})
	return m
}

// eventually asks again and again until it is so.
func eventually(t *testing.T, otherwise string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(otherwise)
		}
	}
}

// wantGenuine wants a message with the secret in it, and with a signature that fits it, and neither
// another body nor another key.
func wantGenuine(t *testing.T, m message, secret, signingSecret string) {
	t.Helper()
	if got := m.header.Get("cf-webhook-auth"); got != secret {
		t.Errorf("cf-webhook-auth is %q, want the secret %q", got, secret)
	}
	if !strings.HasPrefix(m.header.Get("Content-Type"), "application/json") {
		t.Errorf("the message is %q", m.header.Get("Content-Type"))
	}
	key := newVerifier(t, signingSecret)
	if err := key.Verify(m.body, m.header); err != nil {
		t.Fatalf("the signature does not verify: %v: %v %s", err, m.header, m.body)
	}
	for at := range m.body {
		m.body[at] ^= 1
		if key.Verify(m.body, m.header) == nil {
			t.Errorf("the signature verifies with byte %d changed", at)
		}
		m.body[at] ^= 1
	}
	key = newVerifier(t, base64.StdEncoding.EncodeToString([]byte("the key of another destination")))
	if key.Verify(m.body, m.header) == nil {
		t.Error("the signature verifies with another key")
	}
}

func newVerifier(t *testing.T, signingSecret string) *standardwebhooks.Webhook {
	t.Helper()
	key, err := standardwebhooks.NewWebhook(signingSecret)
	if err != nil {
		t.Fatalf("the signing secret %q: %v", signingSecret, err)
	}
	return key
}
