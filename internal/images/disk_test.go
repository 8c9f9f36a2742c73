package images_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"calotype/internal/accounts"
	"calotype/internal/blob"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/render"
	"calotype/internal/sqldb/sqldbtest"
)

// TestTheReserveHoldsForAllUploadsTogether has room for three bodies beside the reserve, and many
// that come at once. Each has reserved what it will write, so the disk never gets into the reserve.
func TestTheReserveHoldsForAllUploadsTogether(t *testing.T) {
	t.Parallel()
	const body, bodies = 128 << 10, 12
	core := imagestest.New(t)
	const free = 1 << 30
	var reserve int64 = free - 3*body - body/2
	core.SetDiskReserve(reserve)
	left := func() int64 { return free - sizes(t, filepath.Join(core.Dir, "spool")) }
	core.SetDisk(left)
	var stored atomic.Int64
	var begun []*images.Upload
	for range bodies {
		_, ticket := imagestest.Draft(t, core, images.NewDraft{})
		// Each would fit.
		begun = append(begun, begin(t, core, images.UploadRequest{Ticket: ticket, Size: body}))
	}
	var wait sync.WaitGroup
	for _, u := range begun {
		wait.Go(func() {
			if _, err := u.Write(make([]byte, body)); err == nil {
				stored.Add(1)
			} else if errs.AsError(err).Kind != errs.NoSpace {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if stored.Load() < 1 || stored.Load() > 3 || left() < reserve {
		t.Errorf("%d bodies were written, %d bytes are left; the reserve is %d", stored.Load(),
			left(), reserve)
	}
	_, ticket := imagestest.Draft(t, core, images.NewDraft{})
	_, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket, Size: 4 * body})
	imagestest.WantKind(t, err, errs.NoSpace)
}

// TestAWorkerThatCannotStartCostsNoRefusal takes the worker's program away under a running pool.
func TestAWorkerThatCannotStartCostsNoRefusal(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "worker")
	if err := os.Symlink(os.Args[0], program); err != nil {
		t.Fatal(err)
	}
	pool, err := render.NewPool(render.PoolConfig{Command: []string{program, imagestest.WorkerArg}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	core := imagestest.Open(t, images.Config{Render: pool}, filepath.Join(t.TempDir(), "calotype.db"))
	made, ticket := imagestest.Draft(t, core, images.NewDraft{})
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	// The workers that are there do what comes; one body more than they are needs a new one.
	var busy, done atomic.Int64
	var wait sync.WaitGroup
	for i := range 24 {
		_, other := imagestest.Draft(t, core, images.NewDraft{})
		wait.Go(func() {
			_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: other}, imagestest.JPEG(t, i))
			switch {
			case err == nil:
				done.Add(1)
			case errs.AsError(err).Kind == errs.Busy && errors.Is(err, render.ErrNoWorker):
				busy.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if busy.Load() == 0 || done.Load() == 0 {
		t.Errorf("%d done, %d busy: want both", done.Load(), busy.Load())
	}
	if _, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 99)); err != nil {
		t.Errorf("a ticket did not outlive it: %v", err)
	}
	if img, err := core.Image(t.Context(), account, made.ID); err != nil || img.Draft {
		t.Errorf("got %+v, %v", img, err)
	}
}

// TestInstallationsThatStartAtOnceShareNoStore starts several on one empty store: one at most may
// have it.
func TestInstallationsThatStartAtOnceShareNoStore(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: starts forty servers")
	}
	t.Parallel()
	for range 10 {
		store, err := blob.OpenDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		var wait sync.WaitGroup
		var started atomic.Int64
		for range 4 {
			core := imagestest.NewCore(images.Config{
				DB:    sqldbtest.Open(t, filepath.Join(t.TempDir(), "calotype.db")),
				Blobs: store, Dir: t.TempDir(),
			})
			t.Cleanup(core.Close)
			if err := images.Migrate(t.Context(), core.DB); err != nil {
				t.Fatal(err)
			}
			if _, _, err := core.Accounts.SetUp(t.Context(), accounts.Setup{}); err != nil {
				t.Fatal(err)
			}
			wait.Go(func() {
				err := core.Start(t.Context())
				if err == nil {
					started.Add(1)
				} else if !strings.Contains(err.Error(), "blob store") {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if n := started.Load(); n > 1 {
			t.Fatalf("%d installations share a store", n)
		}
	}
}

// TestATokenIsKeptBeforeItCounts fails to store the first token: then no token exists.
func TestATokenIsKeptBeforeItCounts(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		core := imagestest.NewCore(images.Config{DB: sqldbtest.Open(t, dsn)})
		t.Cleanup(core.Close)
		if err := images.Migrate(t.Context(), core.DB); err != nil {
			t.Fatal(err)
		}
		full := errors.New("the disk is full")
		setup := accounts.Setup{Store: func(string) error { return full }}
		if _, _, err := core.Accounts.SetUp(t.Context(), setup); !errors.Is(err, full) {
			t.Fatalf("got %v", err)
		}
		kept := ""
		setup.Store = func(secret string) error { kept = secret; return nil }
		_, secret, err := core.Accounts.SetUp(t.Context(), setup)
		if err != nil || secret == "" || secret != kept {
			t.Errorf("got %q, %v, kept %q", secret, err, kept)
		}
	})
}
