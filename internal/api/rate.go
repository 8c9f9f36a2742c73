package api

import (
	"container/list"
	"fmt"
	"math"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"calotype/internal/v4"
)

// The limits on the number of requests, each counted for a token on this node alone.
const (
	rateWindow    = 5 * time.Minute // of the API's, whose number is configured
	batchRate     = 200             // requests to the batch API, a second
	maxRateTokens = 10_000          // counted at once; the one that was silent longest is forgotten
)

// A rateLimit counts the requests of each token. A nil one lets everything through.
type rateLimit struct {
	name   string
	quota  int
	window time.Duration

	mu     sync.Mutex
	of     map[string]*list.Element
	recent *list.List // of *tokenRate, the most recent one first
}

type tokenRate struct {
	key string
	*rate.Limiter
}

// newRateLimit lets quota requests through at once, and as many more in each window, evenly.
func newRateLimit(name string, quota int, window time.Duration) *rateLimit {
	return &rateLimit{name: name, quota: quota, window: window,
		of: map[string]*list.Element{}, recent: list.New()}
}

// A limited is a token to be counted by a limit.
type limited struct {
	*rateLimit
	key string
}

// take counts a request of the token and tells the client in headers what is left. Refused with
// 429, which says when to come again.
func (l limited) take(h http.Header, now time.Time) error {
	if l.rateLimit == nil {
		return nil
	}
	bucket := l.bucket(l.key)
	allowed := bucket.AllowN(now, 1)
	left := max(0, bucket.TokensAt(now))
	full := (float64(l.quota) - left) / float64(bucket.Limit())
	h.Set("Ratelimit", fmt.Sprintf("%q;r=%d;t=%.0f", l.name, int(left), math.Ceil(full)))
	h.Set("Ratelimit-Policy", fmt.Sprintf("%q;q=%d;w=%.0f", l.name, l.quota, l.window.Seconds()))
	if allowed {
		return nil
	}
	wait := time.Duration((1 - left) / float64(bucket.Limit()) * float64(time.Second))
	return &v4.Error{Status: http.StatusTooManyRequests, Code: codeRate, RetryAfter: max(1, wait),
		Message: fmt.Sprintf("Please wait and consider throttling your request speed: this token may "+
			"send %d requests in %v.", l.quota, l.window)}
}

// bucket returns the limiter of a token.
func (l *rateLimit) bucket(key string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.of[key]; ok {
		l.recent.MoveToFront(at)
		return at.Value.(*tokenRate).Limiter
	}
	if len(l.of) >= maxRateTokens {
		last := l.recent.Back()
		delete(l.of, l.recent.Remove(last).(*tokenRate).key)
	}
	perSecond := rate.Limit(float64(l.quota) / l.window.Seconds())
	one := &tokenRate{key, rate.NewLimiter(perSecond, l.quota)}
	l.of[key] = l.recent.PushFront(one)
	return one.Limiter
}
