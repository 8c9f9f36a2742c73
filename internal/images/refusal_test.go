package images_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/render"
	"calotype/internal/webhooks"
)

func makeStream(t *testing.T, core *imagestest.Core) {
	t.Helper()
	if _, err := core.Webhooks.OpenStream(t.Context(), account, "laptop", nil); err != nil {
		t.Fatal(err)
	}
}

// countedRefusals returns how many refusals a draft has, and how many events say so.
func countedRefusals(t *testing.T, core *imagestest.Core, id string) (refusals, events int) {
	t.Helper()
	img, err := core.Image(t.Context(), account, id)
	if err != nil {
		t.Fatal(err)
	}
	err = core.DB.QueryRow(t.Context(), `SELECT COUNT(*) FROM events WHERE type = ?1`,
		string(webhooks.UploadFailed)).Scan(&events)
	if err != nil {
		t.Fatal(err)
	}
	return img.Ticket.Refusals, events
}

// TestARepeatedRefusalIsCountedOnce sends what an upload widget sends that repeats each refusal: the
// answer is the same each time, and there is one refusal and one event. What lies between two equal
// bodies makes the second a new one.
func TestARepeatedRefusalIsCountedOnce(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		core.SetMaxUploadBytes(5000)
		makeStream(t, core)
		made, ticket := imagestest.Draft(t, core, images.NewDraft{})
		request := images.UploadRequest{Ticket: ticket}
		picture := imagestest.JPEG(t, 1)
		for _, c := range []struct {
			body []byte
			want errs.Kind
		}{
			{[]byte("no picture"), errs.Unsupported},
			{picture[:300], errs.Undecodable},
			{bytes.Repeat([]byte("x"), 5001), errs.TooLarge},
			{bytes.Repeat([]byte("x"), 5000), errs.Unsupported}, // as the one before begins
			{[]byte("no picture"), errs.Unsupported},
		} {
			var first string
			for range 4 {
				_, err := imagestest.Post(t.Context(), core, request, c.body)
				imagestest.WantKind(t, err, c.want)
				if said := errs.AsError(err).Msg; first == "" {
					first = said
				} else if said != first {
					t.Errorf("a repeat is answered %q, not %q", said, first)
				}
			}
		}
		if refusals, events := countedRefusals(t, core, made.ID); refusals != 5 || events != 5 {
			t.Errorf("%d refusals and %d events, want 5 of each", refusals, events)
		}
		if _, err := imagestest.Post(t.Context(), core, request, picture); err != nil {
			t.Errorf("the right picture is refused: %v", err)
		}
	})
}

// TestRefusalsOfThisNodeAreNotRemembered refuses one body twice for want of memory or of a decoder, which another node
// or a later configuration may have: the refusal is not remembered as that of the body.
func TestRefusalsOfThisNodeAreNotRemembered(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		for what, want := range map[error]int{
			&imagefile.LimitError{What: imagefile.LimitMemory}: 2,
			&imagefile.LimitError{What: imagefile.LimitPixels}: 1,
			&render.NoDecoderError{Format: imagefile.HEIC}:     2,
			fmt.Errorf("a test: %w", imagefile.ErrUnsupported): 1,
		} {
			made, ticket := imagestest.Draft(t, core, images.NewDraft{})
			for range 2 {
				u, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket, Size: -1})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := u.Write([]byte("a large picture")); err != nil {
					t.Fatal(err)
				}
				_ = u.Refuse(t.Context(), images.RenderError("a test", what))
				u.Close()
			}
			img, err := core.Image(t.Context(), account, made.ID)
			if err != nil || img.Ticket.Refusals != want {
				t.Errorf("%s: %d refusals, %v, want %d", what, img.Ticket.Refusals, err, want)
			}
		}
	})
}

// TestARepeatIsNotDecodedAgain: what counts nothing must cost nothing, or it could be sent for ever.
func TestARepeatIsNotDecodedAgain(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	_, ticket := imagestest.Draft(t, core, images.NewDraft{})
	body := imagestest.JPEG(t, 1)[:300]
	for range 20 {
		_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, body)
		imagestest.WantKind(t, err, errs.Undecodable)
		core.Render = nil // it would panic if a worker was asked again
	}
}

// TestEqualBodiesAtOnceAreDecodedOnce: equal bodies that were all complete before the first of them was
// refused.
func TestEqualBodiesAtOnceAreDecodedOnce(t *testing.T) {
	t.Parallel()
	core, decoded := decoders(t, filepath.Join(t.TempDir(), "calotype.db"))
	_, ticket := imagestest.Draft(t, core, images.NewDraft{})
	body := imagestest.JPEG(t, 1)
	body = body[:len(body)-40]
	var all []*images.Upload
	for range 4 {
		u := begin(t, core, images.UploadRequest{Ticket: ticket, Size: -1})
		if _, err := u.Write(body); err != nil {
			t.Fatal(err)
		}
		all = append(all, u)
	}
	var wait sync.WaitGroup
	for _, u := range all {
		wait.Go(func() {
			if _, err := u.Finish(t.Context(), ""); errs.AsError(err).Kind != errs.Undecodable {
				t.Errorf("got %v", err)
			}
		})
	}
	wait.Wait()
	if n := decoded.Load(); n != 1 {
		t.Errorf("%d bodies were decoded", n)
	}
}

// TestRacingRepeatsOfARefusal: of equal bodies at once one counts.
func TestRacingRepeatsOfARefusal(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		makeStream(t, core)
		made, ticket := imagestest.Draft(t, core, images.NewDraft{})
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, []byte("text"))
				if errs.AsError(err).Kind != errs.Unsupported {
					t.Errorf("got %v", err)
				}
			})
		}
		wait.Wait()
		if refusals, events := countedRefusals(t, core, made.ID); refusals != 1 || events != 1 {
			t.Errorf("%d refusals and %d events, want one", refusals, events)
		}
	})
}

// TestNoDecoder: an original without a decoder is an unsupported one, by its media type.
func TestNoDecoder(t *testing.T) {
	t.Parallel()
	err := images.RenderError("a test", &render.NoDecoderError{Format: imagefile.HEIC, Reason: "no libheif"})
	imagestest.WantKind(t, err, errs.Unsupported)
	if e := errs.AsError(err); e.Msg != "This server has no decoder of image/heic" {
		t.Errorf("the client gets %q", e.Msg)
	}
}
