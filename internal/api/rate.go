package api

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"calotype/internal/cfapi"
	"calotype/internal/limit"
)

// The limits on the number of requests, counted for a token on each node separately.
const (
	rateWindow    = 5 * time.Minute // of the API, whose number is configured
	batchRate     = 200             // requests to the batch API, a second
	maxRateTokens = 10_000          // counted tokens
)

// A rateLimit counts the requests of each token. A nil rateLimit has no limit.
type rateLimit struct {
	*limit.Rates
	name   string
	window time.Duration
}

// newRateLimit returns a limit with a burst of quota requests, refilled evenly in each window.
func newRateLimit(name string, quota int, window time.Duration) *rateLimit {
	return &rateLimit{limit.NewRates(quota, window, maxRateTokens), name, window}
}

// A limited is a token with its limit.
type limited struct {
	*rateLimit
	key string
}

// take counts a request of the token and sets the headers with the remaining number. Over the limit it
// returns a 429 with Retry-After.
func (l limited) take(h http.Header, now time.Time) error {
	if l.rateLimit == nil {
		return nil
	}
	bucket, quota := l.Bucket(l.key), l.Burst()
	allowed := bucket.AllowN(now, 1)
	left := max(0, bucket.TokensAt(now))
	full := (float64(quota) - left) / float64(l.Limit())
	h.Set("Ratelimit", fmt.Sprintf("%q;r=%d;t=%.0f", l.name, int(left), math.Ceil(full)))
	h.Set("Ratelimit-Policy", fmt.Sprintf("%q;q=%d;w=%.0f", l.name, quota, l.window.Seconds()))
	if allowed {
		return nil
	}
	wait := time.Duration((1 - left) / float64(l.Limit()) * float64(time.Second))
	return &cfapi.Error{Status: http.StatusTooManyRequests, Code: codeRate, RetryAfter: max(1, wait),
		Message: fmt.Sprintf("Please wait and consider throttling your request speed: this token may "+
			"send %d requests in %v.", quota, l.window)}
}
