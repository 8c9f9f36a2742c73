package images_test

import (
	"bytes"
	"context"
	"math/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb/sqldbtest"
)

// TestResumableUploadsToALink: a use leaves the other resumable uploads of the link open, and the last one ends them.
func TestResumableUploadsToALink(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		made, ticket := link(t, core, 3, images.NewDraft{})
		a, b := photograph(t, 1, 1_300_000), photograph(t, 2, 1_400_000)
		_, first := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: int64(len(a))})
		_, second := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: int64(len(b))})
		_, third := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: int64(len(b))})
		if _, err := send(t.Context(), core, first, at(0), a[:1_100_000]); err != nil {
			t.Fatal(err)
		}
		if p, err := send(t.Context(), core, second, at(0), b); err != nil || p.Image == nil ||
			p.Image.ID != made.ID+"/1" || !p.Image.Uploaded.After(made.Uploaded) {
			t.Fatalf("the whole upload is %+v, %v", p, err)
		}
		if img := use(t, core, ticket, 3); img.ID != made.ID+"/2" {
			t.Errorf("the form made %s", img.ID)
		}
		p := state(t, core, first)
		if p.Offset == 0 || p.Image != nil || !p.Draft.Draft || p.Draft.Ticket.Used != 2 {
			t.Fatalf("the open upload is %+v", p)
		}
		if _, err := send(t.Context(), core, third, at(0), b[:1_200_000]); err != nil {
			t.Fatal(err)
		}
		p, err := send(t.Context(), core, first, at(int(p.Offset)), a[p.Offset:])
		if err != nil || p.Image == nil || p.Image.ID != made.ID+"/3" {
			t.Fatalf("the resumed upload is %+v, %v", p, err)
		}
		for secret, id := range map[string]string{first: made.ID + "/3", second: made.ID + "/1"} {
			if p := state(t, core, secret); p.Image == nil || p.Image.ID != id || p.Offset != p.Length {
				t.Errorf("%s is %+v", id, p)
			}
		}
		if !bytes.Equal(imagestest.Stored(t, core, made.ID+"/3"), a) {
			t.Error("the resumed image has other bytes")
		}
		_, err = core.Partial(t.Context(), third)
		imagestest.WantKind(t, err, errs.TicketUsed)
		_, err = core.BeginAppend(t.Context(), third, at(1_048_576))
		imagestest.WantKind(t, err, errs.TicketUsed)
		_, _, err = core.CreatePartial(t.Context(), images.NewPartial{Ticket: ticket, Length: 7})
		imagestest.WantKind(t, err, errs.TicketUsed)
		wantNothingLeft(t, core, 3)
		imagestest.CheckUsage(t, core)
	})
}

// TestOpenUploadsOfALink are as many as it has uses left, from 2 to 16.
func TestOpenUploadsOfALink(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	for uses, most := range map[int]int{2: 2, 3: 3, 16: 16, 17: 16, 1000: 16} {
		_, ticket := link(t, core, uses, images.NewDraft{})
		for range most {
			newPartial(t, core, images.NewPartial{Ticket: ticket, Length: 1000})
		}
		_, _, err := core.CreatePartial(t.Context(), images.NewPartial{Ticket: ticket, Length: 1000})
		imagestest.WantKind(t, err, errs.TicketBusy)
	}
	_, ticket := link(t, core, 5, images.NewDraft{})
	for i := range 2 {
		use(t, core, ticket, i)
	}
	for range 3 {
		newPartial(t, core, images.NewPartial{Ticket: ticket, Length: 1000})
	}
	_, _, err := core.CreatePartial(t.Context(), images.NewPartial{Ticket: ticket, Length: 1000})
	imagestest.WantKind(t, err, errs.TicketBusy)
	checkPartialBytes(t, core)
}

// TestARepeatedResumableUpload: a form with the same key was accepted, so the upload ends with the image of the form.
func TestARepeatedResumableUpload(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		made, ticket := link(t, core, 5, images.NewDraft{})
		body := photograph(t, 1, 1_200_000)
		_, secret := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: int64(len(body)),
			IdempotencyKey: "key"})
		img, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket, IdempotencyKey: "key"}, body)
		if err != nil {
			t.Fatal(err)
		}
		p, err := send(t.Context(), core, secret, at(0), body)
		if err != nil || p.Image == nil || p.Image.Key != img.Key {
			t.Fatalf("the repeat is %+v, %v", p, err)
		}
		if p := state(t, core, secret); p.Image == nil || p.Image.Key != img.Key {
			t.Errorf("then its state is %+v", p)
		}
		if got := members(t, core, made.ID); !slices.Equal(got, numbered(made.ID, 1)) {
			t.Errorf("the images are %v", got)
		}
		wantNothingLeft(t, core, 1)
	})
}

// TestAllWaysRaceALink sends 12 forms and 6 resumable uploads, each by two clients, to a link of 7 uses at three nodes.
func TestAllWaysRaceALink(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		cores := nodes(t, 3, dsn, images.Config{})
		core := cores[0]
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		made, ticket := link(t, core, 7, images.NewDraft{})
		var mu sync.Mutex
		won := map[string]string{} // the SHA-256 of images by their ids
		record := func(img images.Image, err error) {
			mu.Lock()
			defer mu.Unlock()
			switch kind := errs.AsError(err).Kind; {
			case err == nil && won[img.ID] != "" && won[img.ID] != img.Original.SHA256:
				t.Errorf("%s has two pictures", img.ID)
			case err == nil:
				won[img.ID] = img.Original.SHA256
			case kind != errs.TicketUsed:
				t.Error(err)
			}
		}
		var wait sync.WaitGroup
		for i := range 6 {
			body := photograph(t, i, 1_200_000+i)
			_, secret := newPartial(t, core, images.NewPartial{Ticket: ticket, Length: int64(len(body))})
			for c := range 2 {
				r := &racer{cores[(i+c)%3], secret, body, rand.New(rand.NewSource(int64(10*i + c)))}
				wait.Go(func() {
					img, err := r.run(ctx)
					if err != nil {
						record(images.Image{}, err)
						return
					}
					record(img.Image, nil)
				})
			}
		}
		for i := range 12 {
			body := imagestest.JPEG(t, 100+i)
			wait.Go(func() {
				record(imagestest.Post(ctx, cores[i%3], images.UploadRequest{Ticket: ticket}, body))
			})
		}
		wait.Wait()
		want := numbered(made.ID, 1, 2, 3, 4, 5, 6, 7)
		if got := members(t, core, made.ID); !slices.Equal(got, want) || len(won) != 7 {
			t.Errorf("%d images were answered, and there are %v", len(won), got)
		}
		pictures := map[string]bool{}
		for _, sum := range won {
			pictures[sum] = true
		}
		if len(pictures) != 7 {
			t.Errorf("7 images have %d pictures", len(pictures))
		}
		wantNothingLeft(t, core, 7)
		imagestest.CheckUsage(t, core)
	})
}
