package images_test

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"

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
				a, token, err := core.SetUpAccount(t.Context(), images.AccountSetup{})
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
		secret, err := core.CreateToken(t.Context(), account, images.NewToken{Name: "ci", Scope: images.Read})
		if err != nil {
			t.Fatal(err)
		}
		token, err := core.Authenticate(t.Context(), secret)
		if err != nil || token.Account != account || token.Scope != images.Read {
			t.Fatalf("got %+v, %v", token, err)
		}
		_, err = core.CreateToken(t.Context(), account, images.NewToken{Name: "ci", Scope: images.Read})
		wantKind(t, err, errs.Exists)
		_, err = core.CreateToken(t.Context(), account, images.NewToken{Name: "a b", Scope: images.Read})
		wantKind(t, err, errs.Invalid)
		_, err = core.CreateToken(t.Context(), account, images.NewToken{Name: "x", Scope: "root"})
		wantKind(t, err, errs.Invalid)
		if all, err := core.Tokens(t.Context(), account); err != nil || len(all) != 2 {
			t.Errorf("got %d tokens, %v; want ci and env", len(all), err)
		}
		if err := core.RevokeToken(t.Context(), account, "ci"); err != nil {
			t.Fatal(err)
		}
		_, err = core.Authenticate(t.Context(), secret)
		wantKind(t, err, errs.Unauthenticated)

		// A changed -api-token replaces the one before.
		setup := images.AccountSetup{ID: account, Token: "another"}
		if _, _, err := core.SetUpAccount(t.Context(), setup); err != nil {
			t.Fatal(err)
		}
		_, err = core.Authenticate(t.Context(), imagestest.Token)
		wantKind(t, err, errs.Unauthenticated)
		if token, err := core.Authenticate(t.Context(), "another"); err != nil || token.Scope != images.Admin {
			t.Errorf("got %+v, %v", token, err)
		}
	})
}

func TestScopes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		has, need images.Scope
		want      bool
	}{
		{images.Read, images.Read, true}, {images.Read, images.Write, false},
		{images.Write, images.Read, true}, {images.Write, images.Admin, false},
		{images.Admin, images.Write, true}, {"", images.Read, false}, {"x", "y", false},
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
	if _, _, err := core.SetUpAccount(t.Context(), images.AccountSetup{ID: account, Hash: hash}); err != nil {
		t.Fatal(err)
	}
	for _, setup := range []images.AccountSetup{
		{ID: "short"}, {Hash: "short"}, {ID: account, Hash: strings.Repeat("x", 22)},
		{ID: strings.Repeat("0", 32), Hash: hash},
	} {
		if _, _, err := core.SetUpAccount(t.Context(), setup); err == nil {
			t.Errorf("%+v was taken", setup)
		}
	}
}
