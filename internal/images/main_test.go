package images_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

func TestMain(m *testing.M) { imagestest.Main(m) }

const account = imagestest.AccountID

// clock is a clock that tests set.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock {
	return &clock{at: time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC)}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// draft makes a draft and returns it with its ticket.
func draft(t *testing.T, core *imagestest.Core, d images.NewDraft) (images.Image, string) {
	t.Helper()
	img, ticket, err := core.CreateDraft(t.Context(), account, d)
	if err != nil {
		t.Fatal(err)
	}
	return img, ticket
}

// post sends a body to a ticket as the intake does.
func post(
	ctx context.Context, core *imagestest.Core, r images.UploadRequest, body []byte,
) (images.Image, error) {
	if r.Size == 0 {
		r.Size = int64(len(body))
	}
	u, err := core.BeginUpload(ctx, r)
	if err != nil {
		return images.Image{}, err
	}
	defer u.Close()
	if _, err := io.Copy(u, bytes.NewReader(body)); err != nil {
		return images.Image{}, u.Refuse(ctx, err)
	}
	img, err := u.Finish(ctx, "picture.jpg")
	return img.Image, err
}

// upload makes an image out of a picture.
func upload(t *testing.T, core *imagestest.Core, d images.NewDraft, body []byte) images.Image {
	t.Helper()
	_, ticket := draft(t, core, d)
	img, err := post(t.Context(), core, images.UploadRequest{Ticket: ticket}, body)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func wantKind(t *testing.T, err error, want errs.Kind) {
	t.Helper()
	if err == nil || errs.AsError(err).Kind != want {
		t.Fatalf("got %v, want the kind %v", err, want)
	}
}

func ptr[T any](v T) *T { return &v }

// stored returns an image's original.
func stored(t *testing.T, core *imagestest.Core, id string) []byte {
	t.Helper()
	_, r, err := core.OpenOriginal(t.Context(), account, id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// blobs returns the keys of all originals in the store.
func blobs(t *testing.T, core *imagestest.Core) (keys []string) {
	t.Helper()
	for cursor := ""; ; {
		page, next, err := core.Blobs.List(t.Context(), "", cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range page {
			if strings.Contains(info.Key, "/") {
				keys = append(keys, info.Key)
			}
		}
		if cursor = next; next == "" {
			return keys
		}
	}
}

func TestKindsHaveNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, k := range errs.Kinds() {
		if k.String() == "" || seen[k.String()] {
			t.Errorf("kind %d has no unique name", k)
		}
		seen[k.String()] = true
	}
}
