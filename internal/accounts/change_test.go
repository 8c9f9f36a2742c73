package accounts_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb/sqldbtest"
)

func used(t *testing.T, core *imagestest.Core) accounts.Usage {
	t.Helper()
	a, err := core.Accounts.ByID(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	return a.Used
}

// TestAChangePays: what a Change owes is paid once, in its transaction, and what follows the commit
// runs after it.
func TestAChangePays(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		if err := core.Accounts.SetLimit(t.Context(), account, "images", 10); err != nil {
			t.Fatal(err)
		}
		var after []string
		err := core.Accounts.Change(t.Context(), func(tx *accounts.Change) error {
			tx.AfterCommit(func(context.Context) {
				if n := used(t, core).Images; n != 7 {
					t.Errorf("after the commit the account uses %d images, want 7", n)
				}
				after = append(after, "first")
			})
			for range 3 {
				tx.OnceAfterCommit("second", func() { after = append(after, "second") })
			}
			// The sum stands at no moment above what it is in the end: 10 would be refused after 4.
			tx.Charge(account, accounts.Charge{Images: 4})
			tx.Charge(account, accounts.Charge{Images: 5})
			tx.Release(account, accounts.Charge{Images: 2})
			tx.CountKept(account, 100)
			tx.CountKept(account, -30)
			tx.Check(func() error {
				var images, kept int64
				err := tx.QueryRow(`SELECT used_images, kept_bytes FROM accounts WHERE id = ?1`,
					account).Scan(&images, &kept)
				if images != 7 || kept != 70 {
					t.Errorf("a check finds %d images and %d bytes, want 7 and 70", images, kept)
				}
				return err
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"second", "first"}; !slices.Equal(after, want) {
			t.Errorf("after the commit ran %q, want %q", after, want)
		}
		if u := used(t, core); u.Images != 7 || u.Kept != 70 {
			t.Errorf("the account uses %+v, want 7 images and 70 kept bytes", u)
		}
	})
}

// TestAChangeThatFails leaves nothing, however it fails, and nothing follows it.
func TestAChangeThatFails(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		if err := core.Accounts.SetLimit(t.Context(), account, "images", 3); err != nil {
			t.Fatal(err)
		}
		before, broken := used(t, core), errors.New("broken")
		for name, c := range map[string]struct {
			fn   func(*accounts.Change) error
			want func(error) bool
		}{
			"its function": {func(*accounts.Change) error { return broken },
				func(err error) bool { return errors.Is(err, broken) }},
			"a check": {func(tx *accounts.Change) error {
				tx.Check(func() error { return broken })
				return nil
			}, func(err error) bool { return errors.Is(err, broken) }},
			"a limit": {func(tx *accounts.Change) error {
				tx.Charge(account, accounts.Charge{Images: 3})
				return nil
			}, func(err error) bool { return errs.AsError(err).Kind == errs.LimitReached }},
			"an unknown account": {func(tx *accounts.Change) error {
				tx.Charge(strings.Repeat("e", 32), accounts.Charge{Images: 1})
				return nil
			}, func(err error) bool { return errs.AsError(err).Kind == errs.AccountUnknown }},
		} {
			err := core.Accounts.Change(t.Context(), func(tx *accounts.Change) error {
				tx.AfterCommit(func(context.Context) { t.Errorf("%s: the change was committed", name) })
				tx.OnceAfterCommit("x", func() { t.Errorf("%s: the change was committed", name) })
				tx.CountKept(account, 1000)
				tx.Charge(account, accounts.Charge{Images: 1, Bytes: 10})
				if _, err := tx.Exec(`DELETE FROM variants WHERE account = ?1`, account); err != nil {
					return err
				}
				return c.fn(tx)
			})
			if !c.want(err) {
				t.Errorf("%s: got %v", name, err)
			}
			if now := used(t, core); now != before {
				t.Errorf("%s: the account uses %+v, before it was %+v", name, now, before)
			}
			if urls, err := core.URLParts(t.Context(), account); err != nil || len(urls.Variants) != 1 {
				t.Errorf("%s: the account has the variants %q (%v), want one", name, urls.Variants, err)
			}
		}
	})
}

// TestChangesOfManyAccounts: Changes that name the same accounts in different orders do not deadlock,
// and lose nothing.
func TestChangesOfManyAccounts(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		other := strings.Repeat("a", 32)
		if _, err := core.Accounts.Create(t.Context(), other, ""); err != nil {
			t.Fatal(err)
		}
		const each = 40
		var wait sync.WaitGroup
		for _, order := range [][]string{{account, other}, {other, account}} {
			for range 2 {
				wait.Go(func() {
					for range each {
						err := core.Accounts.Change(t.Context(), func(tx *accounts.Change) error {
							for _, id := range order {
								tx.CountKept(id, 1)
								tx.Charge(id, accounts.Charge{Bytes: 1})
							}
							return nil
						})
						if err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		wait.Wait()
		for _, id := range []string{account, other} {
			a, err := core.Accounts.ByID(t.Context(), id)
			if err != nil || a.Used.Bytes != 4*each || a.Used.Kept != 4*each {
				t.Errorf("account %s uses %+v (%v), want %d bytes and kept bytes", id, a.Used, err, 4*each)
			}
		}
	})
}

// TestAChangeIsRetried: two Changes that lock two accounts in opposite orders deadlock on PostgreSQL, where each
// waits for the first lock of the other one. PostgreSQL ends one of them, which is retried, and what follows a
// commit runs once for each. SQLite has one writer at a time.
func TestAChangeIsRetried(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		core := imagestest.Open(t, images.Config{}, dsn)
		other := strings.Repeat("b", 32)
		if _, err := core.Accounts.Create(t.Context(), other, ""); err != nil {
			t.Fatal(err)
		}
		const rounds = 5
		var after atomic.Int32
		for range rounds {
			var wait, locked sync.WaitGroup
			if strings.HasPrefix(dsn, "postgres") {
				locked.Add(2)
			}
			for _, order := range [][]string{{account, other}, {other, account}} {
				wait.Go(func() {
					attempts := 0
					err := core.Accounts.Change(t.Context(), func(tx *accounts.Change) error {
						attempts++
						for i, id := range order {
							if err := tx.Lock(id); err != nil {
								return err
							}
							tx.Charge(id, accounts.Charge{Images: 1})
							if i == 0 && attempts == 1 && strings.HasPrefix(dsn, "postgres") {
								locked.Done()
								locked.Wait()
							}
						}
						tx.AfterCommit(func(context.Context) { after.Add(1) })
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			wait.Wait()
		}
		if n := after.Load(); n != 2*rounds {
			t.Errorf("%d functions ran after %d commits", n, 2*rounds)
		}
		if u := used(t, core); u.Images != 2*rounds {
			t.Errorf("the account uses %d images, want %d", u.Images, 2*rounds)
		}
	})
}
