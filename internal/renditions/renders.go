package renditions

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"calotype/internal/clientaddr"
	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/limit"
	"calotype/internal/outbound"
	"calotype/internal/render"
	"calotype/internal/trace"
)

const (
	renderTime   = 2 * time.Minute
	failureTime  = 30 * time.Second // the time for which a failure is cached
	failuresKept = 1000
)

// renders has at most one rendering for each key: N concurrent requests for a new rendition cause one
// rendering. Unlike singleflight of golang.org/x/sync it reports what is in flight, limits the renderings
// of an account and caches failures.
type renders struct {
	pool *limit.Pool // by account

	mu       sync.Mutex
	closed   bool
	inflight map[string]*rendering
	failures map[string]*rendering
}

type rendering struct {
	done  chan struct{}
	err   error                   // set before done is closed
	until time.Time               // a failure is cached until then
	end   context.CancelCauseFunc // of an eager one, which a request takes over; else nil
}

// errTakenOver ends an eager rendering when a client requests the rendition: the client's has a higher priority.
var errTakenOver = errors.New("a client has requested the rendition")

func newRenders(pool *limit.Pool) *renders {
	return &renders{pool: pool, inflight: map[string]*rendering{}, failures: map[string]*rendering{}}
}

// renderOnce waits for the single rendering of key.
func (s *Service) renderOnce(ctx context.Context, key string, r Resolved, f imagefile.Format) error {
	ctx, span := trace.Start(ctx, "render")
	err := s.once(ctx, key, r.Image.Account, func(ctx context.Context, _ render.Requester) error {
		return s.render(ctx, key, r, f)
	})
	span.End(err)
	return err
}

// once waits for the single work of key for all concurrent requests, and counts it as a miss of the client that starts
// it. A cancelled request does not cancel the work.
func (s *Service) once(
	ctx context.Context, key, account string, work func(context.Context, render.Requester) error,
) error {
	if !s.renders.has(key) {
		if err := s.countMiss(ctx); err != nil {
			return err
		}
	}
	who := render.Requester{Account: account, Client: clientaddr.Of(ctx)}
	one, _, err := s.startRender(key, who, func(own context.Context) error { return work(trace.Carry(own, ctx), who) })
	if err != nil {
		return err
	}
	select {
	case <-one.done:
		return one.err
	case <-ctx.Done():
		return errs.ClientAborted(nil)
	}
}

// has reports whether a request for key needs no new rendering: one is in flight, or a failure is cached.
func (rs *renders) has(key string) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	one := rs.find(key)
	return one != nil && one.end == nil
}

// find returns the rendering of key that is in flight, or whose failure is cached; else nil. The caller has
// locked mu.
func (rs *renders) find(key string) *rendering {
	if one := rs.inflight[key]; one != nil {
		return one
	}
	if one := rs.failures[key]; one != nil && time.Now().Before(one.until) {
		return one
	}
	return nil
}

// startRender starts the rendering of key, unless there is one; own reports whether it did. A client takes an eager one
// over: it ends, and the client's starts. Errors: Busy.
func (s *Service) startRender(
	key string, who render.Requester, work func(context.Context) error,
) (one *rendering, own bool, err error) {
	rs := s.renders
	rs.mu.Lock()
	defer rs.mu.Unlock()
	old := rs.find(key)
	if old != nil && (old.end == nil || who.Eager) {
		return old, false, nil
	}
	lease, err := rs.admit(who)
	if rs.closed || err != nil {
		lease.Release()
		return nil, false, errs.AtCapacity("The server is busy with other pictures", nil)
	}
	if old != nil {
		old.end(errTakenOver)
	}
	one = &rendering{done: make(chan struct{})}
	ctx, cancel := context.WithTimeout(s.closing, renderTime)
	if who.Eager {
		cancel()
		ctx, one.end = context.WithCancelCause(s.closing)
		cancel = func() { one.end(nil) }
	}
	rs.inflight[key] = one
	s.work.Go(func() {
		defer cancel()
		defer lease.Release()
		one.err = recovered(render.WithRequester(ctx, who), work)
		if one.err != nil && errors.Is(context.Cause(ctx), errTakenOver) {
			one.err = errTakenOver
		}
		rs.end(key, one)
	})
	return one, true, nil
}

// admit takes a unit of the pool; none for an eager rendering, which the queue of the eager ones has admitted.
func (rs *renders) admit(who render.Requester) (*limit.Lease, error) {
	if who.Eager {
		return nil, nil
	}
	return rs.pool.TryAcquire(1, who.Account)
}

// recovered converts a panic of work to an error, because work handles foreign bytes and no HTTP
// handler recovers it.
func recovered(ctx context.Context, work func(context.Context) error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	return work(ctx)
}

// end ends a rendering. It caches a failure for failureTime, so that a picture that crashes its worker does
// so twice a minute, not at every request.
func (rs *renders) end(key string, one *rendering) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.inflight[key] == one { // no client has taken it over
		delete(rs.inflight, key)
		delete(rs.failures, key)
	}
	if one.err != nil && isLasting(one.err) {
		if len(rs.failures) >= failuresKept {
			clear(rs.failures)
		}
		one.until = time.Now().Add(failureTime)
		rs.failures[key] = one
	}
	close(one.done)
}

// isLasting reports whether a repeated rendering, or a repeated request for a source, would most likely fail too.
func isLasting(err error) bool {
	kind := errs.AsError(err).Kind
	return kind == errs.Undecodable || kind == errs.RenditionFailed || kind == errs.Unsupported ||
		kind == errs.OverLimits || kind == errs.TooLarge || errors.As(err, new(*outbound.Error))
}

// close prevents new renderings.
func (rs *renders) close() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.closed = true
}
