package images_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/render"
	"calotype/internal/sqldb/sqldbtest"
)

// decoders returns a core whose workers count the uploads that they decode.
func decoders(t *testing.T, dsn string) (core *imagestest.Core, decoded *atomic.Int64) {
	t.Helper()
	decoded = &atomic.Int64{}
	pool, err := render.NewPool(render.PoolConfig{
		Command: []string{os.Args[0], imagestest.WorkerArg}, Queue: 10_000,
		Timer: func(lane, stage string, _ time.Duration) {
			if lane == render.Uploads && stage == render.StageWork {
				decoded.Add(1)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	return imagestest.Open(t, images.Config{Render: pool}, dsn), decoded
}

// TestTenBodiesAreDecoded sends 200 bodies at once to one URL, none of which is a whole picture: ten
// are decoded, and the ticket is dead. 142 were seen.
func TestTenBodiesAreDecoded(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		core, decoded := decoders(t, dsn)
		made, ticket := imagestest.Draft(t, core, images.NewDraft{})
		kinds := map[errs.Kind]int{}
		var mu sync.Mutex
		var wait sync.WaitGroup
		for i := range 200 {
			body := imagestest.JPEG(t, i)
			wait.Go(func() {
				_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket},
					body[:len(body)-40])
				mu.Lock()
				defer mu.Unlock()
				kinds[errs.AsError(err).Kind]++
			})
		}
		wait.Wait()
		img, err := core.Image(t.Context(), account, made.ID)
		if err != nil {
			t.Fatal(err)
		}
		if decoded.Load() != 10 || img.Ticket.Refusals != 10 || kinds[errs.Undecodable] != 10 ||
			kinds[errs.TicketInvalid] != 190 {
			t.Errorf("%d bodies were decoded; the row has %d refusals; the answers are %v",
				decoded.Load(), img.Ticket.Refusals, kinds)
		}
	})
}

// TestTheLastRefusalIsHeldForOneBody: with nine refusals, one body at a time is decoded.
func TestTheLastRefusalIsHeldForOneBody(t *testing.T) {
	t.Parallel()
	core, decoded := decoders(t, filepath.Join(t.TempDir(), "calotype.db"))
	_, ticket := imagestest.Draft(t, core, images.NewDraft{})
	request := images.UploadRequest{Ticket: ticket, Size: -1}
	for i := range 9 {
		_, err := imagestest.Post(t.Context(), core, request, fmt.Appendf(nil, "no picture %d", i))
		imagestest.WantKind(t, err, errs.Unsupported)
	}
	var uploads []*images.Upload
	for i := range 4 {
		u := begin(t, core, request)
		body := imagestest.JPEG(t, i)
		if i > 0 {
			body = body[:len(body)-40]
		}
		if _, err := u.Write(body); err != nil {
			t.Fatal(err)
		}
		uploads = append(uploads, u)
	}
	var wait sync.WaitGroup
	var taken, refused atomic.Int64
	for _, u := range uploads { // the first to finish may use the ticket: all have begun
		wait.Go(func() {
			switch _, err := u.Finish(t.Context(), ""); {
			case err == nil:
				taken.Add(1)
			case errs.AsError(err).Kind == errs.Undecodable:
				refused.Add(1)
			}
		})
	}
	wait.Wait()
	if taken.Load()+refused.Load() == 0 || decoded.Load() != taken.Load()+refused.Load() ||
		refused.Load() > 1 {
		t.Errorf("%d decoded, %d taken, %d refused", decoded.Load(), taken.Load(), refused.Load())
	}
}

// TestARepeatIsNotKept: the bytes of a repeat are compared, not spooled; and four come at once.
func TestARepeatIsNotKept(t *testing.T) {
	t.Parallel()
	core, dir := spooled(t, 1<<20, 4<<20)
	_, ticket := imagestest.Draft(t, core, images.NewDraft{})
	body := imagestest.JPEG(t, 1)
	request := images.UploadRequest{Ticket: ticket, IdempotencyKey: "k"}
	first, err := imagestest.Post(t.Context(), core, request, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Size = -1
	var repeats []*images.Upload
	for range 4 {
		u := begin(t, core, request)
		if _, err := u.Write(body); err != nil {
			t.Fatal(err)
		}
		repeats = append(repeats, u)
	}
	if left := imagestest.Files(t, dir); len(left) != 0 {
		t.Errorf("repeats are in the spool: %v", left)
	}
	if s, err := core.Stats(); err != nil || s.SpoolReserved != 0 {
		t.Errorf("%d bytes are reserved, %v", s.SpoolReserved, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancelled := make(chan error, 1)
	go func() {
		_, err := core.BeginUpload(ctx, request)
		cancelled <- err
	}()
	until(t, func() bool { return waitingAt(core, "ticket_bodies") == 1 })
	cancel()
	imagestest.WantKind(t, <-cancelled, errs.Aborted)
	for _, u := range repeats {
		if img, err := u.Finish(t.Context(), ""); err != nil || img.Key != first.Key {
			t.Errorf("a repeat got %v, %v", img.Key, err)
		}
		u.Close()
	}
	u := begin(t, core, request)
	_, err = u.Write(make([]byte, 1<<20+1))
	imagestest.WantKind(t, u.Refuse(t.Context(), err), errs.TooLarge)
}

// waitingAt returns how many requests wait at a pool of a core.
func waitingAt(core *imagestest.Core, pool string) int {
	for _, p := range core.Pools() {
		if s := p.Stats(); s.Name == pool {
			return s.Waiting
		}
	}
	return -1
}

// TestAWaitingBodyIsCheckedAgain: an upload that waited while the ticket was used, became invalid or was cancelled is
// refused before a byte of its body is read.
func TestAWaitingBodyIsCheckedAgain(t *testing.T) {
	t.Parallel()
	for want, end := range map[errs.Kind]func(core *imagestest.Core, made images.Image, u *images.Upload) error{
		errs.TicketUsed: func(core *imagestest.Core, _ images.Image, u *images.Upload) error {
			_, err := u.Write(imagestest.JPEG(t, 1))
			if err == nil {
				_, err = u.Finish(t.Context(), "")
			}
			return err
		},
		errs.TicketUnknown: func(core *imagestest.Core, made images.Image, u *images.Upload) error {
			return core.DeleteImage(t.Context(), account, made.ID)
		},
		errs.TicketInvalid: func(core *imagestest.Core, made images.Image, u *images.Upload) error {
			for range 10 {
				if _, err := u.Write([]byte("x")); err != nil { // an equal body does not count
					return err
				}
				refusal := errs.Errorf(errs.TooLarge, "too large")
				if err := u.Refuse(t.Context(), refusal); err != error(refusal) {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(want.String(), func(t *testing.T) {
			t.Parallel()
			core := imagestest.New(t)
			made, ticket := imagestest.Draft(t, core, images.NewDraft{})
			request := images.UploadRequest{Ticket: ticket, Size: -1}
			var held []*images.Upload
			for range 4 {
				held = append(held, begin(t, core, request))
			}
			const waiters = 5
			answers := make(chan error, waiters)
			for range waiters {
				go func() {
					_, err := core.BeginUpload(t.Context(), request)
					answers <- err
				}()
			}
			until(t, func() bool { return waitingAt(core, "ticket_bodies") == waiters })
			if err := end(core, made, held[0]); err != nil {
				t.Fatal(err)
			}
			for range waiters {
				imagestest.WantKind(t, <-answers, want)
			}
		})
	}
}

// TestATimeOutIsNoRefusal: what says nothing of the picture is not counted against its ticket.
func TestATimeOutIsNoRefusal(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	made, ticket := imagestest.Draft(t, core, images.NewDraft{})
	u := begin(t, core, images.UploadRequest{Ticket: ticket, Size: -1})
	for _, err := range []error{
		render.ErrBusy, render.ErrNoWorker, context.DeadlineExceeded,
		fmt.Errorf("%w: not done after 8s: %w", render.ErrWorker, render.ErrBusy),
	} {
		wantBusy(t, u.Refuse(t.Context(), images.RenderError("examining", err)))
	}
	if img, err := core.Image(t.Context(), account, made.ID); err != nil || img.Ticket.Refusals != 0 {
		t.Errorf("%d refusals were counted, %v", img.Ticket.Refusals, err)
	}
	final := fmt.Errorf("%w: %w", render.ErrWorker, render.ErrTime)
	imagestest.WantKind(t, u.Refuse(t.Context(), images.RenderError("examining", final)), errs.Undecodable)
	if img, err := core.Image(t.Context(), account, made.ID); err != nil || img.Ticket.Refusals != 1 {
		t.Errorf("%d refusals were counted, %v", img.Ticket.Refusals, err)
	}
}
