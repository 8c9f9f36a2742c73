package images_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/lookalikes"
	"calotype/internal/partials"
	"calotype/internal/render"
	"calotype/internal/webhooks"
)

func TestASuspendedAccountTakesAndGivesNothing(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		hash := imagestest.Resolve(t, core, img.ID).Account.Hash
		_, ticket := imagestest.Draft(t, core, images.NewDraft{})
		request := images.UploadRequest{Ticket: ticket, Size: -1}
		u, err := core.BeginUpload(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		if _, err := u.Write(imagestest.JPEG(t, 2)); err != nil {
			t.Fatal(err)
		}
		if err := core.Accounts.Suspend(t.Context(), account, true); err != nil {
			t.Fatal(err)
		}
		refusals := map[string]error{}
		_, refusals["an upload that was under way"] = u.Finish(t.Context(), "a.jpg")
		_, refusals["an upload"] = core.BeginUpload(t.Context(), request)
		_, _, refusals["a draft"] = core.CreateDraft(t.Context(), account, images.NewDraft{})
		_, refusals["an upload by the API"] = imagestest.Create(t, core, account, images.NewDraft{},
			imagestest.JPEG(t, 3))
		_, refusals["a delivery"] = core.Renditions.Resolve(t.Context(), hash, img.ID, "public")
		_, refusals["a request"] = core.Accounts.Authenticate(t.Context(), imagestest.Token)
		for what, err := range refusals {
			if errs.AsError(err).Kind != errs.AccountSuspended {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := core.Accounts.Suspend(t.Context(), account, false); err != nil {
			t.Fatal(err)
		}
		imagestest.Resolve(t, core, img.ID)
		if _, err := u.Finish(t.Context(), "a.jpg"); err != nil {
			t.Errorf("the ticket was used up by a refusal: %v", err)
		}
		if n := len(blobs(t, core)); n != 2 {
			t.Errorf("%d originals, want 2", n)
		}
		imagestest.CheckUsage(t, core)
	})
}

func TestDeleteAccount(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		kept := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		doomed, err := core.Accounts.Create(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		token, err := core.Accounts.CreateToken(t.Context(), doomed.ID,
			accounts.NewToken{Name: "ci", Scope: accounts.Write})
		if err != nil {
			t.Fatal(err)
		}
		parent, err := core.Accounts.Authenticate(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		batch, _, err := core.Accounts.CreateBatchToken(t.Context(), parent)
		if err != nil {
			t.Fatal(err)
		}
		img, err := imagestest.Create(t, core, doomed.ID, images.NewDraft{}, imagestest.JPEG(t, 2))
		if err != nil {
			t.Fatal(err)
		}
		_, ticket, err := core.CreateDraft(t.Context(), doomed.ID, images.NewDraft{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := core.Renditions.Resolve(t.Context(), doomed.Hash, img.ID, "public")
		if err != nil {
			t.Fatal(err)
		}
		rendition, err := core.Renditions.Rendition(t.Context(), r, "jpeg")
		if err != nil {
			t.Fatal(err)
		}
		rendition.Content.Close()
		// Another process, as the command is.
		command := imagestest.NewCore(images.Config{DB: core.DB, Blobs: core.Blobs, Dir: core.Dir})
		defer command.Close()
		if n, err := command.DeleteAccount(t.Context(), doomed.ID); err != nil || n != 2 {
			t.Fatalf("%d were deleted: %v", n, err)
		}
		_, err = core.Accounts.ByID(t.Context(), doomed.ID)
		imagestest.WantKind(t, err, errs.AccountUnknown)
		_, err = core.Accounts.Authenticate(t.Context(), token)
		imagestest.WantKind(t, err, errs.Unauthenticated)
		_, err = core.Accounts.AuthenticateBatch(t.Context(), batch)
		imagestest.WantKind(t, err, errs.Unauthenticated)
		// A request whose token was valid before the deletion.
		_, _, err = core.Service.CreateDraft(t.Context(), parent.Owner, images.NewDraft{})
		imagestest.WantKind(t, err, errs.AccountUnknown)
		_, err = core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket})
		imagestest.WantKind(t, err, errs.TicketUnknown)
		// What the server has at hand goes when it looks what others have deleted.
		if err := core.FollowDeletions(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = core.Renditions.Rendition(t.Context(), r, "jpeg")
		imagestest.WantKind(t, err, errs.ImageNotFound)
		if left := blobs(t, core); len(left) != 1 {
			t.Errorf("%d originals are left, want the other account's", len(left))
		}
		if left := imagestest.Files(t, core.Dir+"/renditions"); len(left) != 0 {
			t.Errorf("renditions are left: %v", left)
		}
		imagestest.Resolve(t, core, kept.ID)
		_, err = core.DeleteAccount(t.Context(), account)
		imagestest.WantKind(t, err, errs.Invalid)
		_, err = core.DeleteAccount(t.Context(), doomed.ID)
		imagestest.WantKind(t, err, errs.AccountUnknown)
		imagestest.Resolve(t, core, kept.ID)
		// Made again, it has nothing of the old one.
		again, err := core.Accounts.Create(t.Context(), doomed.ID, "")
		if err != nil || again.Hash != doomed.Hash || again.Used != (accounts.Usage{}) {
			t.Errorf("%+v, %v", again, err)
		}
		_, err = core.Accounts.Create(t.Context(), doomed.ID, strings.Repeat("h", 22))
		imagestest.WantKind(t, err, errs.Exists)
		_, err = core.Accounts.Create(t.Context(), "", doomed.Hash)
		imagestest.WantKind(t, err, errs.Exists)
		_, err = core.Accounts.Create(t.Context(), "short", "")
		imagestest.WantKind(t, err, errs.Invalid)
	})
}

// TestAccountTables: a new table of an account's things must be deleted with it.
func TestAccountTables(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("schema/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	var schema []byte
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		schema = append(schema, text...)
	}
	table := regexp.MustCompile(`(?s)CREATE TABLE (\w+) \((.*?)\n\);`)
	for _, found := range table.FindAllStringSubmatch(string(schema), -1) {
		owned := regexp.MustCompile(`(?m)^ +account +TEXT`).MatchString(found[2])
		listed := slices.Contains(slices.Concat(images.AccountTables, partials.AccountTables, webhooks.AccountTables,
			lookalikes.AccountTables,
			accounts.AccountTables), found[1])
		// The rows of image_meta die with their images'.
		byHand := slices.Contains([]string{"images", "image_meta", "installation"}, found[1])
		if owned != (listed || byHand) {
			t.Errorf("%s has an account: %v; a deletion goes through it: %v", found[1], owned, listed)
		}
	}
}

// TestDeletionAgainstAdditions: data that is added to an account during its deletion is deleted too, or
// refused, without a deadlock.
func TestDeletionAgainstAdditions(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		for round := range 8 {
			a, err := core.Accounts.Create(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			var group sync.WaitGroup
			for i := range 4 {
				group.Go(func() {
					for n := 0; ; n++ {
						var err error
						if i%2 == 0 {
							err = core.Accounts.CreateSigningKey(t.Context(), a.ID, fmt.Sprintf("k%d-%d", i, n))
						} else {
							err = core.CreateVariant(t.Context(), a.ID, images.Variant{
								ID: fmt.Sprintf("v%dx%d", i, n), Options: render.Options{
									Fit: render.DefaultFit, Width: 9, Metadata: render.DefaultMetadata}})
						}
						switch kind := errs.AsError(err).Kind; {
						case err == nil, kind == errs.LimitReached && n < 1000:
							continue
						case kind != errs.AccountUnknown:
							t.Errorf("round %d: %v", round, err)
						}
						return
					}
				})
			}
			if _, err := core.DeleteAccount(t.Context(), a.ID); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
			group.Wait()
		}
	})
}
