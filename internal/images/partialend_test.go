package images_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/blob"
	"calotype/internal/blob/blobtest"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb/sqldbtest"
)

// A brokenStore fails the calls whose counters are positive.
type brokenStore struct {
	blob.Store
	puts, opens, deletes *atomic.Int64
}

var errBroken = errors.New("the store is broken")

func (s brokenStore) Put(ctx context.Context, key string, f *os.File, size int64) error {
	if s.puts.Load() > 0 {
		return errBroken
	}
	return s.Store.Put(ctx, key, f, size)
}

func (s brokenStore) Open(ctx context.Context, key string, from int64) (io.ReadCloser, error) {
	if s.opens.Load() > 0 {
		return nil, errBroken
	}
	return s.Store.Open(ctx, key, from)
}

func (s brokenStore) Delete(ctx context.Context, key string) error {
	if s.deletes.Load() > 0 {
		return errBroken
	}
	return s.Store.Delete(ctx, key)
}

// withStore runs fn with a core on a store that fn can break.
func withStore(t *testing.T, fn func(t *testing.T, core *imagestest.Core, store brokenStore)) {
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		dir, err := blob.OpenDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		store := brokenStore{dir, new(atomic.Int64), new(atomic.Int64), new(atomic.Int64)}
		fn(t, imagestest.Open(t, images.Config{Blobs: store}, dsn), store)
	})
}

// TestAFailureAtTheEndLosesNoUpload: while the store or the account refuses, the offset stays below the length, and
// afterwards the client sends the last piece once more.
func TestAFailureAtTheEndLosesNoUpload(t *testing.T) {
	t.Parallel()
	withStore(t, func(t *testing.T, core *imagestest.Core, store brokenStore) {
		body := photograph(t, 1, 2<<20+1000)
		_, secret := newPartial(t, core, images.NewPartial{Length: int64(len(body))})
		store.puts.Store(1)
		if _, err := send(t.Context(), core, secret, at(0), body); !errors.Is(err, errBroken) {
			t.Fatalf("a store without a part: %v", err)
		}
		if p := state(t, core, secret); p.Offset != 0 {
			t.Errorf("the state is %+v", p)
		}
		store.puts.Store(0)
		store.opens.Store(1)
		if _, err := send(t.Context(), core, secret, at(0), body); !errors.Is(err, errBroken) {
			t.Fatalf("a store that does not return a part: %v", err)
		}
		const durable = 2 << 20
		if p := state(t, core, secret); p.Offset != durable {
			t.Errorf("the state is %+v", p)
		}
		store.opens.Store(0)
		if err := core.Accounts.Suspend(t.Context(), account, true); err != nil {
			t.Fatal(err)
		}
		_, err := core.Partial(t.Context(), secret)
		imagestest.WantKind(t, err, errs.AccountSuspended)
		if err := core.Accounts.Suspend(t.Context(), account, false); err != nil {
			t.Fatal(err)
		}
		a := beginAppend(t, core, secret, at(durable))
		if _, err := a.Write(body[durable:]); err != nil {
			t.Fatal(err)
		}
		if err := core.Accounts.Suspend(t.Context(), account, true); err != nil {
			t.Fatal(err)
		}
		_, err = a.Finish(t.Context())
		imagestest.WantKind(t, err, errs.AccountSuspended)
		if err := core.Accounts.Suspend(t.Context(), account, false); err != nil {
			t.Fatal(err)
		}
		if p := state(t, core, secret); p.Offset != durable || p.Image != nil || p.Refused != nil {
			t.Errorf("the state is %+v", p)
		}
		p, err := send(t.Context(), core, secret, at(durable), body[durable:])
		if err != nil || !bytes.Equal(imagestest.Stored(t, core, p.Image.ID), body) {
			t.Fatalf("%+v, %v", p, err)
		}
		wantNothingLeft(t, core, 1)
	})
}

// TestErasureFindsPartsOfEndedUploads: the receipt of an erasure counts the parts of an accepted upload that the store
// has not deleted.
func TestErasureFindsPartsOfEndedUploads(t *testing.T) {
	t.Parallel()
	withStore(t, func(t *testing.T, core *imagestest.Core, store brokenStore) {
		body := photograph(t, 1, 3<<20)
		_, ticket, err := core.CreateDraft(t.Context(), account, images.NewDraft{Creator: imagestest.Ptr("her")})
		if err != nil {
			t.Fatal(err)
		}
		_, secret := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: int64(len(body))})
		a := beginAppend(t, core, secret, at(0))
		if _, err := a.Write(body); err != nil {
			t.Fatal(err)
		}
		store.deletes.Store(1)
		if p, err := a.Finish(t.Context()); err != nil || p.Image == nil {
			t.Fatalf("%+v, %v", p, err)
		}
		parts := imagestest.Count(t, core, "parts")
		if parts < 2 {
			t.Fatalf("the upload had %d parts", parts)
		}
		query := images.ErasureQuery{Creator: "her"}
		if r := imagestest.Erase(t, core, query); r.Images != 1 || r.OriginalsDue != int64(parts)+1 {
			t.Errorf("the receipt is %+v, want an original and %d parts", r, parts)
		}
		store.deletes.Store(0)
		r, err := core.FinishErasure(t.Context(), account, query)
		if err != nil || r.OriginalsDue != 0 || len(blobs(t, core)) != 0 {
			t.Errorf("the receipt is %+v, %v", r, err)
		}
	})
}

// TestTheEndOfADraftDeletesItsParts: a deletion of the draft, of its creator or of its account deletes the bytes, or
// leaves them to a retry if the store refuses; a running append notices.
func TestTheEndOfADraftDeletesItsParts(t *testing.T) {
	t.Parallel()
	withStore(t, func(t *testing.T, core *imagestest.Core, store brokenStore) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		body := photograph(t, 1, 3<<20)
		upload := func(account string) (images.Image, string, *images.Append) {
			img, ticket, err := core.CreateDraft(t.Context(), account, images.NewDraft{Creator: imagestest.Ptr("her")})
			if err != nil {
				t.Fatal(err)
			}
			_, secret := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: -1, Filename: "hers.jpg"})
			a := beginAppend(t, core, secret, at(0))
			if _, err := a.Write(body[:2<<20+1]); err != nil {
				t.Fatal(err)
			}
			return img, secret, a
		}
		gone := func(secret string, a *images.Append, blobsLeft int) {
			t.Helper()
			_, err := core.Partial(t.Context(), secret)
			imagestest.WantKind(t, err, errs.TicketUnknown)
			_, err = a.Write(body[:1])
			if kind := errs.AsError(err).Kind; kind != errs.TicketUnknown && kind != errs.PartialBusy {
				t.Errorf("a running append got %v", err)
			}
			if err := a.Interrupt(t.Context()); err != nil {
				t.Error(err)
			}
			if n := len(blobs(t, core)); n != blobsLeft {
				t.Errorf("%d blobs are left, want %d", n, blobsLeft)
			}
			checkPartialBytes(t, core)
		}
		img, secret, a := upload(account)
		if err := core.DeleteImage(t.Context(), account, img.ID); err != nil {
			t.Fatal(err)
		}
		gone(secret, a, 0)

		_, secret, a = upload(account)
		store.deletes.Store(1)
		query := images.ErasureQuery{Creator: "her"}
		receipt := imagestest.Erase(t, core, query)
		if receipt.Drafts != 1 || receipt.Uploads != 1 || receipt.OriginalsDue != 2 || receipt.Ended.IsZero() {
			t.Errorf("the receipt is %+v", receipt)
		}
		gone(secret, a, 2)
		if n := imagestest.Count(t, core, "partials"); n != 0 {
			t.Errorf("%d rows with a name of a file are left", n)
		}
		if err := core.Partials.DeleteParts(t.Context()); err != nil {
			t.Errorf("the job retried too early: %v", err)
		}
		clock.Forward(time.Minute)
		if err := core.Partials.DeleteParts(t.Context()); !errors.Is(err, errBroken) {
			t.Errorf("got %v", err)
		}
		store.deletes.Store(0)
		receipt, err := core.FinishErasure(t.Context(), account, query)
		if err != nil || receipt.OriginalsDue != 0 || len(blobs(t, core)) != 0 {
			t.Errorf("the receipt is %+v, %v", receipt, err)
		}

		doomed := imagestest.Accounts(t, core, 1)[0]
		_, secret, a = upload(doomed)
		if _, err := core.DeleteAccount(t.Context(), doomed); err != nil {
			t.Fatal(err)
		}
		gone(secret, a, 0)
		if n := imagestest.Count(t, core, "partial_bytes"); n != 1 {
			t.Errorf("%d rows of bytes, want that of the first account", n)
		}

		img, secret, a = upload(account)
		if err := core.DeletePartial(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		gone(secret, a, 0)
		if _, err := core.Image(t.Context(), account, img.ID); err != nil {
			t.Errorf("the draft ended with its upload: %v", err)
		}
		wantNothingLeft(t, core, 0)
		imagestest.CheckUsage(t, core)
	})
}

// TestADeletedImageHasNoUpload: the state of an accepted upload ends with its image.
func TestADeletedImageHasNoUpload(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		body := imagestest.JPEG(t, 1)
		_, secret := newPartial(t, core, images.NewPartial{Length: int64(len(body))})
		p, err := send(t.Context(), core, secret, at(0), body)
		if err != nil {
			t.Fatal(err)
		}
		if err := core.DeleteImage(t.Context(), account, p.Image.ID); err != nil {
			t.Fatal(err)
		}
		_, err = core.Partial(t.Context(), secret)
		imagestest.WantKind(t, err, errs.TicketUnknown)
		if n := imagestest.Count(t, core, "partials"); n != 0 {
			t.Errorf("%d rows are left", n)
		}
	})
}

// TestAReplacedDraftTakesItsUploadAlong: a new draft of the same id replaces an expired one whose upload still runs.
func TestAReplacedDraftTakesItsUploadAlong(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		body := photograph(t, 1, 100_000)
		d := images.NewDraft{ID: imagestest.Ptr("avatar")}
		_, ticket := imagestest.Draft(t, core, d)
		_, secret := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: int64(len(body))})
		if _, err := send(t.Context(), core, secret, at(0), body[:50_000]); err != nil {
			t.Fatal(err)
		}
		clock.Forward(31 * time.Minute)
		imagestest.Draft(t, core, d)
		_, err := send(t.Context(), core, secret, at(50_000), body[50_000:])
		imagestest.WantKind(t, err, errs.TicketUnknown)
		wantNothingLeft(t, core, 0)
		imagestest.CheckUsage(t, core)
	})
}

// TestTheSweepKnowsParts: parts are named, parts of a killed server are orphans, and no part is a missing original.
func TestTheSweepKnowsParts(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		_, secret := newPartial(t, core, images.NewPartial{Length: -1})
		if _, err := send(t.Context(), core, secret, at(0), photograph(t, 1, 1_500_000)); err != nil {
			t.Fatal(err)
		}
		clock.Forward(49 * time.Hour) // no job runs
		report, err := core.Sweep(t.Context(), images.SweepOptions{Confirm: true})
		if err != nil || report.Objects != 3 || report.Orphans != 0 || report.Missing != 0 {
			t.Errorf("%+v, %v", report, err)
		}
		if _, err := core.DB.Exec(t.Context(), `DELETE FROM parts WHERE start > 0`); err != nil {
			t.Fatal(err)
		}
		report, err = core.Sweep(t.Context(), images.SweepOptions{Confirm: true})
		if err != nil || report.Orphans != 1 || report.Deleted != 1 || report.Missing != 0 {
			t.Errorf("%+v, %v", report, err)
		}
	})
}

// TestAMissingPartEndsTheUpload: the database is older or newer than the store.
func TestAMissingPartEndsTheUpload(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		body := photograph(t, 1, 1<<20+500)
		made, ticket := imagestest.Draft(t, core, images.NewDraft{})
		_, secret := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: int64(len(body))})
		if _, err := send(t.Context(), core, secret, at(0), body[:1<<20]); err != nil {
			t.Fatal(err)
		}
		if err := core.Blobs.Delete(t.Context(), blobs(t, core)[0]); err != nil {
			t.Fatal(err)
		}
		_, err := send(t.Context(), core, secret, at(1<<20), body[1<<20:])
		imagestest.WantKind(t, err, errs.TicketUnknown)
		wantNothingLeft(t, core, 0)
		img, err := core.Image(t.Context(), account, made.ID)
		if err != nil || img.Ticket.Refusals != 0 {
			t.Errorf("the ticket paid for it: %+v, %v", img.Ticket, err)
		}
	})
}

// TestPartsInABucket uploads through a real S3 gateway.
func TestPartsInABucket(t *testing.T) {
	gateway := blobtest.StartGateway(t)
	gateway.Setenv(t)
	store, err := blob.Open(t.Context(), gateway.URI("partials"))
	if err != nil {
		t.Fatal(err)
	}
	core := imagestest.Open(t, images.Config{Blobs: store}, filepath.Join(t.TempDir(), "calotype.db"))
	body := photograph(t, 1, 3<<20)
	_, secret := newPartial(t, core, images.NewPartial{Length: int64(len(body))})
	a := beginAppend(t, core, secret, at(0))
	if _, err := a.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := a.Interrupt(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := state(t, core, secret)
	if p.Offset != p.Length-1 || len(blobs(t, core)) != 3 {
		t.Fatalf("%+v, with %d parts", p, len(blobs(t, core)))
	}
	p, err = send(t.Context(), core, secret, at(int(p.Offset)), body[p.Offset:])
	if err != nil || !bytes.Equal(imagestest.Stored(t, core, p.Image.ID), body) {
		t.Fatalf("%+v, %v", p, err)
	}
	wantNothingLeft(t, core, 1)
}

// TestAFullDiskEndsNoUpload: an upload waits for space, and its end needs none.
func TestAFullDiskEndsNoUpload(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		var free atomic.Int64
		free.Store(1 << 30)
		core.SetDisk(free.Load)
		body := photograph(t, 1, 2<<20)
		_, ticket := imagestest.Draft(t, core, images.NewDraft{})
		_, secret := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: int64(len(body))})
		a := beginAppend(t, core, secret, at(0))
		if _, err := a.Write(body[:1<<20+100_000]); err != nil {
			t.Fatal(err)
		}
		free.Store(0)
		_, err := a.Write(body[1<<20+100_000:])
		imagestest.WantKind(t, err, errs.NoSpace)
		if err := a.Interrupt(t.Context()); err != nil {
			t.Fatal(err)
		}
		p := state(t, core, secret)
		if p.Offset < 1<<20+100_000 || p.Offset >= p.Length {
			t.Errorf("the state is %+v", p)
		}
		_, err = send(t.Context(), core, secret, at(int(p.Offset)), body[p.Offset:])
		imagestest.WantKind(t, err, errs.NoSpace)
		time.Sleep(1100 * time.Millisecond) // a check of the disk counts for a second
		_, _, err = core.CreatePartial(t.Context(), images.NewPartial{Ticket: ticket, Length: -1})
		imagestest.WantKind(t, err, errs.NoSpace)
		free.Store(1 << 30)
		time.Sleep(1100 * time.Millisecond)
		if p, err = send(t.Context(), core, secret, at(int(p.Offset)), body[p.Offset:]); err != nil || p.Image == nil {
			t.Fatalf("%+v, %v", p, err)
		}
		// Another one is deleted while the disk is full.
		_, secret = newPartial(t, core, images.NewPartial{Length: -1})
		if _, err := send(t.Context(), core, secret, at(0), body); err != nil {
			t.Fatal(err)
		}
		free.Store(0)
		if err := core.DeletePartial(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		wantNothingLeft(t, core, 1)
	})
}
