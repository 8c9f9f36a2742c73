package imagestest

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/renditions"
	"calotype/internal/sqldb/sqldbtest"
	"calotype/internal/webhooks"
)

// A Clock is a clock that tests set.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock returns a clock at 2026-11-23 12:00:00.123456 UTC.
func NewClock() *Clock {
	return &Clock{at: time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC)}
}

// Now returns the time of the clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Set sets the clock.
func (c *Clock) Set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

// Forward moves the clock forward.
func (c *Clock) Forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// Draft creates a draft and returns it with its ticket.
func Draft(t *testing.T, core *Core, d images.NewDraft) (images.Image, string) {
	t.Helper()
	img, ticket, err := core.CreateDraft(t.Context(), AccountID, d)
	if err != nil {
		t.Fatal(err)
	}
	return img, ticket
}

// Post uploads a body to a ticket as package intake does.
func Post(
	ctx context.Context, core *Core, r images.UploadRequest, body []byte,
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

// Upload creates a draft, uploads a picture to it and returns the image.
func Upload(t *testing.T, core *Core, d images.NewDraft, body []byte) images.Image {
	t.Helper()
	_, ticket := Draft(t, core, d)
	img, err := Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, body)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// Resolve resolves the delivery URL of an image of the account AccountID in the variant public.
func Resolve(t *testing.T, core *Core, id string) renditions.Resolved {
	t.Helper()
	a, err := core.Accounts.ByID(t.Context(), AccountID)
	if err != nil {
		t.Fatal(err)
	}
	r, err := core.Renditions.Resolve(t.Context(), a.Hash, id, "public")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// WantKind fails the test unless err has the kind.
func WantKind(t *testing.T, err error, want errs.Kind) {
	t.Helper()
	if err == nil || errs.AsError(err).Kind != want {
		t.Fatalf("got %v, want the kind %v", err, want)
	}
}

// Ptr returns a pointer to v.
func Ptr[T any](v T) *T { return &v }

// Claim claims all due deliveries of a webhook, in the order of their events.
func Claim(t *testing.T, core *Core, w webhooks.Webhook) (all []webhooks.Delivery) {
	t.Helper()
	for {
		some, err := core.Webhooks.Claim(t.Context(), w.ID, webhooks.ClaimAtOnce)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, some...); len(some) == 0 {
			return all
		}
	}
}

// Complete completes deliveries with attempts, and fails the test unless all of them are settled.
func Complete(t *testing.T, core *Core, attempts ...webhooks.Attempt) {
	t.Helper()
	n, err := core.Webhooks.Complete(context.WithoutCancel(t.Context()), attempts)
	if err != nil || n != len(attempts) {
		t.Fatalf("settled %d of %d, %v", n, len(attempts), err)
	}
}

// Attempt returns an attempt of a delivery with a status.
func Attempt(d webhooks.Delivery, status int) webhooks.Attempt {
	return webhooks.Attempt{Account: d.Event.Account, EventID: d.Event.ID, WebhookID: d.Webhook.ID, Number: d.Attempt,
		Began: d.Event.At, Took: time.Millisecond, Status: status, Answer: "an answer"}
}

// Webhook creates a webhook and a policy that subscribes it, and returns the webhook.
func Webhook(t *testing.T, core *Core, events ...webhooks.EventType) webhooks.Webhook {
	t.Helper()
	w, err := core.Webhooks.Create(t.Context(), AccountID, webhooks.WebhookChange{
		Name: Ptr("hook"), URL: Ptr("https://example.com/hook"), Events: events}, nil)
	if err != nil {
		t.Fatal(err)
	}
	Policy(t, core, "uploads", w.ID)
	return w
}

// Policy creates a policy that subscribes webhooks.
func Policy(t *testing.T, core *Core, name string, ids ...string) webhooks.Policy {
	t.Helper()
	p, err := core.Webhooks.CreatePolicy(t.Context(), AccountID, webhooks.PolicyChange{
		Name: &name, Enabled: Ptr(true), Webhooks: &ids})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// FillOutbox writes events with pending deliveries to a webhook, each of another image and creator, and due a
// microsecond after the previous one.
func FillOutbox(t testing.TB, core *Core, w webhooks.Webhook, events int) {
	t.Helper()
	now := core.Now().Add(-time.Hour).UnixMicro()
	for _, statement := range []string{
		`INSERT INTO events (id, account, type, image, id_sha256, creator, created, erasure, facts)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?4)
			SELECT 'evt_' || CAST(?1 AS TEXT) || '_' || i, CAST(?2 AS TEXT), 'image.updated', 'key' || i,
				'sum' || i, 'creator' || i, CAST(?3 AS BIGINT) + i, 0, '{"id":"filled"}' FROM n`,
		`INSERT INTO deliveries (event, webhook, account, created, policy, policy_name, due, attempt,
			failures, outcome)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?4)
			SELECT 'evt_' || CAST(?1 AS TEXT) || '_' || i, CAST(?1 AS TEXT), CAST(?2 AS TEXT),
				CAST(?3 AS BIGINT) + i, '', '', CAST(?3 AS BIGINT) + i, 0, 0, 'pending' FROM n`,
	} {
		if _, err := core.DB.Exec(t.Context(), statement, w.ID, w.Account, now, events); err != nil {
			t.Fatal(err)
		}
	}
}

// Count returns the number of rows of a table, which may include a WHERE.
func Count(t *testing.T, core *Core, table string) (n int) {
	t.Helper()
	if err := core.DB.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Erase begins or continues an erasure.
func Erase(t *testing.T, core *Core, q images.ErasureQuery) images.Receipt {
	t.Helper()
	r, err := core.Erase(t.Context(), AccountID, q)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Create creates an image as package api does.
func Create(
	t testing.TB, core *Core, account string, d images.NewDraft, body []byte,
) (images.Image, error) {
	u, err := core.BeginImage(account, int64(len(body)))
	if err != nil {
		return images.Image{}, err
	}
	defer u.Close()
	if _, err := u.Write(body); err != nil {
		return images.Image{}, err
	}
	img, err := u.Create(t.Context(), "a.jpg", d)
	return img.Image, err
}

// Accounts creates more accounts.
func Accounts(t *testing.T, core *Core, n int) (ids []string) {
	t.Helper()
	for range n {
		a, err := core.Accounts.Create(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, a.ID)
	}
	return ids
}

// OnNodes calls fn from eight concurrent nodes, with i from 0 to 39, and returns the number of successful calls. The
// errors of all other calls must be Exists or LimitReached.
func OnNodes(
	t *testing.T, dsn string, fn func(core *Core, node, i int) error,
) (made int) {
	t.Helper()
	var mu sync.Mutex
	var wait sync.WaitGroup
	for node := range 8 {
		core := NewCore(images.Config{DB: sqldbtest.Open(t, dsn)})
		wait.Go(func() {
			defer core.Close()
			for i := range 40 {
				err := fn(core, node, i)
				kind := errs.AsError(err).Kind
				mu.Lock()
				switch {
				case err == nil:
					made++
				case kind != errs.Exists && kind != errs.LimitReached:
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	return made
}

// Attempts returns the attempts of all deliveries.
func Attempts(all []webhooks.Delivery, status int) (attempts []webhooks.Attempt) {
	for _, d := range all {
		attempts = append(attempts, Attempt(d, status))
	}
	return attempts
}

// Types returns the event types of claimed deliveries, with the attempt at the one-time URL and its end.
func Types(all []webhooks.Delivery) string {
	var names []string
	for _, d := range all {
		name := strings.TrimPrefix(string(d.Event.Type), "image.")
		if f := d.Event.Facts.Failure; f != nil {
			name += " " + f.Kind
			if f.Final {
				name += " final"
			}
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// Stored returns the bytes of an image's original.
func Stored(t *testing.T, core *Core, id string) []byte {
	t.Helper()
	_, r, err := core.OpenOriginal(t.Context(), AccountID, id)
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

// Files returns the paths of all files in a folder.
func Files(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
