package images_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"path/filepath"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/partials"
)

// photograph returns a JPEG of about size bytes: a small picture, and comments of random bytes.
func photograph(t testing.TB, seed, size int) []byte {
	t.Helper()
	picture := imagestest.JPEG(t, seed)
	rnd := rand.New(rand.NewSource(int64(seed)))
	head := bytes.Clone(picture[:2])
	for len(head)+len(picture) < size {
		n := min(60_000, max(3, size-len(head)-len(picture)))
		comment := make([]byte, n-2)
		rnd.Read(comment)
		head = append(append(head, 0xff, 0xfe, byte(n>>8), byte(n)), comment...)
	}
	return append(head, picture[2:]...)
}

// newPartial creates a resumable upload of a new draft.
func newPartial(t *testing.T, core *imagestest.Core, n images.NewPartial) (images.Partial, string) {
	t.Helper()
	n.Metadata = "name YQ=="
	if n.Ticket == "" {
		_, n.Ticket = imagestest.Draft(t, core, images.NewDraft{})
	}
	p, secret, err := core.CreatePartial(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return p, secret
}

// beginAppend begins to append.
func beginAppend(t *testing.T, core *imagestest.Core, secret string, r images.AppendRequest) *images.Append {
	t.Helper()
	a, err := core.BeginAppend(t.Context(), secret, r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// send appends a body that comes whole.
func send(
	ctx context.Context, core *imagestest.Core, secret string, r images.AppendRequest, body []byte,
) (images.Partial, error) {
	a, err := core.BeginAppend(ctx, secret, r)
	if err != nil {
		return images.Partial{}, err
	}
	for piece := range chunks(body, 32<<10) {
		if _, err := a.Write(piece); err != nil {
			return images.Partial{}, errors.Join(err, a.Interrupt(ctx))
		}
	}
	return a.Finish(ctx)
}

func chunks(body []byte, size int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(body) > 0 {
			n := min(size, len(body))
			if !yield(body[:n]) {
				return
			}
			body = body[n:]
		}
	}
}

// at is a request at an offset, of unknown size, that states no length.
func at(offset int) images.AppendRequest {
	return images.AppendRequest{Offset: int64(offset), Length: -1, Size: -1}
}

// state returns the state of an upload.
func state(t *testing.T, core *imagestest.Core, secret string) images.Partial {
	t.Helper()
	p, err := core.Partial(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wantNothingLeft fails the test unless all bytes of resumable uploads are gone.
func wantNothingLeft(t *testing.T, core *imagestest.Core, originals int) {
	t.Helper()
	if err := core.Partials.DeleteParts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := imagestest.Count(t, core, "parts"); n != 0 {
		t.Errorf("%d rows of parts are left", n)
	}
	if n := len(blobs(t, core)); n != originals {
		t.Errorf("%d blobs are stored, want %d", n, originals)
	}
	for _, spool := range []string{"spool", "parts"} {
		if left := imagestest.Files(t, filepath.Join(core.Dir, spool)); len(left) != 0 {
			t.Errorf("the folder %s holds %v", spool, left)
		}
	}
	checkPartialBytes(t, core)
}

// checkPartialBytes compares the counted bytes with the rows.
func checkPartialBytes(t *testing.T, core *imagestest.Core) {
	t.Helper()
	var wrong int
	err := core.DB.QueryRow(t.Context(), `SELECT count(*) FROM partial_bytes b WHERE bytes <> (
		SELECT COALESCE(SUM(received + 4096 + length(metadata)), 0) FROM partials p
			WHERE ended IS NULL AND p.account = b.account)`).Scan(&wrong)
	if err != nil || wrong != 0 {
		t.Errorf("the bytes of %d accounts are wrong, %v", wrong, err)
	}
	err = core.DB.QueryRow(t.Context(), `SELECT count(*) FROM partials p WHERE ended IS NULL AND received <> (
		SELECT COALESCE(SUM(size), 0) FROM parts WHERE partial = p.key AND gone IS NULL)`).Scan(&wrong)
	if err != nil || wrong != 0 {
		t.Errorf("the offsets of %d uploads are not the bytes of their parts, %v", wrong, err)
	}
}

func TestAnUploadInOneRequest(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		body := photograph(t, 1, 3<<20+5)
		p, secret := newPartial(t, core, images.NewPartial{Length: int64(len(body)), Filename: "a.jpg"})
		if p.Offset != 0 || p.Length != int64(len(body)) || p.MinAppend != 10_486 || !p.Draft.Draft {
			t.Errorf("created: %+v", p)
		}
		a := beginAppend(t, core, secret, at(0))
		var checkpoints []int64
		a.OnStored(func(offset int64) { checkpoints = append(checkpoints, offset) })
		for piece := range chunks(body, 100_000) {
			if _, err := a.Write(piece); err != nil {
				t.Fatal(err)
			}
		}
		p, err := a.Finish(t.Context())
		if err != nil || p.Image == nil || p.Image.ID != p.Draft.ID || *p.Image.Filename != "a.jpg" {
			t.Fatalf("%+v, %v", p, err)
		}
		if got := fmt.Sprint(checkpoints); got != "[1048576 2097152 3145728]" {
			t.Errorf("checkpoints at %s", got)
		}
		if !bytes.Equal(imagestest.Stored(t, core, p.Image.ID), body) {
			t.Error("the stored bytes differ")
		}
		again := state(t, core, secret)
		if again.Image == nil || again.Image.ID != p.Image.ID || again.Offset != again.Length ||
			again.Image.Hash != p.Image.Hash || len(again.Image.Variants) != 1 {
			t.Errorf("the state says %+v", again)
		}
		_, err = core.BeginAppend(t.Context(), secret, at(len(body)))
		imagestest.WantKind(t, err, errs.TicketUsed)
		wantNothingLeft(t, core, 1)
		imagestest.CheckUsage(t, core)
	})
}

func TestAnUploadResumes(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		body := photograph(t, 2, 2<<20+700_000)
		_, secret := newPartial(t, core, images.NewPartial{Length: -1})
		p, err := send(t.Context(), core, secret, at(0), body[:500_000])
		if err != nil || p.Offset != 500_000 || p.Length != -1 {
			t.Fatalf("%+v, %v", p, err)
		}
		_, err = send(t.Context(), core, secret, at(499_999), body)
		imagestest.WantKind(t, err, errs.OffsetMismatch)
		if of := new(images.OffsetError); !errors.As(err, &of) || of.Offset != 500_000 {
			t.Errorf("the refusal is %v", err)
		}
		// The connection breaks: what came is stored.
		a := beginAppend(t, core, secret, images.AppendRequest{Offset: 500_000, Length: int64(len(body)), Size: -1})
		if _, err := a.Write(body[500_000:2_000_000]); err != nil {
			t.Fatal(err)
		}
		if err := a.Interrupt(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p := state(t, core, secret); p.Offset != 2_000_000 || p.Length != int64(len(body)) {
			t.Errorf("after an interruption the state is %+v", p)
		}
		// All bytes came, but not the end of the body: the last byte is not stored.
		a = beginAppend(t, core, secret, at(2_000_000))
		if _, err := a.Write(body[2_000_000:]); err != nil {
			t.Fatal(err)
		}
		if err := a.Interrupt(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p := state(t, core, secret); p.Offset != int64(len(body))-1 {
			t.Errorf("after an interruption at the end the state is %+v", p)
		}
		p, err = send(t.Context(), core, secret, at(len(body)-1), body[len(body)-1:])
		if err != nil || !bytes.Equal(imagestest.Stored(t, core, p.Image.ID), body) {
			t.Fatalf("%+v, %v", p, err)
		}
		wantNothingLeft(t, core, 1)
	})
}

// TestANewerRequestEndsAnAppend: a client whose connection broke silently asks for the offset while the server still
// waits for the rest of the body.
func TestANewerRequestEndsAnAppend(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		body := photograph(t, 3, 1<<20)
		_, secret := newPartial(t, core, images.NewPartial{Length: int64(len(body))})
		stuck := beginAppend(t, core, secret, at(0))
		if _, err := stuck.Write(body[:300_000]); err != nil {
			t.Fatal(err)
		}
		if p := state(t, core, secret); p.Offset != 300_000 {
			t.Fatalf("the state is %+v", p)
		}
		_, err := stuck.Write(body[300_000:400_000])
		imagestest.WantKind(t, err, errs.PartialBusy)
		if err := stuck.Interrupt(t.Context()); err != nil {
			t.Error(err)
		}
		// A PATCH does so too.
		stuck = beginAppend(t, core, secret, at(300_000))
		if _, err := stuck.Write(body[300_000:500_000]); err != nil {
			t.Fatal(err)
		}
		_, err = core.BeginAppend(t.Context(), secret, at(300_000))
		imagestest.WantKind(t, err, errs.OffsetMismatch)
		p, err := send(t.Context(), core, secret, at(500_000), body[500_000:])
		if err != nil || p.Image == nil {
			t.Fatalf("%+v, %v", p, err)
		}
		if _, err := stuck.Finish(t.Context()); errs.AsError(err).Kind != errs.PartialBusy {
			t.Errorf("the ended append finished: %v", err)
		}
		wantNothingLeft(t, core, 1)
	})
}

func TestARefusedUploadEnds(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		made, ticket := imagestest.Draft(t, core, images.NewDraft{})
		body := bytes.Repeat([]byte("no picture "), 200_000)
		_, secret := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: int64(len(body))})
		_, err := send(t.Context(), core, secret, at(0), body)
		imagestest.WantKind(t, err, errs.Unsupported)
		p := state(t, core, secret)
		if p.Image != nil || errs.AsError(p.Refused).Kind != errs.Unsupported || errs.AsError(p.Refused).Msg == "" ||
			p.Offset == p.Length {
			t.Errorf("the state is %+v", p)
		}
		_, err = core.BeginAppend(t.Context(), secret, at(int(p.Offset)))
		imagestest.WantKind(t, err, errs.Unsupported)
		img, err := core.Image(t.Context(), account, made.ID)
		if err != nil || img.Ticket.Refusals != 1 {
			t.Errorf("%+v, %v", img.Ticket, err)
		}
		// One more with the same body counts no second time, and a picture is accepted.
		_, secret = newPartial(t, core, images.NewPartial{Ticket: ticket, Length: -1})
		_, err = send(t.Context(), core, secret, images.AppendRequest{Length: -1, Size: -1, Complete: true}, body)
		imagestest.WantKind(t, err, errs.Unsupported)
		_, secret = newPartial(t, core, images.NewPartial{Ticket: ticket, Length: -1})
		body = photograph(t, 1, 50_000)
		p, err = send(t.Context(), core, secret, images.AppendRequest{Length: -1, Size: -1, Complete: true}, body)
		if err != nil || p.Image == nil {
			t.Fatalf("%+v, %v", p, err)
		}
		wantNothingLeft(t, core, 1)
	})
}

func TestTheEndOfAPartial(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		body := photograph(t, 4, 200_000)
		length := int64(len(body))
		_, ticket := imagestest.Draft(t, core, images.NewDraft{})
		_, secret := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: length})
		clock.Forward(31 * time.Minute)
		_, _, err := core.CreatePartial(t.Context(), images.NewPartial{Ticket: ticket, Length: -1})
		imagestest.WantKind(t, err, errs.TicketInvalid)
		clock.Forward(partials.Lifetime - 32*time.Minute)
		if _, err := send(t.Context(), core, secret, at(0), body[:100_000]); err != nil {
			t.Fatalf("a running upload ended with its ticket: %v", err)
		}
		clock.Forward(time.Minute)
		_, err = core.Partial(t.Context(), secret)
		imagestest.WantKind(t, err, errs.TicketInvalid)
		_, err = send(t.Context(), core, secret, at(100_000), body[100_000:])
		imagestest.WantKind(t, err, errs.TicketInvalid)
		if err := core.Partials.DeleteExpired(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = core.Partial(t.Context(), secret) // for an hour it says why
		imagestest.WantKind(t, err, errs.TicketInvalid)
		if n := imagestest.Count(t, core, "parts"); n != 1 {
			t.Errorf("%d parts have a row, want 1: an erasure must find it", n)
		}
		if err := core.Partials.DeleteParts(t.Context()); err != nil {
			t.Fatal(err)
		}
		clock.Forward(partials.Retention)
		if err := core.Partials.DeleteExpired(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = core.Partial(t.Context(), secret)
		imagestest.WantKind(t, err, errs.TicketUnknown)
		wantNothingLeft(t, core, 0)
		// The answer of an accepted one can be read for an hour.
		_, secret = newPartial(t, core, images.NewPartial{Length: length})
		if _, err := send(t.Context(), core, secret, at(0), body); err != nil {
			t.Fatal(err)
		}
		clock.Forward(partials.Retention - time.Microsecond)
		if err := core.Partials.DeleteExpired(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p := state(t, core, secret); p.Image == nil {
			t.Errorf("%+v", p)
		}
		clock.Forward(time.Microsecond)
		if err := core.Partials.DeleteExpired(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = core.Partial(t.Context(), secret)
		imagestest.WantKind(t, err, errs.TicketUnknown)
		wantNothingLeft(t, core, 1)
	})
}
