package api

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"calotype/internal/limit"
	"calotype/internal/v4"
)

// The limits on the number of requests, each counted for a token on this node alone.
const (
	rateWindow    = 5 * time.Minute // of the API's, whose number is configured
	batchRate     = 200             // requests to the batch API, a second
	maxRateTokens = 10_000          // counted at once
)

// A rateLimit counts the requests of each token. A nil one lets everything through.
type rateLimit struct {
	*limit.Rates
	name   string
	window time.Duration
}

// newRateLimit lets quota requests through at once, and as many more in each window, evenly.
func newRateLimit(name string, quota int, window time.Duration) *rateLimit {
	return &rateLimit{limit.NewRates(quota, window, maxRateTokens), name, window}
}

// A limited is a token to be counted by a limit.
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
	return &v4.Error{Status: http.StatusTooManyRequests, Code: codeRate, RetryAfter: max(1, wait),
		Message: fmt.Sprintf("Please wait and consider throttling your request speed: this token may "+
			"send %d requests in %v.", quota, l.window)}
}
