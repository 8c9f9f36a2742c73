package images_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb/sqldbtest"
)

// nodes returns nodes that share a database and a blob store.
func nodes(t *testing.T, n int, dsn string, c images.Config) (all []*imagestest.Core) {
	t.Helper()
	for range n {
		core := imagestest.Open(t, c, dsn)
		c.Blobs = core.Blobs
		all = append(all, core)
	}
	return all
}

// A racer sends one body to a resumable upload until it has ended, as a client without patience: it breaks requests
// off, and sends others at the same time.
type racer struct {
	core   *imagestest.Core
	secret string
	body   []byte
	rnd    *rand.Rand
}

// run returns the image of the upload, or the reason why it has none.
func (r *racer) run(ctx context.Context) (*images.UploadedImage, error) {
	for ctx.Err() == nil {
		p, err := r.core.Partial(ctx, r.secret)
		if err == nil && p.Image != nil {
			return p.Image, nil
		}
		if err == nil {
			p, err = r.append(ctx, int(p.Offset))
		}
		switch kind := errs.AsError(err).Kind; {
		case err == nil && p.Image != nil:
			return p.Image, nil
		case err == nil:
		case kind == errs.OffsetMismatch, kind == errs.Aborted, kind == errs.PartialBusy, kind == errs.Busy:
		case kind == errs.PartialBusy, kind == errs.TicketBusy:
			time.Sleep(time.Duration(r.rnd.Intn(20)) * time.Millisecond)
		default:
			return nil, err
		}
	}
	return nil, ctx.Err()
}

func (r *racer) append(ctx context.Context, offset int) (images.Partial, error) {
	rest := r.body[offset:]
	whole := r.rnd.Intn(3) > 0
	if r.rnd.Intn(2) == 0 && len(rest) > 100_000 {
		rest = rest[:50_000+r.rnd.Intn(len(rest)-50_000)]
	}
	a, err := r.core.BeginAppend(ctx, r.secret, at(offset))
	if err != nil {
		return images.Partial{}, err
	}
	for piece := range chunks(rest, 1+r.rnd.Intn(300_000)) {
		if _, err := a.Write(piece); err != nil {
			return images.Partial{}, errors.Join(err, a.Interrupt(ctx))
		}
	}
	if !whole {
		return images.Partial{}, a.Interrupt(ctx)
	}
	return a.Finish(ctx)
}

// TestResumableUploadsRace sends three bodies to one ticket, two of them by resumable uploads, each of which several
// clients at three nodes append to at once. There is one image, and it has one body.
func TestResumableUploadsRace(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		cores := nodes(t, 3, dsn, images.Config{})
		for round := range 3 {
			raceOneTicket(t, cores, round)
		}
		wantNothingLeft(t, cores[0], 3)
		imagestest.CheckUsage(t, cores[0])
	})
}

func raceOneTicket(t *testing.T, cores []*imagestest.Core, round int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	made, ticket := imagestest.Draft(t, cores[0], images.NewDraft{})
	bodies := [][]byte{photograph(t, 10*round, 2_500_000), photograph(t, 10*round+1, 1_200_000)}
	var mu sync.Mutex
	var won []*images.UploadedImage
	var wait sync.WaitGroup
	for i, body := range bodies {
		_, secret := newPartial(t, cores[0], images.NewPartial{Ticket: ticket, Length: int64(len(body))})
		for c := range 6 {
			r := &racer{cores[c%len(cores)], secret, body, rand.New(rand.NewSource(int64(100*round + 10*i + c)))}
			wait.Go(func() {
				img, err := r.run(ctx)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won = append(won, img)
				} else if errs.AsError(err).Kind != errs.TicketUsed {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
	}
	wait.Wait()
	if len(won) == 0 || len(won) > 6 {
		t.Fatalf("round %d: %d clients say that their upload was accepted, want those of one upload", round, len(won))
	}
	for _, img := range won {
		if img.Key != won[0].Key || img.ID != made.ID || img.Original.SHA256 != won[0].Original.SHA256 {
			t.Errorf("round %d: two images: %+v and %+v", round, img, won[0])
		}
	}
	stored := imagestest.Stored(t, cores[0], made.ID)
	if !bytes.Equal(stored, bodies[0]) && !bytes.Equal(stored, bodies[1]) {
		t.Errorf("round %d: the image has %d bytes, which are no body", round, len(stored))
	}
}

// TestFormsRaceAResumableUpload: the same claim decides between ways to upload.
func TestFormsRaceAResumableUpload(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		cores := nodes(t, 2, dsn, images.Config{})
		const rounds = 6
		for round := range rounds {
			made, ticket := imagestest.Draft(t, cores[0], images.NewDraft{})
			body := photograph(t, round, 100_000)
			_, secret := newPartial(t, cores[0], images.NewPartial{Ticket: ticket, Length: int64(len(body))})
			var accepted atomic.Int64
			count := func(err error) {
				if err == nil {
					accepted.Add(1)
				} else if kind := errs.AsError(err).Kind; kind != errs.TicketUsed && kind != errs.TicketBusy {
					t.Errorf("round %d: %v", round, err)
				}
			}
			var wait sync.WaitGroup
			for i := range 4 {
				wait.Go(func() {
					_, err := imagestest.Post(t.Context(), cores[i%2], images.UploadRequest{Ticket: ticket},
						imagestest.JPEG(t, 100*round+i))
					count(err)
				})
			}
			wait.Go(func() {
				_, err := send(t.Context(), cores[round%2], secret, at(0), body)
				count(err)
			})
			wait.Wait()
			if accepted.Load() != 1 {
				t.Errorf("round %d: %d uploads were accepted", round, accepted.Load())
			}
			p, err := cores[0].Partial(t.Context(), secret)
			won := bytes.Equal(imagestest.Stored(t, cores[0], made.ID), body)
			if won != (err == nil && p.Image != nil) || !won && errs.AsError(err).Kind != errs.TicketUsed {
				t.Errorf("round %d: it won: %v, but its state is %+v, %v", round, won, p, err)
			}
		}
		wantNothingLeft(t, cores[0], rounds)
		imagestest.CheckUsage(t, cores[0])
	})
}

// TestCreationsRaceTheEnd: 16 creations for one ticket leave two open uploads; creations that race the use of a
// ticket leave none.
func TestCreationsRaceTheEnd(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		cores := nodes(t, 2, dsn, images.Config{})
		for round := range 4 {
			_, ticket := imagestest.Draft(t, cores[0], images.NewDraft{})
			var made atomic.Int64
			var wait sync.WaitGroup
			for i := range 16 {
				wait.Go(func() {
					_, _, err := cores[i%2].CreatePartial(t.Context(), images.NewPartial{Ticket: ticket, Length: 9})
					switch kind := errs.AsError(err).Kind; {
					case err == nil:
						made.Add(1)
					case kind != errs.TicketBusy && kind != errs.TicketUsed:
						t.Errorf("round %d: %v", round, err)
					}
				})
			}
			if round > 1 {
				wait.Go(func() {
					_, err := imagestest.Post(t.Context(), cores[1], images.UploadRequest{Ticket: ticket},
						imagestest.JPEG(t, round))
					if err != nil {
						t.Errorf("round %d: %v", round, err)
					}
				})
			}
			wait.Wait()
			if made.Load() > 2 || round < 2 && made.Load() != 2 {
				t.Errorf("round %d: %d uploads are open", round, made.Load())
			}
			open := imagestest.Count(t, cores[0], "partials p WHERE ended IS NULL AND EXISTS (SELECT 1 FROM images "+
				"WHERE key = p.image AND draft = 0)")
			if open != 0 {
				t.Errorf("round %d: %d uploads of a used ticket are open", round, open)
			}
		}
		checkPartialBytes(t, cores[0])
	})
}

// TestAnotherNodeWaitsForTheLease: the lease of a node that is alive is respected, that of a node that has crashed ends,
// and a node takes over its own after a crash at once.
func TestAnotherNodeWaitsForTheLease(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		cores := nodes(t, 2, dsn, images.Config{})
		clock := imagestest.NewClock()
		for _, core := range cores {
			core.SetNow(clock.Now)
		}
		one, two := cores[0], cores[1]
		body := photograph(t, 1, 3<<20)
		_, secret := newPartial(t, one, images.NewPartial{Length: int64(len(body))})
		dead := beginAppend(t, one, secret, at(0))
		if _, err := dead.Write(body[:1<<20+1]); err != nil {
			t.Fatal(err)
		}
		_, err := two.Partial(t.Context(), secret)
		imagestest.WantKind(t, err, errs.PartialBusy)
		_, err = two.BeginAppend(t.Context(), secret, at(1<<20))
		imagestest.WantKind(t, err, errs.PartialBusy)
		// The same data folder, as after kill -9.
		again := imagestest.NewCore(images.Config{DB: sqldbtest.Open(t, dsn), Blobs: one.Blobs, Render: one.Render,
			Dir: one.Dir, DiskReserve: 1, Now: clock.Now})
		t.Cleanup(again.Close)
		if err := again.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p := state(t, again, secret); p.Offset != 1<<20 {
			t.Errorf("the state is %+v", p)
		}
		clock.Forward(31 * time.Second)
		if p := state(t, two, secret); p.Offset != 1<<20 {
			t.Errorf("the state is %+v", p)
		}
		p, err := send(t.Context(), two, secret, at(1<<20), body[1<<20:])
		if err != nil || p.Image == nil {
			t.Fatalf("%+v, %v", p, err)
		}
		// The first node was not dead after all: its part loses.
		_, err = dead.Write(body[1<<20+1 : 2<<20+1])
		if errs.AsError(err).Kind != errs.Aborted {
			t.Errorf("got %v", err)
		}
		if err := dead.Interrupt(t.Context()); err != nil {
			t.Error(err)
		}
		if left := imagestest.Files(t, filepath.Join(one.Dir, "parts")); len(left) != 0 {
			t.Errorf("the spool holds %v", left)
		}
		wantNothingLeft(t, two, 1)
	})
}

// TestTheLoserOfAPartIsDeleted: two nodes add a part at one offset.
func TestTheLoserOfAPartIsDeleted(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		cores := nodes(t, 2, dsn, images.Config{})
		clock := imagestest.NewClock()
		cores[0].SetNow(clock.Now)
		cores[1].SetNow(clock.Now)
		body := photograph(t, 1, 3<<20)
		_, secret := newPartial(t, cores[0], images.NewPartial{Length: int64(len(body))})
		loser := beginAppend(t, cores[0], secret, at(0))
		if _, err := loser.Write(body[:1<<20]); err != nil {
			t.Fatal(err)
		}
		clock.Forward(31 * time.Second)
		winner := beginAppend(t, cores[1], secret, at(0))
		if _, err := winner.Write(body[:1<<20+1]); err != nil {
			t.Fatal(err)
		}
		_, err := loser.Write(body[1<<20 : 1<<20+1])
		imagestest.WantKind(t, err, errs.PartialBusy)
		if err := loser.Interrupt(t.Context()); err != nil {
			t.Error(err)
		}
		if n := len(blobs(t, cores[0])); n != 1 {
			t.Errorf("%d blobs, want the winner's", n)
		}
		if _, err := winner.Write(body[1<<20+1:]); err != nil {
			t.Fatal(err)
		}
		if p, err := winner.Finish(t.Context()); err != nil || p.Image == nil {
			t.Fatalf("%+v, %v", p, err)
		}
		wantNothingLeft(t, cores[0], 1)
	})
}
