package accounts_test

import (
	"fmt"
	"sync"
	"testing"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/images/imagestest"
)

func TestImportSigningKey(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		before, err := core.Accounts.SigningKeys(t.Context(), account)
		if err != nil || len(before) != 1 {
			t.Fatalf("keys: %v, %v", before, err)
		}
		// Several imports at once: of each value there is one key.
		var importers sync.WaitGroup
		for range 4 {
			for i := range 3 {
				importers.Go(func() {
					_, _, err := core.Accounts.ImportSigningKey(t.Context(), account,
						accounts.SigningKey{Name: "default", Value: fmt.Sprintf("value %d", i)})
					if err != nil {
						t.Error(err)
					}
				})
			}
		}
		importers.Wait()
		after, err := core.Accounts.SigningKeys(t.Context(), account)
		if err != nil || len(after) != 4 {
			t.Fatalf("keys: %v, %v", after, err)
		}
		values, names := map[string]bool{}, map[string]bool{}
		for _, k := range after {
			values[k.Value], names[k.Name] = true, true
		}
		if len(values) != 4 || !values[before[0].Value] || !names["default"] ||
			!names["default-was"] || !names["default-was2"] || !names["default-was3"] {
			t.Errorf("keys: %v", after)
		}
		long := accounts.SigningKey{Name: "abcdefghijklmnopqrst", Value: "long"}
		for _, want := range []string{"", "abcdefghijklmnop-was"} {
			made, renamed, err := core.Accounts.ImportSigningKey(t.Context(), account, long)
			if err != nil || !made || renamed != want {
				t.Errorf("made %v, renamed to %q, %v", made, renamed, err)
			}
			long.Value += "er"
		}
		for _, k := range []accounts.SigningKey{
			{Name: "", Value: "x"}, {Name: "a b", Value: "x"}, {Name: "a", Value: ""},
			{Name: "a", Value: "\x00"},
		} {
			_, _, err := core.Accounts.ImportSigningKey(t.Context(), account, k)
			imagestest.WantKind(t, err, errs.Invalid)
		}
		for i := len(after) + 2; i < accounts.MaxSigningKeys; i++ {
			k := accounts.SigningKey{Name: fmt.Sprint(i), Value: fmt.Sprint("v", i)}
			if _, _, err := core.Accounts.ImportSigningKey(t.Context(), account, k); err != nil {
				t.Fatal(err)
			}
		}
		_, _, err = core.Accounts.ImportSigningKey(t.Context(), account, accounts.SigningKey{Name: "z", Value: "z"})
		imagestest.WantKind(t, err, errs.LimitReached)
		_, _, err = core.Accounts.ImportSigningKey(t.Context(), "no account", long)
		imagestest.WantKind(t, err, errs.AccountUnknown)
	})
}
