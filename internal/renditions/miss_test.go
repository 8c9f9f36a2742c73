package renditions

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"calotype/internal/clientaddr"
	"calotype/internal/errs"
)

// clientContext is that of a request from an address.
func clientContext(ctx context.Context, address string) context.Context {
	peer := clientaddr.Proxies(nil).Peer(&net.TCPAddr{IP: net.ParseIP(address), Port: 1})
	return clientaddr.With(ctx, peer)
}

func TestMissesOfAnAddressAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Service{misses: newMisses(2)} // 20 at once, 20 more may wait
		ctx, cancel := context.WithCancel(clientContext(t.Context(), "198.51.100.1"))
		defer cancel()
		var taken, refused, aborted atomic.Int64
		ask := func(n int) {
			for range n {
				go func() {
					switch err := s.countMiss(ctx); {
					case err == nil:
						taken.Add(1)
					case errs.AsError(err).Kind == errs.RateLimited && errs.AsError(err).RetryAfter > 0:
						refused.Add(1)
					case errs.AsError(err).Kind == errs.Aborted:
						aborted.Add(1)
					default:
						t.Error(err)
					}
				}()
			}
			synctest.Wait()
		}
		ask(50)
		if taken.Load() != 20 || refused.Load() != 10 {
			t.Errorf("at once %d were taken and %d refused, want 20 and 10", taken.Load(), refused.Load())
		}
		for _, other := range []string{"198.51.100.2", "127.0.0.1", "10.1.2.3"} {
			if err := s.countMiss(clientContext(t.Context(), other)); err != nil {
				t.Errorf("another client: %v", err)
			}
		}
		if err := (&Service{}).countMiss(ctx); err != nil {
			t.Errorf("without a bound: %v", err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if taken.Load() != 30 {
			t.Errorf("after 5 s %d were taken, want 30", taken.Load())
		}
		cancel()
		synctest.Wait()
		if aborted.Load() != 10 {
			t.Errorf("%d were aborted with their requests, want 10", aborted.Load())
		}
	})
}
