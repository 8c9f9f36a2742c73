package renditions_test

import (
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/render"
	"calotype/internal/renditions"
)

func TestMain(m *testing.M) { imagestest.Main(m) }

const account = imagestest.AccountID

func TestResolve(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		img := imagestest.Upload(t, core, images.NewDraft{RequireSignedURLs: true}, imagestest.JPEG(t, 1))
		r := imagestest.Resolve(t, core, img.ID)
		if !r.Private() || len(r.Keys) != 1 || r.Keys[0].Name != "default" ||
			r.Variant.Options.Width != 1366 || r.Variant.Options.Fit != render.ScaleDown {
			t.Errorf("got %+v", r)
		}
		if r.Variant.NeverRequireSignedURLs = true; r.Private() {
			t.Error("a variant that never requires signatures does")
		}
		waiting, _ := imagestest.Draft(t, core, images.NewDraft{})
		_, err := core.Renditions.Resolve(t.Context(), r.Account.Hash, waiting.ID, "public")
		imagestest.WantKind(t, err, errs.ImageNotFound)
		_, err = core.Renditions.Resolve(t.Context(), "unknown", img.ID, "public")
		imagestest.WantKind(t, err, errs.AccountUnknown)
		partly, err := core.Renditions.Resolve(t.Context(), r.Account.Hash, img.ID, "none")
		imagestest.WantKind(t, err, errs.VariantNotFound)
		if partly.Image.Key != img.Key || len(partly.Keys) != 1 {
			t.Errorf("without the variant, got %+v", partly)
		}
	})
}

// A change counts at this node from the very next request on.
func TestVariantsTakeEffectAtOnce(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		ctx := t.Context()
		img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		owner, err := core.Accounts.ByID(ctx, account)
		if err != nil {
			t.Fatal(err)
		}
		resolve := func() (renditions.Resolved, error) {
			return core.Renditions.Resolve(ctx, owner.Hash, img.ID, "hero")
		}
		_, err = resolve()
		imagestest.WantKind(t, err, errs.VariantNotFound)
		v := images.Variant{ID: "hero", Options: render.Options{Width: 10, Height: 10, Fit: render.Cover, Metadata: render.MetadataKeep}}
		if err := core.CreateVariant(ctx, account, v); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			if r, err := resolve(); err != nil || r.Variant != v {
				t.Fatalf("round %d: got %+v, %v", i, r.Variant, err)
			}
			v.Options.Width, v.BrowserTTL = 20+i, time.Duration(i+1)*time.Hour
			_, err := core.ChangeVariant(ctx, account, "hero",
				images.VariantChange{Options: v.Options, BrowserTTL: v.BrowserTTL})
			if err != nil {
				t.Fatal(err)
			}
			if r, err := resolve(); err != nil || r.BrowserTTL() != v.BrowserTTL {
				t.Fatalf("round %d: kept for %v, %v", i, r.BrowserTTL(), err)
			}
		}
		if err := core.DeleteVariant(ctx, account, "hero"); err != nil {
			t.Fatal(err)
		}
		r, err := resolve()
		imagestest.WantKind(t, err, errs.VariantNotFound)
		if r.Image.ID != img.ID || r.Account.ID != account {
			t.Errorf("without a variant: %+v", r)
		}
	})
}
