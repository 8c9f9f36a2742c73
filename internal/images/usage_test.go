package images_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb/sqldbtest"
	"calotype/internal/webhooks"
)

const largest = 10 << 20 // the default of MaxUploadBytes

func limit(t *testing.T, core *imagestest.Core, name string, n int64) {
	t.Helper()
	if err := core.Accounts.SetLimit(t.Context(), account, name, n); err != nil {
		t.Fatal(err)
	}
}

func usage(t *testing.T, core *imagestest.Core) accounts.Usage {
	t.Helper()
	a, err := core.Accounts.ByID(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	return a.Used
}

// TestALimitHoldsAgainst64 has 64 askers at once for the 5 that a limit leaves.
func TestALimitHoldsAgainst64(t *testing.T) {
	t.Parallel()
	size := int64(len(imagestest.JPEG(t, 0)))
	for _, c := range []struct {
		name, limit string
		n           int64
		api         bool // an upload with the token, else a draft
	}{
		{"drafts", "drafts", 5, false}, {"upload-urls", "upload-urls", 5, false},
		{"images of drafts", "images", 5, false}, {"bytes of drafts", "bytes", 5*largest + 1, false},
		{"images", "images", 5, true}, {"bytes", "bytes", 6*size - 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
				core.SetNow(imagestest.NewClock().Now)
				limit(t, core, c.limit, c.n)
				var made atomic.Int64
				var wait sync.WaitGroup
				for range 64 {
					wait.Go(func() {
						var err error
						if c.api {
							_, err = imagestest.Create(t, core, account, images.NewDraft{}, imagestest.JPEG(t, 0))
						} else {
							_, _, err = core.CreateDraft(t.Context(), account, images.NewDraft{})
						}
						if err == nil {
							made.Add(1)
						} else if errs.AsError(err).Kind != errs.LimitReached {
							t.Error(err)
						}
					})
				}
				wait.Wait()
				if made.Load() != 5 {
					t.Errorf("%d were made, want 5", made.Load())
				}
				if left := blobs(t, core); c.api && len(left) != 5 {
					t.Errorf("%d originals are left, want 5", len(left))
				}
				imagestest.CheckUsage(t, core)
			})
		})
	}
}

func TestDraftsReserve(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		limit(t, core, "bytes", 2*largest)
		body := imagestest.JPEG(t, 1)
		size := int64(len(body))
		_, ticket := imagestest.Draft(t, core, images.NewDraft{})
		if got := usage(t, core); got != (accounts.Usage{Drafts: 1, Bytes: largest}) {
			t.Errorf("a draft takes %+v", got)
		}
		if _, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, body); err != nil {
			t.Fatal(err)
		}
		if got := usage(t, core); got != (accounts.Usage{Images: 1, Bytes: size}) {
			t.Errorf("an image of %d bytes takes %+v", size, got)
		}
		_, late := imagestest.Draft(t, core, images.NewDraft{})
		_, _, err := core.CreateDraft(t.Context(), account, images.NewDraft{})
		imagestest.WantKind(t, err, errs.LimitReached)
		// An upload that begins in time and ends long after is charged again, or refused.
		u, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: late, Size: size})
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		if _, err := u.Write(body); err != nil {
			t.Fatal(err)
		}
		clock.Forward(41 * time.Minute)
		if err := core.ReleaseExpiredDrafts(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := usage(t, core); got != (accounts.Usage{Images: 1, Bytes: size}) {
			t.Errorf("an expired draft still takes something: %+v", got)
		}
		limit(t, core, "bytes", 2*size-1)
		_, err = u.Finish(t.Context(), "a.jpg")
		imagestest.WantKind(t, err, errs.LimitReached)
		limit(t, core, "bytes", 2*size)
		if _, err := u.Finish(t.Context(), "a.jpg"); err != nil {
			t.Fatal(err)
		}
		if got := usage(t, core); got != (accounts.Usage{Images: 2, Bytes: 2 * size}) {
			t.Errorf("the late image makes it %+v", got)
		}
		if len(blobs(t, core)) != 2 {
			t.Error("the refused one's original is left")
		}
	})
}

func TestMintsCountByTheMinute(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	clock := imagestest.NewClock()
	core.SetNow(clock.Now)
	limit(t, core, "upload-urls", 2)
	mint := func() error {
		_, _, err := core.CreateDraft(t.Context(), account, images.NewDraft{})
		return err
	}
	for i, c := range []struct {
		later time.Duration
		fine  bool
	}{
		{0, true}, {0, true}, {0, false}, {59 * time.Second, false}, {time.Second, true}, {0, true},
		{0, false}, {-time.Second, false}, // by the clock of another node
		{-time.Hour, true}, {time.Hour, true},
	} {
		clock.Forward(c.later)
		if err := mint(); (err == nil) != c.fine {
			t.Errorf("draft %d: %v", i, err)
		}
	}
	if _, err := imagestest.Create(t, core, account, images.NewDraft{}, imagestest.JPEG(t, 1)); err != nil {
		t.Error(err)
	}
	limit(t, core, "upload-urls", accounts.NoLimit)
	for range 5 {
		if err := mint(); err != nil {
			t.Error(err)
		}
	}
	imagestest.WantKind(t, core.Accounts.SetLimit(t.Context(), account, "upload-urls", -2), errs.Invalid)
	imagestest.WantKind(t, core.Accounts.SetLimit(t.Context(), account, "id", 1), errs.Invalid)
	imagestest.WantKind(t, core.Accounts.SetLimit(t.Context(), "unknown", "upload-urls", 1), errs.AccountUnknown)
}

// TestUsageIsARecount does all that changes an account's images, at once and at random.
func TestUsageIsARecount(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		var now atomic.Int64 // microseconds
		now.Store(imagestest.NewClock().Now().UnixMicro())
		core := imagestest.Open(t, images.Config{
			Now: func() time.Time { return time.UnixMicro(now.Load()).UTC() },
		}, dsn)
		other, err := core.Accounts.Create(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		if err := core.Accounts.SetLimit(t.Context(), other.ID, "images", 4); err != nil {
			t.Fatal(err)
		}
		limit(t, core, "kept", 200_000) // so that some is trimmed
		var wait sync.WaitGroup
		for worker := range 8 {
			rnd := rand.New(rand.NewPCG(uint64(worker), 2))
			wait.Go(func() {
				for i := range 40 {
					one := mix{t, core, []string{account, other.ID}[rnd.IntN(2)], rnd}
					one.do(worker*100+i, &now)
				}
			})
		}
		wait.Wait()
		imagestest.CheckUsage(t, core)
		if a, err := core.Accounts.ByID(t.Context(), account); err != nil || a.Used.Images == 0 {
			t.Errorf("nothing was made: %+v, %v", a.Used, err)
		}
		if deleted, err := core.DeleteAccount(t.Context(), other.ID); err != nil {
			t.Errorf("%d were deleted: %v", deleted, err)
		}
		imagestest.CheckUsage(t, core)
	})
}

type mix struct {
	t       *testing.T
	core    *imagestest.Core
	account string
	rnd     *rand.Rand
}

// do makes one call, which concurrent calls may make impossible.
func (m mix) do(seed int, now *atomic.Int64) {
	id := "shared-" + strconv.Itoa(m.rnd.IntN(6))
	d := images.NewDraft{}
	if m.rnd.IntN(2) == 0 {
		d.ID = &id
	}
	var err error
	switch m.rnd.IntN(15) {
	case 0, 1, 2:
		var ticket string
		_, ticket, err = m.core.CreateDraft(m.t.Context(), m.account, d)
		if err == nil && m.rnd.IntN(3) > 0 {
			_, err = imagestest.Post(m.t.Context(), m.core, images.UploadRequest{Ticket: ticket},
				imagestest.JPEG(m.t, seed))
		}
	case 3:
		_, err = imagestest.Create(m.t, m.core, m.account, d, imagestest.JPEG(m.t, seed))
	case 4, 5:
		err = m.core.DeleteImage(m.t.Context(), m.account, id)
	case 6:
		now.Add(int64(25 * time.Minute / time.Microsecond))
		err = m.core.ReleaseExpiredDrafts(m.t.Context())
	case 7:
		now.Add(int64(3 * time.Hour / time.Microsecond))
		err = m.core.DeleteExpiredDrafts(m.t.Context())
	case 8, 9:
		meta := json.RawMessage(fmt.Sprintf(`{"seed":%d}`, seed))
		_, err = m.core.EditImage(m.t.Context(), m.account, id, images.Edit{Meta: &meta})
	case 10:
		err = m.stream()
	case 11:
		_, err = m.core.Erase(m.t.Context(), m.account, images.ErasureQuery{ID: id})
	case 12:
		err = m.forget()
	case 13, 14:
		err = m.useLink(withUses(d, 1+m.rnd.IntN(4)), seed)
	}
	switch kind := errs.AsError(err).Kind; {
	case err == nil:
	case kind == errs.Exists, kind == errs.ImageNotFound, kind == errs.LimitReached,
		kind == errs.WebhookNotFound, kind == errs.TicketUnknown, kind == errs.TicketInvalid, kind == errs.TicketUsed:
	default:
		m.t.Error(err)
	}
}

// useLink creates a link and uses it, perhaps as often as it allows or once more; it may delete one of its images.
func (m mix) useLink(d images.NewDraft, seed int) error {
	link, ticket, err := m.core.CreateDraft(m.t.Context(), m.account, d)
	for i := 0; err == nil && i < m.rnd.IntN(6); i++ {
		var img images.Image
		img, err = imagestest.Post(m.t.Context(), m.core, images.UploadRequest{Ticket: ticket},
			imagestest.JPEG(m.t, seed*10+i))
		if err == nil && img.Key != link.Key && m.rnd.IntN(4) == 0 {
			err = m.core.DeleteImage(m.t.Context(), m.account, img.ID)
		}
	}
	return err
}

// stream opens a stream, claims some of its events, reports most of the results, and may delete the stream.
func (m mix) stream() error {
	w, err := m.core.Webhooks.OpenStream(m.t.Context(), m.account, "stream-"+strconv.Itoa(m.rnd.IntN(2)), nil)
	if err != nil {
		return err
	}
	claimed, err := m.core.Webhooks.Claim(m.t.Context(), w.ID, 8)
	if err != nil {
		return err
	}
	var attempts []webhooks.Attempt
	for _, d := range claimed {
		if m.rnd.IntN(4) > 0 {
			attempts = append(attempts, imagestest.Attempt(d, []int{200, 500}[m.rnd.IntN(2)]))
		}
	}
	if _, err = m.core.Webhooks.Complete(m.t.Context(), attempts); err != nil || m.rnd.IntN(4) > 0 {
		return err
	}
	err = m.core.Webhooks.Delete(m.t.Context(), m.account, w.ID)
	if errs.AsError(err).Kind == errs.WebhookNotFound {
		err = nil // another worker has
	}
	return err
}

// forget does the jobs that delete what is kept.
func (m mix) forget() error {
	for _, job := range []func(context.Context) error{
		m.core.Webhooks.TrimKept, m.core.Webhooks.DeleteOldEvents, m.core.ForgetDeletions, m.core.Webhooks.EndStreams,
		m.core.Accounts.RecountKept, m.core.Scrub,
	} {
		if err := job(m.t.Context()); err != nil {
			return err
		}
	}
	return nil
}

// TestOneFunctionDeletesRows: what deletes rows by itself forgets to credit their account.
func TestOneFunctionDeletesRows(t *testing.T) {
	t.Parallel()
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range sources {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(name, "_test.go") {
			found += strings.Count(string(text), "DELETE FROM images")
		}
	}
	if found != 1 {
		t.Errorf("DELETE FROM images stands in %d places, want deleteRows only", found)
	}
}
