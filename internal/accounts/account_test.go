package accounts_test

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb/sqldbtest"
)

func TestNodesThatStartAtOnceMakeOneAccount(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		if err := images.Migrate(t.Context(), sqldbtest.Open(t, dsn)); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		ids, tokens := map[string]bool{}, []string{}
		var wait sync.WaitGroup
		for range 6 {
			db := sqldbtest.Open(t, dsn)
			wait.Go(func() {
				core := imagestest.NewCore(images.Config{DB: db})
				defer core.Close()
				a, token, err := core.Accounts.SetUp(t.Context(), accounts.Setup{})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				ids[a.ID+" "+a.Hash] = true
				if token != "" {
					tokens = append(tokens, token)
				}
			})
		}
		wait.Wait()
		if len(ids) != 1 || len(tokens) != 1 {
			t.Errorf("%d accounts and %d tokens were made, want one of each", len(ids), len(tokens))
		}
	})
}

func TestTokens(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		secret, err := core.Accounts.CreateToken(t.Context(), account, accounts.NewToken{Name: "ci", Scope: accounts.Read})
		if err != nil {
			t.Fatal(err)
		}
		token, err := core.Accounts.Authenticate(t.Context(), secret)
		if err != nil || token.Account != account || token.Scope != accounts.Read {
			t.Fatalf("got %+v, %v", token, err)
		}
		_, err = core.Accounts.CreateToken(t.Context(), account, accounts.NewToken{Name: "ci", Scope: accounts.Read})
		imagestest.WantKind(t, err, errs.Exists)
		_, err = core.Accounts.CreateToken(t.Context(), account, accounts.NewToken{Name: "a b", Scope: accounts.Read})
		imagestest.WantKind(t, err, errs.Invalid)
		_, err = core.Accounts.CreateToken(t.Context(), account, accounts.NewToken{Name: "x", Scope: "root"})
		imagestest.WantKind(t, err, errs.Invalid)
		if all, err := core.Accounts.Tokens(t.Context(), account); err != nil || len(all) != 2 {
			t.Errorf("got %d tokens, %v; want ci and env", len(all), err)
		}
		if err := core.Accounts.RevokeToken(t.Context(), account, "ci"); err != nil {
			t.Fatal(err)
		}
		_, err = core.Accounts.Authenticate(t.Context(), secret)
		imagestest.WantKind(t, err, errs.Unauthenticated)

		// A changed -api-token replaces the one before.
		setup := accounts.Setup{ID: account, Token: "another"}
		if _, _, err := core.Accounts.SetUp(t.Context(), setup); err != nil {
			t.Fatal(err)
		}
		_, err = core.Accounts.Authenticate(t.Context(), imagestest.Token)
		imagestest.WantKind(t, err, errs.Unauthenticated)
		if token, err := core.Accounts.Authenticate(t.Context(), "another"); err != nil || token.Scope != accounts.Admin {
			t.Errorf("got %+v, %v", token, err)
		}
	})
}

func TestScopes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		has, need accounts.Scope
		want      bool
	}{
		{accounts.Read, accounts.Read, true}, {accounts.Read, accounts.Write, false},
		{accounts.Write, accounts.Read, true}, {accounts.Write, accounts.Admin, false},
		{accounts.Admin, accounts.Write, true}, {"", accounts.Read, false}, {"x", "y", false},
	} {
		if got := c.has.Allows(c.need); got != c.want {
			t.Errorf("%q for %q: %v", c.has, c.need, got)
		}
	}
}

func TestBadAccountsAreRefused(t *testing.T) {
	t.Parallel()
	core := imagestest.NewCore(images.Config{DB: sqldbtest.Open(t, filepath.Join(t.TempDir(), "calotype.db"))})
	defer core.Close()
	if err := images.Migrate(t.Context(), core.DB); err != nil {
		t.Fatal(err)
	}
	hash := strings.Repeat("h", 22)
	if _, _, err := core.Accounts.SetUp(t.Context(), accounts.Setup{ID: account, Hash: hash}); err != nil {
		t.Fatal(err)
	}
	reader, err := core.Accounts.CreateToken(t.Context(), account, accounts.NewToken{Name: "ci", Scope: accounts.Read})
	if err != nil {
		t.Fatal(err)
	}
	for _, setup := range []accounts.Setup{
		{ID: "short"}, {Hash: "short"}, {ID: account, Hash: strings.Repeat("x", 22)}, {Hash: strings.Repeat("x", 22)},
		{ID: strings.Repeat("0", 32), Hash: hash}, {ID: account, Token: reader},
	} {
		_, check := core.Accounts.CheckSetUp(t.Context(), setup)
		_, _, err := core.Accounts.SetUp(t.Context(), setup)
		if err == nil || check == nil || !strings.Contains(err.Error(), check.Error()) {
			t.Errorf("%+v: %v; the check without a write: %v", setup, err, check)
		}
	}
	for _, setup := range []accounts.Setup{{}, {ID: account, Hash: hash, Token: "new"}, {ID: strings.Repeat("0", 32)}} {
		if a, err := core.Accounts.CheckSetUp(t.Context(), setup); err != nil || a.ID != account && a.ID != "" {
			t.Errorf("%+v: %+v, %v", setup, a, err)
		}
	}
	if all, err := core.Accounts.All(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("a check has made an account: %+v, %v", all, err)
	}
}
