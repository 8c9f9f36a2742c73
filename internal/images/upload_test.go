package images_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

func TestOneOf64RacingBodiesWins(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		made, ticket := imagestest.Draft(t, core, images.NewDraft{})
		const racers = 64
		var won [][]byte
		var mu sync.Mutex
		used := 0
		var wait sync.WaitGroup
		start := make(chan struct{})
		for i := range racers {
			body := imagestest.JPEG(t, i)
			wait.Go(func() {
				<-start
				_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, body)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won = append(won, body)
				case errs.AsError(err).Kind == errs.TicketUsed:
					used++
				default:
					t.Errorf("racer %d: %v", i, err)
				}
			})
		}
		close(start)
		wait.Wait()
		if len(won) != 1 || used != racers-1 {
			t.Fatalf("%d racers won and %d got TicketUsed, want 1 and %d", len(won), used, racers-1)
		}
		if !bytes.Equal(imagestest.Stored(t, core, made.ID), won[0]) {
			t.Error("the stored bytes are not the winner's")
		}
		if left := blobs(t, core); len(left) != 1 {
			t.Errorf("%d originals are stored, want 1", len(left))
		}
		if left := imagestest.Files(t, filepath.Join(core.Dir, "spool")); len(left) != 0 {
			t.Errorf("the spool holds %v", left)
		}
	})
}

func TestTheTenthRefusalKillsTheTicket(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		core.SetMaxUploadBytes(5000)
		made, ticket := imagestest.Draft(t, core, images.NewDraft{})
		request := images.UploadRequest{Ticket: ticket}
		bodies := []struct {
			body []byte
			want errs.Kind
		}{
			{[]byte("no picture"), errs.Unsupported},
			{nil, errs.Unsupported},
			{imagestest.JPEG(t, 1)[:300], errs.Undecodable},
			{make([]byte, 5001), errs.TooLarge},
		}
		for i := range 9 {
			c := bodies[i%len(bodies)]
			_, err := imagestest.Post(t.Context(), core, request, c.body)
			imagestest.WantKind(t, err, c.want)
		}
		img, err := core.Image(t.Context(), account, made.ID)
		if err != nil || img.Ticket.Refusals != 9 || img.Ticket.LastKind != errs.Unsupported ||
			img.Ticket.LastMessage == "" {
			t.Fatalf("the draft says %+v, %v; want 9 refusals and the last reason", img.Ticket, err)
		}
		_, err = imagestest.Post(t.Context(), core, request, []byte("the tenth"))
		imagestest.WantKind(t, err, errs.Unsupported)
		_, err = imagestest.Post(t.Context(), core, request, imagestest.JPEG(t, 1))
		imagestest.WantKind(t, err, errs.TicketInvalid)
		if left := blobs(t, core); len(left) != 0 {
			t.Errorf("refused bodies were stored: %v", left)
		}
	})
}

func TestExpiryCountsFromTheRequestsBegin(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		_, ticket := imagestest.Draft(t, core, images.NewDraft{})
		clock.Forward(30 * time.Minute) // the bound itself is inside
		u, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket, Size: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		clock.Forward(time.Hour)
		if _, err := u.Write(imagestest.JPEG(t, 1)); err != nil {
			t.Fatal(err)
		}
		if _, err := u.Finish(t.Context(), "late.jpg"); err != nil {
			t.Errorf("an upload that began in time was refused: %v", err)
		}
		_, late := imagestest.Draft(t, core, images.NewDraft{})
		clock.Forward(30*time.Minute + time.Microsecond)
		_, err = imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: late}, imagestest.JPEG(t, 1))
		imagestest.WantKind(t, err, errs.TicketInvalid)
	})
}

func TestALostAnswerIsGivenAgain(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		_, ticket := imagestest.Draft(t, core, images.NewDraft{})
		request := images.UploadRequest{Ticket: ticket, IdempotencyKey: "k"}
		body := imagestest.JPEG(t, 1)
		first, err := imagestest.Post(t.Context(), core, request, body)
		if err != nil {
			t.Fatal(err)
		}
		clock.Forward(time.Hour)
		again, err := imagestest.Post(t.Context(), core, request, body)
		if err != nil || again.Key != first.Key || !again.Uploaded.Equal(first.Uploaded) {
			t.Fatalf("got %+v, %v; want the first answer again", again, err)
		}
		_, err = imagestest.Post(t.Context(), core, request, imagestest.JPEG(t, 2))
		imagestest.WantKind(t, err, errs.TicketUsed)
		_, err = imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket, IdempotencyKey: "other"}, body)
		imagestest.WantKind(t, err, errs.TicketUsed)
		clock.Forward(time.Second)
		_, err = imagestest.Post(t.Context(), core, request, body)
		imagestest.WantKind(t, err, errs.TicketUsed)
		if left := blobs(t, core); len(left) != 1 {
			t.Errorf("%d originals are stored, want 1", len(left))
		}
	})
}

// TestRacingRepeats sends the same request many times at once: each gets the same answer.
func TestRacingRepeats(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		made, ticket := imagestest.Draft(t, core, images.NewDraft{})
		body := imagestest.JPEG(t, 1)
		var wait sync.WaitGroup
		for range 16 {
			wait.Go(func() {
				img, err := imagestest.Post(t.Context(), core,
					images.UploadRequest{Ticket: ticket, IdempotencyKey: "k"}, body)
				if err != nil || img.Key != made.Key {
					t.Errorf("got %v, %v", img.Key, err)
				}
			})
		}
		wait.Wait()
		if left := blobs(t, core); len(left) != 1 {
			t.Errorf("%d originals are stored, want 1", len(left))
		}
	})
}

// TestADeleteDuringAnUpload cancels drafts during their uploads: either the image is deleted or the upload is
// refused, and no original is left.
func TestADeleteDuringAnUpload(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		for i := range 20 {
			made, ticket := imagestest.Draft(t, core, images.NewDraft{})
			var wait sync.WaitGroup
			wait.Go(func() {
				_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, i))
				if err != nil && errs.AsError(err).Kind != errs.TicketUnknown {
					t.Error(err)
				}
			})
			wait.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				if err := core.DeleteImage(t.Context(), account, made.ID); err != nil {
					t.Error(err)
				}
			})
			wait.Wait()
		}
		if left := blobs(t, core); len(left) != 0 {
			t.Errorf("originals are left: %v", left)
		}
	})
}

func TestNearTheReserveUploadsAreRefused(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
	rendition, err := core.Renditions.Rendition(t.Context(), imagestest.Resolve(t, core, img.ID), "jpeg")
	if err != nil {
		t.Fatal(err)
	}
	rendition.Content.Close()
	core.SetDiskReserve(1 << 60)
	_, ticket := imagestest.Draft(t, core, images.NewDraft{})
	_, err = imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 2))
	imagestest.WantKind(t, err, errs.NoSpace)
	if left := imagestest.Files(t, filepath.Join(core.Dir, "renditions")); len(left) != 0 {
		t.Errorf("the renditions did not go first: %v", left)
	}
}

// TestFourBodiesAtOnce holds four bodies open: the fifth waits unread, and is then admitted or refused.
func TestFourBodiesAtOnce(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	_, ticket := imagestest.Draft(t, core, images.NewDraft{})
	var held []*images.Upload
	for range 4 {
		u, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket, Size: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		held = append(held, u)
	}
	received := make(chan error)
	fifth := func(ctx context.Context) {
		_, err := core.BeginUpload(ctx, images.UploadRequest{Ticket: ticket, Size: -1})
		received <- err
	}
	waits := func() bool { return waitingAt(core, "ticket_bodies") == 1 }
	ctx, cancel := context.WithCancel(t.Context())
	go fifth(ctx)
	until(t, waits)
	cancel()
	imagestest.WantKind(t, <-received, errs.Aborted)

	go fifth(t.Context())
	until(t, waits)
	if _, err := held[0].Write(imagestest.JPEG(t, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := held[0].Finish(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	imagestest.WantKind(t, <-received, errs.TicketUsed)
}

func TestFilenames(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	long := fmt.Sprintf("%0254d", 7)
	for declared, want := range map[string]string{
		"a.jpg": "a.jpg", `C:\Users\me\Фото.jpg`: "Фото.jpg", "../../etc/passwd": "etc/passwd",
		"2024/05/a.jpg": "2024/05/a.jpg", "/.//a/.../b.jpg": "a/b.jpg", "a/.\u202e./b": "a/b",
		strings.Repeat("a/", 126) + "...b": strings.Repeat("a/", 125) + "a", "..": "",
		"a\x00\n\u202egpj.exe": "agpj.exe", "bad\xffutf8": "badutf8", "": "",
		long + "ж": long, "emoji 🦊 + & # %20.png": "emoji 🦊 + & # %20.png",
	} {
		_, ticket := imagestest.Draft(t, core, images.NewDraft{})
		u, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket, Size: -1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.Write(imagestest.JPEG(t, 1)); err != nil {
			t.Fatal(err)
		}
		img, err := u.Finish(t.Context(), declared)
		if err != nil || *img.Filename != want {
			t.Errorf("%q became %q, %v; want %q", declared, *img.Filename, err, want)
		}
		u.Close()
	}
}

// TestRacingCreates uploads many pictures for one custom id by the API at once, beside a draft of
// the same id.
func TestRacingCreates(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		d := images.NewDraft{ID: imagestest.Ptr("mine")}
		made := make(chan images.Image, 20)
		var wait sync.WaitGroup
		for i := range 16 {
			body := imagestest.JPEG(t, i)
			wait.Go(func() {
				u, err := core.BeginImage(account, -1)
				if err != nil {
					t.Error(err)
					return
				}
				defer u.Close()
				if _, err := u.Write(body); err != nil {
					t.Error(err)
				}
				img, err := u.Create(t.Context(), "a.jpg", d)
				if err == nil {
					made <- img.Image
				} else if errs.AsError(err).Kind != errs.Exists {
					t.Error(err)
				}
			})
		}
		drafts := make(chan bool, 1)
		wait.Go(func() {
			_, _, err := core.CreateDraft(t.Context(), account, d)
			drafts <- err == nil
		})
		wait.Wait()
		if n := len(made); n != 1 && (n != 0 || !<-drafts) {
			t.Fatalf("%d images were made of one id, want 1", n)
		}
		if left := blobs(t, core); len(left) != len(made) {
			t.Errorf("%d originals for %d images", len(left), len(made))
		}
	})
}
