// Package imagestest gives tests a complete core: a database of each engine, a blob folder, and real workers.
package imagestest

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/blob"
	"calotype/internal/images"
	"calotype/internal/listing"
	"calotype/internal/render"
	"calotype/internal/renditions"
	"calotype/internal/sqldb"
	"calotype/internal/sqldb/sqldbtest"
)

// WorkerArg is the argument that makes a test binary a worker; see Main.
const WorkerArg = "calotype-test-worker"

var (
	poolOnce sync.Once
	pool     *render.Pool
	poolErr  error
)

// Main is the TestMain of packages that use New: the test binary is the program of the workers.
func Main(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == WorkerArg {
		os.Exit(render.WorkerMain(newEngine))
	}
	code := m.Run()
	if pool != nil {
		if err := pool.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "closing the workers:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// Pool returns the workers that the tests of a package share.
func Pool(t testing.TB) *render.Pool {
	t.Helper()
	poolOnce.Do(func() {
		pool, poolErr = render.NewPool(render.PoolConfig{
			Command: []string{os.Args[0], WorkerArg}, Queue: 10_000,
		})
	})
	if poolErr != nil {
		t.Fatal(poolErr)
	}
	return pool
}

// EagerPool returns separate workers with an eager lane, which the test closes at its end.
func EagerPool(t testing.TB, workers int) *render.Pool {
	t.Helper()
	p, err := render.NewPool(render.PoolConfig{
		Command: []string{os.Args[0], WorkerArg}, Workers: workers, Eager: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// Core is an images.Service with its database, blob store and render pool, for tests.
type Core struct {
	*images.Service
	Renditions *renditions.Service
	Lists      *listing.Lister
	DB         *sqldb.DB
	Blobs      blob.Store
	Render     *render.Pool
	Dir        string

	clock atomic.Pointer[func() time.Time]
}

// CreateDraft calls that of the service with the account as it is now.
func (c *Core) CreateDraft(
	ctx context.Context, account string, d images.NewDraft,
) (img images.Image, ticket string, err error) {
	a, err := c.Accounts.ByID(ctx, account)
	if err != nil {
		return img, "", err
	}
	return c.Service.CreateDraft(ctx, a.Owner(), d)
}

// NewCore returns a Core that is not started. Its clock is the clock of c until SetNow.
func NewCore(c images.Config) *Core { return newCore(c, renditions.Config{}) }

func newCore(c images.Config, made renditions.Config) *Core {
	core := &Core{Lists: listing.New(c.DB), DB: c.DB, Blobs: c.Blobs, Render: c.Render, Dir: c.Dir}
	if c.Now == nil {
		c.Now = time.Now
	}
	core.SetNow(c.Now)
	c.Now = func() time.Time { return (*core.clock.Load())() }
	c.Uploaded = func(img images.Image) { core.Renditions.Uploaded(img) }
	core.Service = images.New(c)
	made.Core, made.Blobs, made.Render, made.Timer = core.Service, c.Blobs, c.Render, c.Timer
	core.Renditions = renditions.New(made)
	return core
}

// Start starts the core and its renditions.
func (c *Core) Start(ctx context.Context) error {
	if err := c.Service.Start(ctx); err != nil {
		return err
	}
	return c.Renditions.Start()
}

// Close closes the renditions and the core.
func (c *Core) Close() {
	c.Renditions.Close()
	c.Service.Close()
}

// SetNow sets the clock of the core.
func (c *Core) SetNow(now func() time.Time) { c.clock.Store(&now) }

// Each runs fn with a Core on each database engine.
func Each(t *testing.T, fn func(t *testing.T, core *Core)) {
	sqldbtest.Each(t, func(t *testing.T, dsn string) { fn(t, Open(t, images.Config{}, dsn)) })
}

// New returns a started Core on SQLite.
func New(t *testing.T) *Core {
	t.Helper()
	return Open(t, images.Config{}, filepath.Join(t.TempDir(), "calotype.db"))
}

// Open returns a started Core on the database dsn, with the account AccountID. A zero field of c gets a default.
func Open(t testing.TB, c images.Config, dsn string) *Core {
	t.Helper()
	return OpenWith(t, c, renditions.Config{}, dsn)
}

// OpenWith is Open with a configuration of the renditions.
func OpenWith(t testing.TB, c images.Config, made renditions.Config, dsn string) *Core {
	t.Helper()
	if c.DB == nil {
		c.DB = sqldbtest.Open(t, dsn)
	}
	if err := images.Migrate(t.Context(), c.DB); err != nil {
		t.Fatal(err)
	}
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	if c.Blobs == nil {
		dir, err := blob.OpenDir(filepath.Join(c.Dir, "blobs"))
		if err != nil {
			t.Fatal(err)
		}
		c.Blobs = dir
	}
	if c.Render == nil {
		c.Render = Pool(t)
	}
	if c.DiskReserve == 0 {
		c.DiskReserve = 1
	}
	core := newCore(c, made)
	t.Cleanup(core.Close)
	_, _, err := core.Accounts.SetUp(t.Context(), accounts.Setup{ID: AccountID, Token: Token})
	if err != nil {
		t.Fatal(err)
	}
	if err := core.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return core
}

// The account that Open creates, and its token.
const (
	AccountID = "023e105f4ecef8ad9ca31a8372d0c353"
	Token     = "canary-token-of-the-tests"
)

// JPEG returns a small picture; the bytes differ for each seed.
func JPEG(t testing.TB, seed int) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 64, 48))
	for y := range 48 {
		for x := range 64 {
			img.Set(x, y, color.RGBA{uint8(x*4 + seed), uint8(y*5 + seed/7), uint8(seed * 31), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	// The comment makes the bytes of every seed differ, whatever the encoder rounds away.
	comment := fmt.Appendf(nil, "picture %06d", seed)
	segment := append([]byte{0xff, 0xfe, 0, byte(len(comment) + 2)}, comment...)
	return append(append([]byte{0xff, 0xd8}, segment...), b.Bytes()[2:]...)
}
