package images_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb"
	"calotype/internal/sqldb/sqldbtest"
)

// held keeps everybody from writing to the account, on either engine, until release is called.
func held(t *testing.T, core *images.Service) (release func()) {
	t.Helper()
	locked, free, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- core.DB.Tx(context.Background(), func(tx *sqldb.Tx) error {
			_, err := tx.Exec(`UPDATE accounts SET created = created WHERE id = ?1`, account)
			close(locked)
			<-free
			return err
		})
	}()
	<-locked
	return func() {
		t.Helper()
		close(free)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// A mint is a call of CreateDraft on its way.
type mint struct {
	img    images.Image
	ticket string
	err    error
	ended  chan struct{}
}

func startMint(ctx context.Context, core *images.Service, d images.NewDraft) *mint {
	m := &mint{ended: make(chan struct{})}
	go func() {
		m.img, m.ticket, m.err = core.CreateDraft(ctx, account, d)
		close(m.ended)
	}()
	return m
}

// queue starts mints that wait behind one of another mint, the first returned. The account must be
// held.
func queue(
	ctx context.Context, t *testing.T, core *images.Service, all ...images.NewDraft,
) []*mint {
	t.Helper()
	_, _, groups := core.Drafts(account)
	mints := []*mint{startMint(t.Context(), core, images.NewDraft{})}
	// SQLite lets it begin only when it can write; PostgreSQL lets it come as far as the account.
	if isPostgres(t, core) {
		groups++
	}
	until(t, func() bool { _, led, now := core.Drafts(account); return led && now == groups })
	for _, d := range all {
		mints = append(mints, startMint(ctx, core, d))
	}
	until(t, func() bool { waiting, _, _ := core.Drafts(account); return waiting == len(all) })
	return mints
}

func isPostgres(t *testing.T, core *images.Service) bool {
	var version string
	return core.DB.QueryRow(t.Context(), `SELECT sqlite_version()`).Scan(&version) != nil
}

// wantMade checks that all ended as they say: with their rows, or without, and that the account was
// charged for just those that are there.
func wantMade(t *testing.T, core *images.Service, mints []*mint, want int) {
	t.Helper()
	made, ids := 0, map[string]bool{}
	for _, m := range mints {
		<-m.ended
		if m.err != nil {
			continue
		}
		made++
		ids[m.img.ID] = true
		u, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: m.ticket, Size: 1})
		if err != nil {
			t.Errorf("the ticket of a draft that was made: %v", err)
			continue
		}
		if got := u.Draft(); got.Key != m.img.Key || got.ID != m.img.ID {
			t.Errorf("the ticket of %s is that of %s", m.img.ID, got.ID)
		}
		u.Close()
	}
	if made != want || len(ids) != want {
		t.Errorf("%d were made of %d ids, want %d", made, len(ids), want)
	}
	if got := usage(t, core).Drafts; got != int64(want) {
		t.Errorf("the account holds %d drafts, want %d", got, want)
	}
	imagestest.CheckUsage(t, core)
	var minted int
	err := core.DB.QueryRow(t.Context(), `SELECT minted FROM accounts WHERE id = ?1`, account).
		Scan(&minted)
	if err != nil || minted != want {
		t.Errorf("%d were counted in this minute, %v, want %d", minted, err, want)
	}
	if waiting, led, _ := core.Drafts(account); waiting != 0 || led {
		t.Errorf("%d still wait, led: %v", waiting, led)
	}
}

func TestDraftsGoTogether(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *images.Service) {
		core.Now = newClock().now
		release := held(t, core)
		mints := queue(t.Context(), t, core, make([]images.NewDraft, 100)...)
		release()
		wantMade(t, core, mints, 101)
		// With the one that leads at first, and perhaps alone.
		if _, _, groups := core.Drafts(account); groups > 3 {
			t.Errorf("101 drafts took %d transactions", groups)
		}
	})
}

// TestAGroupOverALimit: the sum is over the limit, so each of the group is settled by itself.
func TestAGroupOverALimit(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *images.Service) {
		core.Now = newClock().now
		limit(t, core, "drafts", 5)
		release := held(t, core)
		mints := queue(t.Context(), t, core, make([]images.NewDraft, 40)...)
		release()
		wantMade(t, core, mints, 5)
		for _, m := range mints {
			if m.err != nil && !strings.Contains(m.err.Error(), "limit of 5 drafts that wait") {
				t.Errorf("told %v", m.err)
			}
		}
		if err := core.SuspendAccount(t.Context(), account, true); err != nil {
			t.Fatal(err)
		}
		for i := range mints {
			mints[i] = startMint(t.Context(), core, images.NewDraft{})
		}
		for _, m := range mints {
			<-m.ended
			wantKind(t, m.err, errs.AccountSuspended)
		}
	})
}

// TestConflictsInAGroup: who asks for an id that is taken is told so, and nobody else.
func TestConflictsInAGroup(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *images.Service) {
		clock := newClock()
		core.Now = clock.now
		dead, _ := draft(t, core, images.NewDraft{ID: ptr("dead")})
		clock.forward(31 * time.Minute)
		draft(t, core, images.NewDraft{ID: ptr("alive")})
		var all []images.NewDraft
		for _, id := range []string{"twice", "alive", "", "dead", "", "twice", "fresh"} {
			d := images.NewDraft{}
			if id != "" {
				d.ID = &id
			}
			all = append(all, d)
		}
		release := held(t, core)
		mints := queue(t.Context(), t, core, all...)
		release()
		for i, m := range mints {
			if <-m.ended; m.err == nil {
				continue
			}
			if i != 1 && i != 2 && i != 6 {
				t.Errorf("%d: %v", i, m.err)
			} else if errs.AsError(m.err).Kind != errs.Exists {
				t.Errorf("%d: got %v, want that the id is taken", i, m.err)
			}
		}
		if (mints[1].err == nil) == (mints[6].err == nil) {
			t.Errorf("two of one id: %v and %v", mints[1].err, mints[6].err)
		}
		if mints[2].err == nil {
			t.Error("a live draft was replaced")
		}
		now, err := core.Image(t.Context(), account, "dead")
		if err != nil || now.Key == dead.Key || now.Key != mints[4].img.Key {
			t.Errorf("the dead draft was not replaced: %+v, %v", now, err)
		}
		imagestest.CheckUsage(t, core)
	})
}

// TestWhoLeavesAGroup: who goes away while waiting is not made, and takes nobody along.
func TestWhoLeavesAGroup(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *images.Service) {
		core.Now = newClock().now
		release := held(t, core)
		ctx, cancel := context.WithCancel(t.Context())
		leaving := queue(ctx, t, core, make([]images.NewDraft, 10)...)
		var staying []*mint
		for range 10 {
			staying = append(staying, startMint(t.Context(), core, images.NewDraft{}))
		}
		until(t, func() bool { waiting, _, _ := core.Drafts(account); return waiting == 20 })
		cancel()
		for _, m := range leaving[1:] {
			if <-m.ended; !errors.Is(m.err, context.Canceled) {
				t.Errorf("who went away is told %v", m.err)
			}
		}
		release()
		wantMade(t, core, append(staying, leaving...), 11)
	})
}

// TestLeavingAtAnyMoment: whatever the moment, who is told that it went away has no row, who is
// told that the draft was made has one, and each is counted once.
func TestLeavingAtAnyMoment(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *images.Service) {
		core.Now = newClock().now
		const askers, rounds = 24, 20
		mints := make([]*mint, askers*rounds)
		var made atomic.Int64
		var wait sync.WaitGroup
		for i := range askers {
			rnd := rand.New(rand.NewPCG(uint64(i), 5))
			wait.Go(func() {
				for round := range rounds {
					ctx, cancel := context.WithCancel(t.Context())
					m := startMint(ctx, core, images.NewDraft{ID: ptr("i" + strconv.Itoa(i*rounds+round))})
					mints[i*rounds+round] = m
					if rnd.IntN(3) > 0 {
						time.Sleep(time.Duration(rnd.IntN(4000)) * time.Microsecond)
						cancel()
					}
					<-m.ended
					cancel()
					if m.err == nil {
						made.Add(1)
					} else if !errors.Is(m.err, context.Canceled) {
						t.Error(m.err)
					}
				}
			})
		}
		wait.Wait()
		wantMade(t, core, mints, int(made.Load()))
		for i, m := range mints {
			_, err := core.Image(t.Context(), account, "i"+strconv.Itoa(i))
			if (err == nil) != (m.err == nil) {
				t.Errorf("%d: told %v, and reading it says %v", i, m.err, err)
			}
		}
		t.Logf("%d of %d were made", made.Load(), len(mints))
	})
}

// TestCloseWhileDraftsWait: those who wait have callers, who are answered all the same.
func TestCloseWhileDraftsWait(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *images.Service) {
		core.Now = newClock().now
		release := held(t, core)
		mints := queue(t.Context(), t, core, make([]images.NewDraft, 80)...)
		core.Close()
		release()
		wantMade(t, core, mints, 81)
	})
}

func TestWaitingDraftsAreBounded(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *images.Service) {
		core.Now = newClock().now
		release := held(t, core)
		mints := queue(t.Context(), t, core, make([]images.NewDraft, images.DraftsWaitingOfOne)...)
		_, _, err := core.CreateDraft(t.Context(), account, images.NewDraft{})
		wantKind(t, err, errs.Busy)
		release()
		wantMade(t, core, mints, images.DraftsWaitingOfOne+1)
	})
}

// TestAFailingNeighbour: a row that the database does not take, for whatever reason, is refused
// alone.
func TestAFailingNeighbour(t *testing.T) {
	t.Parallel()
	refusal := map[string][]string{
		"sqlite": {`CREATE TRIGGER refuse BEFORE INSERT ON images WHEN NEW.creator = 'poison'
			BEGIN SELECT RAISE(ABORT, 'poisoned'); END`},
		"postgres": {`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN RAISE EXCEPTION 'poisoned'; END $$`,
			`CREATE TRIGGER refuse BEFORE INSERT ON images FOR EACH ROW
			WHEN (NEW.creator = 'poison') EXECUTE FUNCTION refuse()`},
	}
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		core := imagestest.Open(t, images.Config{Now: newClock().now}, dsn)
		engine := "sqlite"
		if isPostgres(t, core) {
			engine = "postgres"
		}
		for _, statement := range refusal[engine] {
			if _, err := core.DB.Exec(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		all := make([]images.NewDraft, 12)
		all[7].Creator = ptr("poison")
		release := held(t, core)
		mints := queue(t.Context(), t, core, all...)
		release()
		wantMade(t, core, mints, 12)
		if err := mints[8].err; err == nil || !strings.Contains(err.Error(), "poisoned") {
			t.Errorf("the poisoned one is told %v", err)
		}
	})
}

// TestAGroupWhoseCommitIsLost: all of it are told that nobody knows, and none is tried again, for
// it may be there.
func TestAGroupWhoseCommitIsLost(t *testing.T) {
	t.Parallel()
	core := imagestest.Open(t, images.Config{Now: newClock().now}, sqldbtest.Postgres(t))
	for _, statement := range []string{
		`CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$`,
		`CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON images DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (NEW.creator = 'lost') EXECUTE FUNCTION lose()`,
	} {
		if _, err := core.DB.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	all := make([]images.NewDraft, 12)
	all[3].Creator = ptr("lost")
	release := held(t, core)
	mints := queue(t.Context(), t, core, all...)
	release()
	wantMade(t, core, mints, 1) // the first, which was alone
	for _, m := range mints[1:] {
		if !errors.Is(m.err, sqldb.ErrCommitUnknown) {
			t.Errorf("told %v", m.err)
		}
	}
	draft(t, core, images.NewDraft{})
}
