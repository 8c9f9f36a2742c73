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

// held locks the account for all writers, on either engine, until release is called.
func held(t *testing.T, core *imagestest.Core) (release func()) {
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

// A pendingCall is a running call of CreateDraft.
type pendingCall struct {
	img    images.Image
	ticket string
	err    error
	ended  chan struct{}
}

func startDraft(ctx context.Context, core *imagestest.Core, d images.NewDraft) *pendingCall {
	m := &pendingCall{ended: make(chan struct{})}
	go func() {
		m.img, m.ticket, m.err = core.CreateDraft(ctx, account, d)
		close(m.ended)
	}()
	return m
}

// queue starts calls that wait for the call that it returns first. The account must be locked.
func queue(
	ctx context.Context, t *testing.T, core *imagestest.Core, all ...images.NewDraft,
) []*pendingCall {
	t.Helper()
	_, _, groups := core.Drafts(account)
	drafts := []*pendingCall{startDraft(t.Context(), core, images.NewDraft{})}
	// SQLite lets it begin only when it can write; PostgreSQL lets it come as far as the account.
	if isPostgres(t, core) {
		groups++
	}
	until(t, func() bool { _, led, now := core.Drafts(account); return led && now == groups })
	for _, d := range all {
		drafts = append(drafts, startDraft(ctx, core, d))
	}
	until(t, func() bool { waiting, _, _ := core.Drafts(account); return waiting == len(all) })
	return drafts
}

func isPostgres(t *testing.T, core *imagestest.Core) bool {
	var version string
	return core.DB.QueryRow(t.Context(), `SELECT sqlite_version()`).Scan(&version) != nil
}

// wantMade checks that all ended as they say: with their rows, or without, and that the account was
// charged for just those that are there.
func wantMade(t *testing.T, core *imagestest.Core, drafts []*pendingCall, want int) {
	t.Helper()
	made, ids := 0, map[string]bool{}
	for _, m := range drafts {
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
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		core.SetNow(imagestest.NewClock().Now)
		release := held(t, core)
		drafts := queue(t.Context(), t, core, make([]images.NewDraft, 100)...)
		release()
		wantMade(t, core, drafts, 101)
		// With the one that leads at first, and perhaps alone.
		if _, _, groups := core.Drafts(account); groups > 3 {
			t.Errorf("101 drafts took %d transactions", groups)
		}
	})
}

// TestAGroupOverALimit: the sum is over the limit, so each of the group is settled by itself.
func TestAGroupOverALimit(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		core.SetNow(imagestest.NewClock().Now)
		limit(t, core, "drafts", 5)
		release := held(t, core)
		drafts := queue(t.Context(), t, core, make([]images.NewDraft, 40)...)
		release()
		wantMade(t, core, drafts, 5)
		for _, m := range drafts {
			if m.err != nil && !strings.Contains(m.err.Error(), "limit of 5 drafts that wait") {
				t.Errorf("the error is %v", m.err)
			}
		}
		if err := core.Accounts.Suspend(t.Context(), account, true); err != nil {
			t.Fatal(err)
		}
		for i := range drafts {
			drafts[i] = startDraft(t.Context(), core, images.NewDraft{})
		}
		for _, m := range drafts {
			<-m.ended
			imagestest.WantKind(t, m.err, errs.AccountSuspended)
		}
	})
}

// TestConflictsInAGroup: a caller with a used id gets the conflict, and no other caller does.
func TestConflictsInAGroup(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		dead, _ := imagestest.Draft(t, core, images.NewDraft{ID: imagestest.Ptr("dead")})
		clock.Forward(31 * time.Minute)
		imagestest.Draft(t, core, images.NewDraft{ID: imagestest.Ptr("alive")})
		var all []images.NewDraft
		for _, id := range []string{"twice", "alive", "", "dead", "", "twice", "fresh"} {
			d := images.NewDraft{}
			if id != "" {
				d.ID = &id
			}
			all = append(all, d)
		}
		release := held(t, core)
		drafts := queue(t.Context(), t, core, all...)
		release()
		for i, m := range drafts {
			if <-m.ended; m.err == nil {
				continue
			}
			if i != 1 && i != 2 && i != 6 {
				t.Errorf("%d: %v", i, m.err)
			} else if errs.AsError(m.err).Kind != errs.Exists {
				t.Errorf("%d: got %v, want that the id is taken", i, m.err)
			}
		}
		if (drafts[1].err == nil) == (drafts[6].err == nil) {
			t.Errorf("two of one id: %v and %v", drafts[1].err, drafts[6].err)
		}
		if drafts[2].err == nil {
			t.Error("a live draft was replaced")
		}
		now, err := core.Image(t.Context(), account, "dead")
		if err != nil || now.Key == dead.Key || now.Key != drafts[4].img.Key {
			t.Errorf("the dead draft was not replaced: %+v, %v", now, err)
		}
		imagestest.CheckUsage(t, core)
	})
}

// TestWhoLeavesAGroup: the draft of a caller that leaves while it waits is not made, and no other is affected.
func TestWhoLeavesAGroup(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		core.SetNow(imagestest.NewClock().Now)
		release := held(t, core)
		ctx, cancel := context.WithCancel(t.Context())
		leaving := queue(ctx, t, core, make([]images.NewDraft, 10)...)
		var staying []*pendingCall
		for range 10 {
			staying = append(staying, startDraft(t.Context(), core, images.NewDraft{}))
		}
		until(t, func() bool { waiting, _, _ := core.Drafts(account); return waiting == 20 })
		cancel()
		for _, m := range leaving[1:] {
			if <-m.ended; !errors.Is(m.err, context.Canceled) {
				t.Errorf("the caller that left gets %v", m.err)
			}
		}
		release()
		wantMade(t, core, append(staying, leaving...), 11)
	})
}

// TestLeavingAtAnyMoment: a caller that gets its cancellation has no row, a caller that gets a draft
// has one, and each is counted once, at any time of the cancellation.
func TestLeavingAtAnyMoment(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		core.SetNow(imagestest.NewClock().Now)
		const askers, rounds = 24, 20
		drafts := make([]*pendingCall, askers*rounds)
		var made atomic.Int64
		var wait sync.WaitGroup
		for i := range askers {
			rnd := rand.New(rand.NewPCG(uint64(i), 5))
			wait.Go(func() {
				for round := range rounds {
					ctx, cancel := context.WithCancel(t.Context())
					m := startDraft(ctx, core, images.NewDraft{ID: imagestest.Ptr("i" + strconv.Itoa(i*rounds+round))})
					drafts[i*rounds+round] = m
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
		wantMade(t, core, drafts, int(made.Load()))
		for i, m := range drafts {
			_, err := core.Image(t.Context(), account, "i"+strconv.Itoa(i))
			if (err == nil) != (m.err == nil) {
				t.Errorf("%d: the error is %v, and reading it returns %v", i, m.err, err)
			}
		}
		t.Logf("%d of %d were made", made.Load(), len(drafts))
	})
}

// TestCloseWhileDraftsWait: those who wait have callers, who are answered all the same.
func TestCloseWhileDraftsWait(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		core.SetNow(imagestest.NewClock().Now)
		release := held(t, core)
		drafts := queue(t.Context(), t, core, make([]images.NewDraft, 80)...)
		core.Close()
		release()
		wantMade(t, core, drafts, 81)
	})
}

func TestWaitingDraftsAreBounded(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		core.SetNow(imagestest.NewClock().Now)
		release := held(t, core)
		drafts := queue(t.Context(), t, core, make([]images.NewDraft, images.DraftsWaitingOfOne)...)
		_, _, err := core.CreateDraft(t.Context(), account, images.NewDraft{})
		imagestest.WantKind(t, err, errs.Busy)
		release()
		wantMade(t, core, drafts, images.DraftsWaitingOfOne+1)
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
		core := imagestest.Open(t, images.Config{Now: imagestest.NewClock().Now}, dsn)
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
		all[7].Creator = imagestest.Ptr("poison")
		release := held(t, core)
		drafts := queue(t.Context(), t, core, all...)
		release()
		wantMade(t, core, drafts, 12)
		if err := drafts[8].err; err == nil || !strings.Contains(err.Error(), "poisoned") {
			t.Errorf("the poisoned one gets %v", err)
		}
	})
}

// TestAGroupWhoseCommitIsLost: all drafts of the batch get an unknown result, and none is retried,
// because it may have been committed.
func TestAGroupWhoseCommitIsLost(t *testing.T) {
	t.Parallel()
	core := imagestest.Open(t, images.Config{Now: imagestest.NewClock().Now}, sqldbtest.Postgres(t))
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
	all[3].Creator = imagestest.Ptr("lost")
	release := held(t, core)
	drafts := queue(t.Context(), t, core, all...)
	release()
	wantMade(t, core, drafts, 1) // the first, which was alone
	for _, m := range drafts[1:] {
		if !errors.Is(m.err, sqldb.ErrCommitUnknown) {
			t.Errorf("the error is %v", m.err)
		}
	}
	imagestest.Draft(t, core, images.NewDraft{})
}
