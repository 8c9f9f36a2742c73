package accounts_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb/sqldbtest"
)

// The vector was computed by other means from the documented rule.
func TestSignIsTheDocumentedRule(t *testing.T) {
	t.Parallel()
	key := accounts.SigningKey{Value: "Oix0bbNaT8Rge9PuyxUBrjI6zrgnsyJ5="}
	const path = "/cheeW4oKsx5ljh8e8BoL2A/bc27a117-9509-446b-8c69-c81bfeac0a01/mobile"
	for target, want := range map[string]string{
		path + "?exp=1631289275": "72411885ee02134d38662f3e70ac8ff694f408e9d14b05125f6b022c3f403efa",
		path:                     "f650d16a54309cc5560ccf74ba805cd33c92ba5edaa7f09abeebfaf7e3f5895e",
	} {
		if got := key.Sign(target); got != want {
			t.Errorf("%s: got %s", target, got)
		}
	}
}

// keysOf returns the keys of the account, values by name.
func keysOf(t *testing.T, core *imagestest.Core) map[string]string {
	t.Helper()
	all, err := core.Accounts.SigningKeys(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, k := range all {
		if raw, err := base64.StdEncoding.DecodeString(k.Value); err != nil || len(raw) != 24 {
			t.Errorf("the key %s is %q", k.Name, k.Value)
		}
		values[k.Name] = k.Value
	}
	return values
}

func TestSigningKeys(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		ctx := t.Context()
		first := keysOf(t, core)
		if len(first) != 1 || first["default"] == "" {
			t.Fatalf("a new account has %d keys", len(first))
		}
		if err := core.Accounts.CreateSigningKey(ctx, account, "a-b_C9"); err != nil {
			t.Fatal(err)
		}
		imagestest.WantKind(t, core.Accounts.CreateSigningKey(ctx, account, "a-b_C9"), errs.Exists)
		for _, name := range []string{"", strings.Repeat("x", 21), "a b", "ä", "a/b", "a\x00", "\xff"} {
			imagestest.WantKind(t, core.Accounts.CreateSigningKey(ctx, account, name), errs.Invalid)
			imagestest.WantKind(t, core.Accounts.DeleteSigningKey(ctx, account, name), errs.KeyNotFound)
		}
		imagestest.WantKind(t, core.Accounts.CreateSigningKey(ctx, "unknown", "x"), errs.AccountUnknown)
		imagestest.WantKind(t, core.Accounts.DeleteSigningKey(ctx, account, "unknown"), errs.KeyNotFound)
		both := keysOf(t, core)
		if len(both) != 2 || both["default"] != first["default"] || both["a-b_C9"] == first["default"] {
			t.Error("a second key does not stand beside the first")
		}
		// The last one that is deleted makes a new default, even where it was the default.
		for _, name := range []string{"default", "a-b_C9", "default"} {
			if err := core.Accounts.DeleteSigningKey(ctx, account, name); err != nil {
				t.Fatal(err)
			}
		}
		last := keysOf(t, core)
		if len(last) != 1 || last["default"] == "" || last["default"] == first["default"] {
			t.Errorf("%d keys are left, or an old value came back", len(last))
		}
	})
}

func TestNoMoreKeysThanAllowed(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		first := imagestest.Open(t, images.Config{}, dsn)
		made := imagestest.OnNodes(t, dsn, func(core *imagestest.Core, node, i int) error {
			return core.Accounts.CreateSigningKey(t.Context(), account, fmt.Sprintf("k%d-%d", i, node/4))
		})
		if n := len(keysOf(t, first)); n != accounts.MaxSigningKeys || made != n-1 {
			t.Errorf("%d keys, %d made", n, made)
		}
		imagestest.WantKind(t, first.Accounts.CreateSigningKey(t.Context(), account, "more"), errs.LimitReached)
	})
}

// Nodes delete all keys at once, again and again: there is one left each time.
func TestAnAccountIsNeverWithoutAKey(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		first := imagestest.Open(t, images.Config{}, dsn)
		for range 10 {
			names := []string{"default", "one", "two", "three"}
			for _, name := range names[1:] {
				if err := first.Accounts.CreateSigningKey(t.Context(), account, name); err != nil {
					t.Fatal(err)
				}
			}
			var wait sync.WaitGroup
			for _, name := range names {
				core := imagestest.NewCore(images.Config{DB: sqldbtest.Open(t, dsn)})
				wait.Go(func() {
					defer core.Close()
					if err := core.Accounts.DeleteSigningKey(t.Context(), account, name); err != nil {
						t.Error(err)
					}
				})
			}
			wait.Wait()
			if left := keysOf(t, first); len(left) != 1 || left["default"] == "" {
				t.Fatalf("the keys left are %d", len(left))
			}
		}
	})
}
