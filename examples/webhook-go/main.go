// Command webhook-go receives Calotype's webhooks: it verifies each message, does what is to be done
// once for each event, and answers 204.
//
//	WEBHOOK_SIGNING_SECRET=whsec_... go run . localhost:3000
package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// maxBody is more than a message ever has: 1 MiB.
const maxBody = 1 << 20

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: webhook-go host:port")
	}
	verifier, err := newVerifier(os.Getenv("WEBHOOK_SIGNING_SECRET"))
	if err != nil {
		log.Fatalf("reading WEBHOOK_SIGNING_SECRET: %v", err)
	}
	server := &http.Server{
		Addr:        os.Args[1],
		Handler:     &receiver{verifier: verifier, secret: os.Getenv("WEBHOOK_SECRET")},
		ReadTimeout: 10 * time.Second, // Calotype waits no longer either
	}
	log.Fatal(server.ListenAndServe())
}

// newVerifier returns what verifies messages, nil without a secret: an empty one would verify what
// anybody has signed.
func newVerifier(secret string) (*standardwebhooks.Webhook, error) {
	if secret == "" || secret == "whsec_" {
		log.Print("WEBHOOK_SIGNING_SECRET is not set, so every message is answered 503. " +
			"'calotype webhook add URL --signing-secret new' prints a secret: start again with it, " +
			"then run 'calotype webhook test'")
		return nil, nil
	}
	return standardwebhooks.NewWebhook(secret)
}

type receiver struct {
	verifier *standardwebhooks.Webhook // nil: there is no secret yet
	secret   string                    // of the header cf-webhook-auth; "" for none

	mu   sync.Mutex
	done map[string]bool // in a real program: rows of its database, see handle
}

// An event is what the receiver needs of a message; docs/webhooks.md lists all fields.
type event struct {
	Data struct {
		Event    string   `json:"event"`
		ID       string   `json:"id"`
		Variants []string `json:"variants"`
		Error    *struct {
			Reason string `json:"reason"`
			Final  bool   `json:"final"`
		} `json:"error"`
	} `json:"data"`
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodPost {
		http.Error(w, "POST only", http.StatusMethodNotAllowed)
		return
	}
	if r.verifier == nil {
		http.Error(w, "the receiver has no signing secret yet", http.StatusServiceUnavailable)
		return
	}
	// The signature is over these bytes: verify them before they are parsed.
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxBody))
	if err != nil {
		http.Error(w, "the body could not be read", http.StatusBadRequest)
		return
	}
	if err := r.verify(body, request.Header); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		http.Error(w, "the body is no JSON", http.StatusBadRequest)
		return
	}
	r.handle(request.Header.Get(standardwebhooks.HeaderWebhookID), e)
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) verify(body []byte, header http.Header) error {
	// Hashes have one length, so the comparison reveals nothing, not even the secret's length.
	given, want := sha256.Sum256([]byte(header.Get("cf-webhook-auth"))), sha256.Sum256([]byte(r.secret))
	if r.secret != "" && subtle.ConstantTimeCompare(given[:], want[:]) == 0 {
		return errors.New("cf-webhook-auth is not the secret")
	}
	return r.verifier.Verify(body, header)
}

// handle does an event once: the same one may come again, with the same id, also while it is being
// done. A real program inserts the id into a table with a unique index, in the same transaction as
// what it does.
func (r *receiver) handle(id string, e event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done[id] {
		log.Printf("%s again", id)
		return
	}
	switch {
	case e.Data.Event == "image.upload.succeeded":
		log.Printf("%s image %s is ready: %v", id, e.Data.ID, e.Data.Variants)
	case e.Data.Event == "image.upload.failed" && e.Data.Error != nil:
		log.Printf("%s upload of %s failed: %s, final %v", id, e.Data.ID, e.Data.Error.Reason,
			e.Data.Error.Final)
	default: // a test, or a type of a later release: accepted and ignored
		log.Printf("%s %s", id, e.Data.Event)
	}
	if r.done == nil {
		r.done = map[string]bool{}
	}
	r.done[id] = true
}
