package images_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

// addVariants makes variants up to n of an account, with names of 99 characters.
func addVariants(t *testing.T, core *imagestest.Core, n int) {
	t.Helper()
	urls, err := core.URLParts(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(urls.Variants); i < n; i++ {
		v := images.Variant{ID: fmt.Sprintf("v%098d", i), Options: recipe(1, 1)}
		if err := core.CreateVariant(t.Context(), account, v); err != nil {
			t.Fatalf("variant %d: %v", i, err)
		}
	}
}

const emoji = "😀" // 12 bytes in a URL

// TestNormalIDsHaveAllVariants sees that no bound on URLs is met by ids of 200 characters of any kind, nor
// by any of ASCII letters.
func TestNormalIDsHaveAllVariants(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	for _, id := range []string{strings.Repeat(emoji, 200), strings.Repeat("x", 1024),
		strings.Repeat("漢", 200)} {
		if _, _, err := core.CreateDraft(t.Context(), account, images.NewDraft{ID: &id}); err != nil {
			t.Errorf("%.20s: %v", id, err)
		}
	}
	addVariants(t, core, images.MaxVariants)
	for _, id := range []string{strings.Repeat(emoji, 199) + "x", strings.Repeat("y", 1024)} {
		if _, _, err := core.CreateDraft(t.Context(), account, images.NewDraft{ID: &id}); err != nil {
			t.Errorf("%.20s: %v", id, err)
		}
	}
}

// TestURLsAreBounded meets the bound from both sides: by an id, and by a variant.
func TestURLsAreBounded(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		ctx := t.Context()
		long := strings.Repeat(emoji, 1024) // 12,288 bytes: 21 variants are too many
		if _, _, err := core.CreateDraft(ctx, account, images.NewDraft{ID: &long}); err != nil {
			t.Fatal(err)
		}
		addVariants(t, core, 21)
		v := images.Variant{ID: "more", Options: recipe(1, 1)}
		err := core.CreateVariant(ctx, account, v)
		imagestest.WantKind(t, err, errs.LimitReached)
		for _, part := range []string{"262144", "12288", emoji} {
			if err != nil && !strings.Contains(err.Error(), part) {
				t.Errorf("the refusal does not name %s: %v", part, err)
			}
		}
		imagestest.WantKind(t, core.CreateVariant(ctx, account, images.Variant{ID: "public", Options: recipe(1, 1)}),
			errs.Exists)
		if err := core.DeleteImage(ctx, account, long); err != nil {
			t.Fatal(err)
		}
		if err := core.CreateVariant(ctx, account, v); err != nil {
			t.Errorf("without the image: %v", err)
		}
		refused := func(err error) {
			t.Helper()
			imagestest.WantKind(t, err, errs.InvalidID)
			if err != nil && !strings.Contains(err.Error(), "22 variants") {
				t.Errorf("the refusal does not name the variants: %v", err)
			}
		}
		before, err := core.Accounts.ByID(ctx, account)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = core.CreateDraft(ctx, account, images.NewDraft{ID: &long})
		refused(err)
		body := imagestest.JPEG(t, 1)
		u, err := core.BeginImage(account, int64(len(body)))
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		if _, err = u.Write(body); err == nil {
			_, err = u.Create(ctx, "a.jpg", images.NewDraft{ID: &long})
		}
		refused(err)
		if usage, err := core.Accounts.ByID(ctx, account); err != nil || usage.Used != before.Used {
			t.Errorf("after refusals the usage is %+v, %v", usage.Used, err)
		}
		// In a group with others it alone is refused.
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				id := fmt.Sprintf("short-%d", i)
				if i == 20 {
					id = long
				}
				_, _, err := core.CreateDraft(ctx, account, images.NewDraft{ID: &id})
				if i == 20 {
					refused(err)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	})
}

// TestURLsAreBoundedInARace makes variants and drafts with long ids at once.
func TestURLsAreBoundedInARace(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		ctx := context.Background()
		const bound = 256 << 10
		for round := range 6 {
			var all sync.WaitGroup
			for i := range 6 {
				all.Go(func() {
					for j := range 5 {
						v := images.Variant{ID: fmt.Sprintf("r%dv%dx%d", round, i, j), Options: recipe(1, 1)}
						err := core.CreateVariant(ctx, account, v)
						if err != nil && errs.AsError(err).Kind != errs.LimitReached {
							t.Error(err)
						}
					}
				})
				all.Go(func() {
					id := fmt.Sprintf("%d.%d", round, i) + strings.Repeat(emoji, 300+rand.IntN(700))
					_, _, err := core.CreateDraft(ctx, account, images.NewDraft{ID: &id})
					if err != nil && errs.AsError(err).Kind != errs.InvalidID {
						t.Error(err)
					}
				})
			}
			all.Wait()
			var variants, names, longest int64
			err := core.DB.QueryRow(ctx, `SELECT (SELECT count(*) FROM variants WHERE account = ?1),
				(SELECT SUM(LENGTH(id)) FROM variants WHERE account = ?1),
				(SELECT COALESCE(MAX(long_id), 0) FROM images WHERE account = ?1)`, account).
				Scan(&variants, &names, &longest)
			if err != nil {
				t.Fatal(err)
			}
			if bytes := variants*longest + names; bytes > bound {
				t.Fatalf("round %d: %d variants, an id of %d bytes: %d in all", round, variants, longest, bytes)
			}
			all = sync.WaitGroup{}
			fresh, err := core.URLParts(ctx, account)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range fresh.Variants {
				if err := core.DeleteVariant(ctx, account, name); err != nil {
					t.Fatal(err)
				}
			}
			_, err = core.DB.Exec(ctx, `DELETE FROM images WHERE account = ?1`, account)
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}
