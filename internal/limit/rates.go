package limit

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rates are token buckets, one for each of many keys. They are safe for concurrent use.
type Rates struct {
	limit rate.Limit
	burst int
	most  int // keys; the one that was silent longest is forgotten

	mu     sync.Mutex
	of     map[string]*list.Element
	recent *list.List // of *keyRate, the most recent one first
}

type keyRate struct {
	key string
	*rate.Limiter
}

// NewRates returns buckets of burst units, each filled evenly by burst units in each window. It stores
// at most keys buckets; beyond that it discards the least recently used one.
func NewRates(burst int, window time.Duration, keys int) *Rates {
	return &Rates{limit: rate.Limit(float64(burst) / window.Seconds()), burst: burst, most: keys,
		of: map[string]*list.Element{}, recent: list.New()}
}

// Burst returns the units of a full bucket.
func (r *Rates) Burst() int { return r.burst }

// Limit returns the rate at which a bucket is filled, in units a second.
func (r *Rates) Limit() rate.Limit { return r.limit }

// Bucket returns the bucket of a key.
func (r *Rates) Bucket(key string) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, ok := r.of[key]; ok {
		r.recent.MoveToFront(at)
		return at.Value.(*keyRate).Limiter
	}
	if len(r.of) >= r.most {
		last := r.recent.Back()
		delete(r.of, r.recent.Remove(last).(*keyRate).key)
	}
	one := &keyRate{key, rate.NewLimiter(r.limit, r.burst)}
	r.of[key] = r.recent.PushFront(one)
	return one.Limiter
}

// Allow takes n units of a key's bucket if the bucket has n units, and reports whether it did.
func (r *Rates) Allow(key string, now time.Time, n int) bool {
	return r.Bucket(key).AllowN(now, n)
}

// Wait takes a unit of a key's bucket, or waits for a unit for at most atMost. On an error it takes no unit. Errors:
// ErrTimeout, at once if the wait would be longer; the cause of ctx.
func (r *Rates) Wait(ctx context.Context, key string, atMost time.Duration) error {
	bucket := r.Bucket(key)
	if bucket.Allow() {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	if bucket.Wait(waiting) == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %v", ErrTimeout, atMost)
}
