package api

import (
	"net/http"
	"strconv"

	"calotype/internal/receipts"
)

// KeysPath is the path of the public keys that verify receipts. A request for it needs no token.
const KeysPath = "/.well-known/jwks.json"

// keysTTL is the time in seconds for which clients may cache the keys. A new key signs long after it is published, but
// a client that has the keys of an installation that was restored reads the others within this time.
const keysTTL = 3600

// ReceiptKeys returns the handler of KeysPath: the public keys that verify receipts, as a JSON Web Key Set.
func ReceiptKeys(of *receipts.Service) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Access-Control-Allow-Origin", "*") // the keys are public, and programs in browsers verify too
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed: GET reads the keys", http.StatusMethodNotAllowed)
			return
		}
		keys := of.Published()
		if keys == nil {
			h.Set("Cache-Control", "no-store")
			h.Set("Retry-After", "60")
			http.Error(w, "the server has no keys yet", http.StatusServiceUnavailable)
			return
		}
		h.Set("Content-Type", "application/jwk-set+json")
		h.Set("Cache-Control", "public, max-age="+strconv.Itoa(keysTTL))
		h.Set("Content-Length", strconv.Itoa(len(keys)))
		w.WriteHeader(http.StatusOK)
		if r.Method == http.MethodGet {
			_, _ = w.Write(keys) // the error cannot be reported
		}
	})
}
