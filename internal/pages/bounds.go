package pages

import (
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"calotype/internal/cfapi"
)

// A limiter permits a burst, and then a number of requests a second.
type limiter struct {
	*rate.Limiter
	now func() time.Time
}

func newLimiter(perSecond rate.Limit, burst int) *limiter {
	return &limiter{rate.NewLimiter(perSecond, burst), time.Now}
}

// take takes a request, or refuses it with the time after which the next one is permitted. A refused request
// takes nothing.
func (l *limiter) take() error {
	now := l.now()
	if l.AllowN(now, 1) {
		return nil
	}
	wait := time.Duration((1 - l.TokensAt(now)) / float64(l.Limit()) * float64(time.Second))
	return &cfapi.Error{Status: http.StatusTooManyRequests, Code: 5429, RetryAfter: wait,
		Message: "This page has asked too often: wait a few seconds."}
}

// maxRecent bounds the ids that are remembered.
const maxRecent = 1000

// recent remembers the newest ids; the zero value remembers none.
type recent struct {
	mu   sync.Mutex
	set  map[string]bool
	ring []string // of set, the next to be forgotten at next
	next int
}

func (d *recent) add(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.set == nil {
		d.set = map[string]bool{}
	}
	d.set[id] = true
	if len(d.ring) < maxRecent {
		d.ring = append(d.ring, id)
		return
	}
	delete(d.set, d.ring[d.next])
	d.ring[d.next] = id
	d.next = (d.next + 1) % maxRecent
}

func (d *recent) has(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.set[id]
}
