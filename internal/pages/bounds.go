package pages

import (
	"math"
	"net/http"
	"sync"
	"time"

	"calotype/internal/cfapi"
)

// A limiter permits a burst, and then a number of requests a second.
type limiter struct {
	mu          sync.Mutex
	rate, burst float64
	left        float64
	last        time.Time
	now         func() time.Time
}

func newLimiter(perSecond, burst float64) *limiter {
	return &limiter{rate: perSecond, burst: burst, left: burst, now: time.Now}
}

// take refuses what is too much, and says when to come again.
func (l *limiter) take() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if !l.last.IsZero() {
		l.left = math.Min(l.burst, l.left+now.Sub(l.last).Seconds()*l.rate)
	}
	l.last = now
	if l.left < 1 {
		wait := time.Duration((1 - l.left) / l.rate * float64(time.Second))
		return &cfapi.Error{Status: http.StatusTooManyRequests, Code: 5429, RetryAfter: wait,
			Message: "This page has asked too often: wait a few seconds."}
	}
	l.left--
	return nil
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
