package images_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/render"
	"calotype/internal/sqldb/sqldbtest"
)

func recipe(width, height int) render.Options {
	return render.Options{
		Width: width, Height: height, Fit: render.Cover, Metadata: render.MetadataCopyright,
	}
}

func TestVariants(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		ctx := t.Context()
		hero := images.Variant{ID: "Hero9", Options: recipe(100, 0), BrowserTTL: time.Hour,
			NeverRequireSignedURLs: true}
		if err := core.CreateVariant(ctx, account, hero); err != nil {
			t.Fatal(err)
		}
		if got, err := core.Variant(ctx, account, "Hero9"); err != nil || got != hero {
			t.Fatalf("got %+v, %v, want %+v", got, err, hero)
		}
		imagestest.WantKind(t, core.CreateVariant(ctx, account, hero), errs.Exists)
		// Names differ by case, and stand in the order of their bytes.
		for _, id := range []string{"hero9", "9"} {
			v := images.Variant{ID: id, Options: recipe(0, 5)}
			if err := core.CreateVariant(ctx, account, v); err != nil {
				t.Fatal(err)
			}
		}
		urls, err := core.URLParts(ctx, account)
		if want := []string{"9", "Hero9", "hero9", "public"}; err != nil ||
			!slices.Equal(urls.Variants, want) {
			t.Errorf("the names are %v, %v", urls.Variants, err)
		}
		all, err := core.Variants(ctx, account)
		if err != nil || len(all) != 4 || all[1] != hero || all[3].ID != "public" {
			t.Errorf("the variants are %+v, %v", all, err)
		}
		// Fields that a change does not name are unchanged, except the options, which are replaced completely.
		got, err := core.ChangeVariant(ctx, account, "Hero9",
			images.VariantChange{Options: recipe(0, 7)})
		want := images.Variant{ID: "Hero9", Options: recipe(0, 7), NeverRequireSignedURLs: true}
		if err != nil || got != want {
			t.Errorf("changed to %+v, %v", got, err)
		}
		want.NeverRequireSignedURLs = false
		got, err = core.ChangeVariant(ctx, account, "Hero9", images.VariantChange{
			Options: recipe(0, 7), NeverRequireSignedURLs: imagestest.Ptr(false)})
		if read, _ := core.Variant(ctx, account, "Hero9"); err != nil || got != want || read != want {
			t.Errorf("changed to %+v, %v, read as %+v", got, err, read)
		}
		if err := core.DeleteVariant(ctx, account, "Hero9"); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"Hero9", "", "a\x00", "\xff", "a b", strings.Repeat("x", 100)} {
			_, err := core.Variant(ctx, account, id)
			imagestest.WantKind(t, err, errs.VariantNotFound)
			imagestest.WantKind(t, core.DeleteVariant(ctx, account, id), errs.VariantNotFound)
			_, err = core.ChangeVariant(ctx, account, id, images.VariantChange{Options: recipe(1, 1)})
			imagestest.WantKind(t, err, errs.VariantNotFound)
		}
	})
}

func TestVariantRules(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	ok := images.Variant{ID: strings.Repeat("x", 99), Options: recipe(1, 12_000),
		BrowserTTL: accounts.MaxBrowserTTL}
	if err := core.CreateVariant(t.Context(), account, ok); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*images.Variant){
		"no id":           func(v *images.Variant) { v.ID = "" },
		"a long id":       func(v *images.Variant) { v.ID = strings.Repeat("x", 100) },
		"a dash":          func(v *images.Variant) { v.ID = "a-b" },
		"a letter beyond": func(v *images.Variant) { v.ID = "ä" },
		"a line break":    func(v *images.Variant) { v.ID = "a\n" },
		"no side":         func(v *images.Variant) { v.Options.Width, v.Options.Height = 0, 0 },
		"a side too long": func(v *images.Variant) { v.Options.Width = 12_001 },
		"no fit":          func(v *images.Variant) { v.Options.Fit = "stretch" },
		"no metadata":     func(v *images.Variant) { v.Options.Metadata = "some" },
		"a short time":    func(v *images.Variant) { v.BrowserTTL = time.Hour - time.Second },
		"a long time":     func(v *images.Variant) { v.BrowserTTL = accounts.MaxBrowserTTL + time.Second },
		"half a second":   func(v *images.Variant) { v.BrowserTTL = time.Hour + time.Second/2 },
	} {
		v := ok
		v.ID = "fresh"
		spoil(&v)
		if err := core.CreateVariant(t.Context(), account, v); err == nil ||
			errs.AsError(err).Kind != errs.Invalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
	v := images.Variant{ID: "x", Options: recipe(1, 1)}
	imagestest.WantKind(t, core.CreateVariant(t.Context(), "unknown", v), errs.AccountUnknown)
}

// Eight nodes make variants at once: not one too many, and none twice.
func TestNoMoreVariantsThanAllowed(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		first := imagestest.Open(t, images.Config{}, dsn)
		made := imagestest.OnNodes(t, dsn, func(core *imagestest.Core, node, i int) error {
			return core.CreateVariant(t.Context(), account,
				images.Variant{ID: fmt.Sprintf("v%dx%d", i, node/2), Options: recipe(1, 1)})
		})
		all, err := first.Variants(t.Context(), account)
		if err != nil || len(all) != images.MaxVariants || made != images.MaxVariants-1 {
			t.Errorf("%d variants, %d made, %v", len(all), made, err)
		}
		full := images.Variant{ID: "more", Options: recipe(1, 1)}
		imagestest.WantKind(t, first.CreateVariant(t.Context(), account, full), errs.LimitReached)
		full.ID = "public"
		imagestest.WantKind(t, first.CreateVariant(t.Context(), account, full), errs.Exists)
	})
}

func TestAccountConfig(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		ctx := t.Context()
		img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		want := accounts.Settings{StripOriginals: imagefile.PrivacyNone, BrowserTTL: 48 * time.Hour}
		check := func(what string, got accounts.Settings, err error) {
			t.Helper()
			owner, readErr := core.Accounts.ByID(ctx, account)
			r, resolveErr := core.Renditions.ResolveImage(ctx, owner.Hash, img.ID)
			if err != nil || readErr != nil || resolveErr != nil || got != want ||
				owner.Settings != want || r.Account.Settings != want || r.BrowserTTL() != want.BrowserTTL {
				t.Errorf("%s: got %+v, read %+v, resolved %+v: %v, %v, %v", what, got, owner.Settings,
					r.Account.Settings, err, readErr, resolveErr)
			}
		}
		got, err := core.Accounts.Configure(ctx, account, accounts.SettingsChange{})
		check("nothing", got, err)
		want.FlexibleVariants = true
		got, err = core.Accounts.Configure(ctx, account,
			accounts.SettingsChange{FlexibleVariants: imagestest.Ptr(true)})
		check("flexible", got, err)
		want.PrivateOptions = true
		got, err = core.Accounts.Configure(ctx, account,
			accounts.SettingsChange{PrivateOptions: imagestest.Ptr(true)})
		check("private options", got, err)
		want.PrivateOptions, want.PrivateCustomIDs = false, true
		got, err = core.Accounts.Configure(ctx, account, accounts.SettingsChange{
			PrivateOptions: imagestest.Ptr(false), PrivateCustomIDs: imagestest.Ptr(true)})
		check("private custom ids", got, err)
		want.PrivateCustomIDs, want.LenientOptions = false, true
		got, err = core.Accounts.Configure(ctx, account, accounts.SettingsChange{
			LenientOptions: imagestest.Ptr(true), PrivateCustomIDs: imagestest.Ptr(false)})
		check("lenient options", got, err)
		want.StripOriginals = imagefile.PrivacyGPS
		got, err = core.Accounts.Configure(ctx, account,
			accounts.SettingsChange{StripOriginals: imagestest.Ptr(imagefile.PrivacyGPS)})
		check("strip originals", got, err)
		_, err = core.Accounts.Configure(ctx, account,
			accounts.SettingsChange{StripOriginals: imagestest.Ptr(imagefile.Privacy("exif"))})
		imagestest.WantKind(t, err, errs.Invalid)
		want.BrowserTTL = time.Hour
		got, err = core.Accounts.Configure(ctx, account,
			accounts.SettingsChange{BrowserTTL: imagestest.Ptr(time.Hour)})
		check("time", got, err)
		_, err = core.Accounts.Configure(ctx, account, accounts.SettingsChange{
			FlexibleVariants: imagestest.Ptr(false), BrowserTTL: imagestest.Ptr(time.Minute)})
		imagestest.WantKind(t, err, errs.Invalid)
		check("refused", want, nil)
		want.FlexibleVariants = false
		got, err = core.Accounts.Configure(ctx, account,
			accounts.SettingsChange{FlexibleVariants: imagestest.Ptr(false)})
		check("off", got, err)
		_, err = core.Accounts.Configure(ctx, "unknown", accounts.SettingsChange{})
		imagestest.WantKind(t, err, errs.AccountUnknown)
	})
}
