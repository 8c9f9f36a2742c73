package accounts_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb"
	"calotype/internal/sqldb/sqldbtest"
)

// newNode returns a core on a database, as a node has.
func newNode(t *testing.T, db *sqldb.DB, c *imagestest.Clock) *imagestest.Core {
	t.Helper()
	core := imagestest.NewCore(images.Config{DB: db, Now: c.Now})
	t.Cleanup(core.Close)
	return core
}

// lastUse returns the last use of a token.
func lastUse(t *testing.T, core *imagestest.Core, account, name string) time.Time {
	t.Helper()
	all, err := core.Accounts.Tokens(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range all {
		if token.Name == name {
			return token.Used
		}
	}
	t.Fatalf("there is no token %s", name)
	return time.Time{}
}

// newTokens returns the secrets of n tokens t0, t1, ... of a new account.
func newTokens(t *testing.T, core *imagestest.Core, n int) (account string, secrets []string) {
	t.Helper()
	a, err := core.Accounts.Create(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		secret, err := core.Accounts.CreateToken(t.Context(), a.ID,
			accounts.NewToken{Name: fmt.Sprintf("t%d", i), Scope: accounts.Write})
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, secret)
	}
	return a.ID, secrets
}

// TestTokenUse: a use is stored to the hour, later than the request, and never goes back, on two nodes.
func TestTokenUse(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		db := sqldbtest.Open(t, dsn)
		if err := images.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		hour := time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)
		here, there := imagestest.NewClock(), imagestest.NewClock()
		here.Set(hour.Add(59 * time.Minute))
		there.Set(here.Now())
		one, two := newNode(t, db, here), newNode(t, sqldbtest.Open(t, dsn), there)
		account, secrets := newTokens(t, one, 2)
		use := func(core *imagestest.Core) {
			t.Helper()
			if _, err := core.Accounts.Authenticate(t.Context(), secrets[0]); err != nil {
				t.Fatal(err)
			}
		}
		record := func(core *imagestest.Core, want time.Time) {
			t.Helper()
			if err := core.Accounts.RecordTokenUses(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := lastUse(t, one, account, "t0"); !got.Equal(want) {
				t.Errorf("used %v, want %v", got, want)
			}
		}
		use(one)
		if got := lastUse(t, one, account, "t0"); !got.IsZero() {
			t.Errorf("the request has stored the use %v", got)
		}
		record(one, hour)
		use(two) // in the hour that is stored already
		there.Set(hour.Add(61 * time.Minute))
		use(two)
		here.Set(hour.Add(62 * time.Minute))
		use(one)
		record(two, hour.Add(time.Hour))
		here.Set(hour.Add(3 * time.Hour))
		use(one)
		record(one, hour.Add(3*time.Hour))
		use(two) // its clock is behind
		record(two, hour.Add(3*time.Hour))
		if got := lastUse(t, one, account, "t1"); !got.IsZero() {
			t.Errorf("a token that was never used has the use %v", got)
		}
	})
}

// TestTokenUsesAtOnce uses tokens on two nodes while both record the uses.
func TestTokenUsesAtOnce(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		db := sqldbtest.Open(t, dsn)
		if err := images.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		hour := time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)
		c := imagestest.NewClock()
		c.Set(hour)
		nodes := []*imagestest.Core{newNode(t, db, c), newNode(t, sqldbtest.Open(t, dsn), c)}
		account, secrets := newTokens(t, nodes[0], 20)
		var clients sync.WaitGroup
		for i, node := range nodes {
			for client := range 3 {
				clients.Go(func() {
					for n := range 60 {
						secret := secrets[(n*7+client+i)%len(secrets)]
						if _, err := node.Accounts.Authenticate(t.Context(), secret); err != nil {
							t.Error(err)
							return
						}
						if n%20 == client {
							if err := node.Accounts.RecordTokenUses(t.Context()); err != nil {
								t.Error(err)
							}
						}
						if n == 30 {
							c.Set(hour.Add(time.Hour))
						}
					}
				})
			}
		}
		clients.Wait()
		for _, node := range nodes {
			if err := node.Accounts.RecordTokenUses(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for i := range secrets {
			if got := lastUse(t, nodes[0], account, fmt.Sprintf("t%d", i)); got.Before(hour) ||
				got.After(hour.Add(time.Hour)) {
				t.Errorf("token %d was used at %v", i, got)
			}
		}
	})
}

// TestExpiredTokensEnd: a token is deleted a week after its expiry, unless it is one of the last of its account.
func TestExpiredTokensEnd(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		db := sqldbtest.Open(t, dsn)
		if err := images.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		c := imagestest.NewClock()
		core := newNode(t, db, c)
		with, _ := newTokens(t, core, 1)
		without, _ := newTokens(t, core, 0)
		for _, account := range []string{with, without} {
			for i, life := range []time.Duration{time.Hour, 24 * time.Hour, 30 * 24 * time.Hour} {
				if account == without && i == 2 {
					continue
				}
				_, err := core.Accounts.CreateToken(t.Context(), account,
					accounts.NewToken{Name: fmt.Sprintf("env-%d", i), Scope: accounts.Write, Life: life})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, step := range []struct {
			after               time.Duration
			inFirst, inTheOther int
		}{
			{7*24*time.Hour + time.Hour - time.Second, 4, 2}, {2 * time.Second, 3, 2}, {24 * time.Hour, 2, 2},
			{60 * 24 * time.Hour, 1, 2},
		} {
			c.Forward(step.after)
			if err := core.Accounts.DeleteExpiredTokens(t.Context()); err != nil {
				t.Fatal(err)
			}
			for account, want := range map[string]int{with: step.inFirst, without: step.inTheOther} {
				all, err := core.Accounts.Tokens(t.Context(), account)
				if err != nil || len(all) != want {
					t.Errorf("%v later there are %d tokens, want %d: %+v, %v", step.after, len(all), want, all, err)
				}
			}
		}
	})
}
