package renditions

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestAResolutionIsUsedForASecond: a resolution is used for a second from the start of its read, and not after
// a change of this node.
func TestAResolutionIsUsedForASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c resolveCache
		key := resolveKey{hash: "a", id: "b"}
		began := time.Now()
		time.Sleep(300 * time.Millisecond) // the read
		var generation int64
		put := func() { c.put(key, Resolved{}, generation, began) }
		want := func(want bool) {
			t.Helper()
			if _, ok := c.get(key, generation, time.Now()); ok != want {
				t.Errorf("used after %v: %v, want %v", time.Since(began), ok, want)
			}
		}
		put()
		want(true)
		generation++ // a change
		want(false)
		put()
		time.Sleep(700 * time.Millisecond)
		want(true)
		time.Sleep(time.Nanosecond)
		want(false)
	})
}
