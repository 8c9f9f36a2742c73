package images_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/partials"
	"calotype/internal/sqldb/sqldbtest"
)

func TestLimitsOfPartials(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		_, ticket := imagestest.Draft(t, core, images.NewDraft{})
		most := core.MaxUploadBytes()
		for length, want := range map[int64]errs.Kind{0: errs.Unsupported, most + 1: errs.TooLarge} {
			_, _, err := core.CreatePartial(t.Context(), images.NewPartial{Ticket: ticket, Length: length})
			imagestest.WantKind(t, err, want)
		}
		_, idle := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: most})
		clock.Forward(time.Second)
		_, busy := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: 1})
		clock.Forward(5*time.Minute - time.Second)
		_, _, err := core.CreatePartial(t.Context(), images.NewPartial{Ticket: ticket, Length: 1})
		imagestest.WantKind(t, err, errs.TicketBusy)
		clock.Forward(time.Microsecond)
		newPartial(t, core, images.NewPartial{Ticket: ticket, Length: 1})
		_, err = core.Partial(t.Context(), idle)
		imagestest.WantKind(t, err, errs.TicketUnknown)
		state(t, core, busy)

		// A length that is known neither changes nor is exceeded.
		_, secret := newPartial(t, core, images.NewPartial{Length: 1000})
		for _, r := range []images.AppendRequest{
			{Length: 999, Size: -1}, {Length: -1, Size: 1001}, {Length: -1, Size: 999, Complete: true},
			{Length: 1000, Size: 999, Complete: true},
		} {
			_, err = core.BeginAppend(t.Context(), secret, r)
			imagestest.WantKind(t, err, errs.Invalid)
		}
		_, err = send(t.Context(), core, secret, at(0), make([]byte, 1001))
		imagestest.WantKind(t, err, errs.Invalid)
		_, err = send(t.Context(), core, secret, images.AppendRequest{Offset: state(t, core, secret).Offset,
			Length: -1, Size: -1, Complete: true}, nil)
		imagestest.WantKind(t, err, errs.Invalid)
		if img := state(t, core, secret).Draft; img.Ticket.Refusals != 0 {
			t.Errorf("a wrong length counts: %+v", img.Ticket)
		}
		for n, bad := range []string{"", "unknown", strings.ToLower(secret)} {
			_, err = core.Partial(t.Context(), bad)
			imagestest.WantKind(t, err, errs.TicketUnknown)
			_, err = core.BeginAppend(t.Context(), bad, at(n))
			imagestest.WantKind(t, err, errs.TicketUnknown)
			imagestest.WantKind(t, core.DeletePartial(t.Context(), bad), errs.TicketUnknown)
		}
		checkPartialBytes(t, core)
	})
}

// TestTooLargeCountsOnce: an upload of unknown length that grows too large is refused like a form that is.
func TestTooLargeCountsOnce(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		core.SetMaxUploadBytes(2 << 20)
		made, ticket := imagestest.Draft(t, core, images.NewDraft{})
		body := photograph(t, 1, 2<<20+1)
		for range 2 {
			_, secret := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: -1})
			_, err := send(t.Context(), core, secret, at(0), append(bytes.Clone(body), 1, 2, 3))
			imagestest.WantKind(t, err, errs.TooLarge)
			p := state(t, core, secret)
			if errs.AsError(p.Refused).Kind != errs.TooLarge {
				t.Errorf("the state is %+v", p)
			}
			img, err := core.Image(t.Context(), account, made.ID)
			if err != nil || img.Ticket.Refusals != 1 {
				t.Errorf("%+v, %v", img.Ticket, err)
			}
		}
		// One byte less is no reason.
		_, secret := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: -1})
		body = photograph(t, 2, 2<<20)
		p, err := send(t.Context(), core, secret, images.AppendRequest{Length: -1, Size: -1, Complete: true}, body)
		if err != nil || p.Image == nil || p.Image.Original.Size != 2<<20 {
			t.Fatalf("%+v, %v", p, err)
		}
		wantNothingLeft(t, core, 1)
	})
}

// TestTheTenthRefusalEndsOtherUploads: the ticket is dead, and so is an upload that waits.
func TestTheTenthRefusalEndsOtherUploads(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		_, ticket := imagestest.Draft(t, core, images.NewDraft{})
		_, waits := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: -1})
		if _, err := send(t.Context(), core, waits, at(0), make([]byte, 50_000)); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			_, secret := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: 8})
			_, err := send(t.Context(), core, secret, at(0), []byte("picture"+string(rune('0'+i))))
			imagestest.WantKind(t, err, errs.Unsupported)
			if p := state(t, core, secret); errs.AsError(p.Refused).Kind != errs.Unsupported {
				t.Errorf("refusal %d: %+v", i, p)
			}
		}
		_, err := core.Partial(t.Context(), waits)
		imagestest.WantKind(t, err, errs.TicketInvalid)
		_, err = core.BeginAppend(t.Context(), waits, at(50_000))
		imagestest.WantKind(t, err, errs.TicketInvalid)
		_, _, err = core.CreatePartial(t.Context(), images.NewPartial{Ticket: ticket, Length: -1})
		imagestest.WantKind(t, err, errs.TicketInvalid)
		wantNothingLeft(t, core, 0)
	})
}

// TestEndedRowsAreBounded: a client that repeats one refused upload without an end leaves few rows.
func TestEndedRowsAreBounded(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	_, ticket := imagestest.Draft(t, core, images.NewDraft{})
	for range 30 {
		_, secret := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: 3})
		_, err := send(t.Context(), core, secret, at(0), []byte("no!"))
		imagestest.WantKind(t, err, errs.Unsupported)
	}
	if n := imagestest.Count(t, core, "partials"); n != 10 {
		t.Errorf("%d rows are left, want 10", n)
	}
	wantNothingLeft(t, core, 0)
}

// TestTinyPieces: an upload has at most 1,000 parts. Pieces of MinAppend bytes always come through, smaller ones while
// enough parts are left.
func TestTinyPieces(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: stores many pieces")
	}
	t.Parallel()
	core := imagestest.New(t)
	const most = 1_000_000
	core.SetMaxUploadBytes(most)
	body := photograph(t, 1, most)
	p, secret := newPartial(t, core, images.NewPartial{Length: -1})
	if p.MinAppend != 1000 {
		t.Fatalf("MinAppend is %d", p.MinAppend)
	}
	_, err := send(t.Context(), core, secret, at(0), body[:999])
	imagestest.WantKind(t, err, errs.Invalid)
	a := beginAppend(t, core, secret, at(0))
	if _, err := a.Write(body[:999]); err != nil {
		t.Fatal(err)
	}
	if err := a.Interrupt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := state(t, core, secret); p.Offset != 0 {
		t.Errorf("too small a piece was stored: %+v", p)
	}
	at0 := at(0)
	for piece := range chunks(body[:most-1000], 1000) {
		p, err := send(t.Context(), core, secret, at0, piece)
		if err != nil {
			t.Fatalf("at %d: %v", at0.Offset, err)
		}
		at0.Offset = p.Offset
	}
	at0.Complete = true
	p, err = send(t.Context(), core, secret, at0, body[most-1000:])
	if err != nil || !bytes.Equal(imagestest.Stored(t, core, p.Image.ID), body) {
		t.Fatalf("%+v, %v", p, err)
	}
	// A short upload has parts to spare.
	_, secret = newPartial(t, core, images.NewPartial{Length: 2000})
	for i := range 5 {
		if p, err = send(t.Context(), core, secret, at(i), body[i:i+1]); err != nil || p.Offset != int64(i)+1 {
			t.Errorf("%+v, %v", p, err)
		}
	}
	if err := core.DeletePartial(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	wantNothingLeft(t, core, 1)
}

// TestAccountsShareTheBytesOfPartials: one account has at most half of the spool's size in open uploads, and the next
// one still has a share; a refusal is no refusal of the ticket, and an end makes space.
func TestAccountsShareTheBytesOfPartials(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		const spool = 8 << 20
		core := imagestest.Open(t, images.Config{SpoolBytes: spool, MaxUploadBytes: 2 << 20}, dsn)
		ids := append(imagestest.Accounts(t, core, 1), account)
		piece := make([]byte, 1_000_000)
		fill := func(account string) (secrets []string, refusal error) {
			for range 20 {
				_, ticket := ticketOf(t, core, account)
				p, secret, err := core.CreatePartial(t.Context(), images.NewPartial{Ticket: ticket, Length: -1})
				if err == nil {
					secrets = append(secrets, secret)
					p, err = send(t.Context(), core, secret, at(0), piece)
				}
				if err != nil {
					return secrets, err
				}
				if p.Offset != int64(len(piece)) {
					t.Errorf("%+v", p)
				}
			}
			return secrets, nil
		}
		first, err := fill(ids[0])
		wantBusy(t, err)
		if len(first) != 5 { // the fifth has no bytes
			t.Errorf("the first account has %d uploads", len(first))
		}
		second, err := fill(ids[1])
		wantBusy(t, err)
		if len(second) < 2 {
			t.Errorf("the second account has %d uploads", len(second))
		}
		var total int64
		err = core.DB.QueryRow(t.Context(), `SELECT sum(bytes) FROM partial_bytes`).Scan(&total)
		if err != nil || total > spool {
			t.Errorf("all have %d bytes, %v", total, err)
		}
		checkPartialBytes(t, core)
		p := state(t, core, first[4])
		if p.Offset != 0 || p.Draft.Ticket.Refusals != 0 {
			t.Errorf("%+v", p)
		}
		for _, secret := range append(first[:4:4], second...) {
			if err := core.DeletePartial(t.Context(), secret); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := send(t.Context(), core, first[4], at(0), piece); err != nil {
			t.Error(err)
		}
		if err := core.DeletePartial(t.Context(), first[4]); err != nil {
			t.Fatal(err)
		}
		wantNothingLeft(t, core, 0)
	})
}

// TestNoSecretIsStored: a copy of the database opens no upload.
func TestNoSecretIsStored(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	p, secret := newPartial(t, core, images.NewPartial{Length: 5, IdempotencyKey: "canary-key"})
	var stored, key string
	err := core.DB.QueryRow(t.Context(), `SELECT secret, idempotency FROM partials`).Scan(&stored, &key)
	if err != nil || stored == secret || len(stored) != 64 || len(key) != 64 || len(secret) < 26 {
		t.Errorf("%q and %q are stored, %v", stored, key, err)
	}
	if want := p.Draft.Created.Add(partials.Lifetime); p.Expires.Before(want) {
		t.Errorf("it expires at %v", p.Expires)
	}
}

// TestTheSmallestSpoolIsLargeEnough: a picture of the largest size ends, with the smallest spool that is allowed.
func TestTheSmallestSpoolIsLargeEnough(t *testing.T) {
	t.Parallel()
	const most = 2<<20 + 1000
	core := imagestest.Open(t, images.Config{SpoolBytes: images.LeastSpool(most), MaxUploadBytes: most},
		filepath.Join(t.TempDir(), "calotype.db"))
	body := photograph(t, 1, most)
	_, secret := newPartial(t, core, images.NewPartial{Length: most})
	if p, err := send(t.Context(), core, secret, at(0), body); err != nil || p.Image == nil {
		t.Fatalf("%+v, %v", p, err)
	}
	wantNothingLeft(t, core, 1)
}
