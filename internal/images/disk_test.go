package images_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"calotype/internal/blob"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/render"
	"calotype/internal/sqldb/sqldbtest"
)

// TestTheReserveHoldsForAllUploadsTogether has room for three bodies, and many that come at once.
func TestTheReserveHoldsForAllUploadsTogether(t *testing.T) {
	t.Parallel()
	var stat unix.Statfs_t
	if err := unix.Statfs(t.TempDir(), &stat); err != nil {
		t.Fatal(err)
	}
	// Bodies so large that what others do to this disk meanwhile does not matter.
	core := imagestest.Open(t, images.Config{
		MaxUploadBytes: 1 << 32, SpoolBytes: 1 << 40,
		DiskReserve: int64(stat.Bavail)*int64(stat.Bsize) - 3<<32 - 1<<31,
	}, filepath.Join(t.TempDir(), "calotype.db"))
	var admitted atomic.Int64
	var wait sync.WaitGroup
	for range 12 {
		_, ticket := draft(t, core, images.NewDraft{})
		wait.Go(func() {
			u, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket, Size: -1})
			if err == nil {
				admitted.Add(1)
				t.Cleanup(u.Close)
			} else if images.AsError(err).Kind != images.NoSpace {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n := admitted.Load(); n != 3 {
		t.Errorf("%d bodies were admitted, want 3", n)
	}
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
	made, ticket := draft(t, core, images.NewDraft{})
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	// The workers that are there do what comes; one body more than they are needs a new one.
	var busy, done atomic.Int64
	var wait sync.WaitGroup
	for i := range 24 {
		_, other := draft(t, core, images.NewDraft{})
		wait.Go(func() {
			_, err := post(t.Context(), core, images.UploadRequest{Ticket: other}, imagestest.JPEG(t, i))
			switch {
			case err == nil:
				done.Add(1)
			case images.AsError(err).Kind == images.Busy && errors.Is(err, render.ErrNoWorker):
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
	if _, err := post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 99)); err != nil {
		t.Errorf("a ticket did not outlive it: %v", err)
	}
	if img, err := core.Image(t.Context(), account, made.ID); err != nil || img.Draft {
		t.Errorf("got %+v, %v", img, err)
	}
}

// TestInstallationsThatStartAtOnceShareNoStore starts several on one empty store: one at most may
// have it.
func TestInstallationsThatStartAtOnceShareNoStore(t *testing.T) {
	t.Parallel()
	for range 10 {
		store, err := blob.OpenDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		var wait sync.WaitGroup
		var started atomic.Int64
		for range 4 {
			core := images.New(images.Config{
				DB:    sqldbtest.Open(t, filepath.Join(t.TempDir(), "calotype.db")),
				Blobs: store, Dir: t.TempDir(),
			})
			t.Cleanup(core.Close)
			if err := images.Migrate(t.Context(), core.DB); err != nil {
				t.Fatal(err)
			}
			if _, _, err := core.SetUpAccount(t.Context(), images.AccountSetup{}); err != nil {
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

// TestATokenIsKeptBeforeItCounts fails to keep the first token: then there is none.
func TestATokenIsKeptBeforeItCounts(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		core := images.New(images.Config{DB: sqldbtest.Open(t, dsn)})
		t.Cleanup(core.Close)
		if err := images.Migrate(t.Context(), core.DB); err != nil {
			t.Fatal(err)
		}
		full := errors.New("the disk is full")
		setup := images.AccountSetup{Keep: func(string) error { return full }}
		if _, _, err := core.SetUpAccount(t.Context(), setup); !errors.Is(err, full) {
			t.Fatalf("got %v", err)
		}
		kept := ""
		setup.Keep = func(secret string) error { kept = secret; return nil }
		_, secret, err := core.SetUpAccount(t.Context(), setup)
		if err != nil || secret == "" || secret != kept {
			t.Errorf("got %q, %v, kept %q", secret, err, kept)
		}
	})
}
