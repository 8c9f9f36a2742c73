package purges_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/purges"
	"calotype/internal/render"
)

// TestChangesOwePurges makes each change that a cache must learn of, and one that it need not.
func TestChangesOwePurges(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		ctx, id := t.Context(), imagestest.AccountID
		account, err := core.Accounts.ByID(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		tags := purges.Tags(id, img.Key, "small", true)
		setReceiver(t, core, true, true)
		wantPurges(t, core, "no change")

		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 2))
		draft, _ := imagestest.Draft(t, core, images.NewDraft{})
		must(t, core.DeleteImage(ctx, id, draft.ID))
		options := render.Options{Width: 9, Fit: render.Cover, Metadata: render.DefaultMetadata}
		must(t, core.CreateVariant(ctx, id, images.Variant{ID: "small", Options: options}))
		meta := json.RawMessage(`{"a":1}`)
		_, err = core.EditImage(ctx, id, img.ID, images.Edit{Meta: &meta})
		must(t, err)
		must(t, core.Accounts.SetLimit(ctx, id, "images", 1000))
		must(t, core.Accounts.CreateSigningKey(ctx, id, "second"))
		wantPurges(t, core, "changes of no delivery")

		options.Width = 8
		_, err = core.ChangeVariant(ctx, id, "small", images.VariantChange{Options: options})
		must(t, err)
		wantPurges(t, core, "a changed variant", tags[1]+" "+account.Hash)
		must(t, core.DeleteVariant(ctx, id, "small"))
		wantPurges(t, core, "a deleted variant", tags[1]+" "+account.Hash)
		must(t, core.Accounts.DeleteSigningKey(ctx, id, "second"))
		wantPurges(t, core, "a deleted key", tags[3]+" "+account.Hash)
		for _, private := range []bool{true, false} {
			old := img.ID
			img, err = core.EditImage(ctx, id, old, images.Edit{RequireSignedURLs: &private})
			must(t, err)
			wantPurges(t, core, "an image that became private or public", tags[0]+" "+account.Hash+"/"+old)
		}
		must(t, core.DeleteImage(ctx, id, img.ID))
		wantPurges(t, core, "a deleted image", tags[0]+" "+account.Hash+"/"+img.ID)
		_, err = core.Accounts.Configure(ctx, id, accounts.SettingsChange{FlexibleVariants: imagestest.Ptr(true)})
		must(t, err)
		wantPurges(t, core, "flexible variants", tags[2]+" "+account.Hash)

		setReceiver(t, core, true, false)
		must(t, core.Accounts.Suspend(ctx, id, true))
		wantPurges(t, core, "a suspended account and a receiver without paths", tags[2]+" ")
	})
}

// TestDeletedAccountOwesPurges: the purge of a whole account outlives its row, and its images have none.
func TestDeletedAccountOwesPurges(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		setReceiver(t, core, true, true)
		doomed, err := core.Accounts.Create(t.Context(), "", "")
		must(t, err)
		for i := range 2 {
			_, err := imagestest.Create(t, core, doomed.ID, images.NewDraft{}, imagestest.JPEG(t, i))
			must(t, err)
		}
		_, err = core.DeleteAccount(t.Context(), doomed.ID)
		must(t, err)
		wantPurges(t, core, "a deleted account", purges.Tags(doomed.ID, "", "", false)[2]+" "+doomed.Hash)
	})
}

// TestPurgeOutbox: a claim has a lease, a change during it is not lost, and an accepted purge is repeated once.
func TestPurgeOutbox(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		change := func() {
			t.Helper()
			must(t, core.Accounts.Change(t.Context(), func(tx *accounts.Change) error {
				tx.Invalidate(accounts.VariantStale(imagestest.AccountID, "x"))
				return nil
			}))
		}
		change()
		if all := claim(t, core); len(all) != 0 {
			t.Fatalf("%v is recorded without a receiver", all)
		}
		setReceiver(t, core, true, false)
		change()
		select {
		case <-core.Purges.Wake():
		default:
			t.Error("the sender was not woken")
		}
		first := wantClaimed(t, core, 1)
		wantClaimed(t, core, 0) // leased
		clock.Forward(purges.Lease)
		second := wantClaimed(t, core, 1) // the first sender was killed
		must(t, core.Purges.Complete(t.Context(), first, true))
		must(t, core.Purges.Release(t.Context(), first, 0)) // too late: it has no lease any longer
		wantClaimed(t, core, 0)
		change()
		third := wantClaimed(t, core, 1)
		must(t, core.Purges.Complete(t.Context(), second, false)) // it may have been sent before the change
		must(t, core.Purges.Release(t.Context(), third, 0))
		fourth := wantClaimed(t, core, 1)
		must(t, core.Purges.Complete(t.Context(), fourth, true))
		clock.Forward(purges.RepeatAfter - 1000)
		wantClaimed(t, core, 0)
		clock.Forward(1000)
		must(t, core.Purges.Complete(t.Context(), wantClaimed(t, core, 1), true))
		clock.Forward(purges.Lease)
		wantClaimed(t, core, 0)
		change()
		setReceiver(t, core, false, false)
		setReceiver(t, core, true, false)
		wantClaimed(t, core, 0)
	})
}

// TestSteadyChanges: a sender that waits for purges to settle sends one while changes continue, at most once in that
// time, and once after the last change.
func TestSteadyChanges(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		setReceiver(t, core, true, true)
		sent, last, began := []time.Duration{}, time.Duration(0), clock.Now()
		for i := range 100 {
			if i < 60 {
				last = clock.Now().Sub(began)
				must(t, core.Accounts.Change(t.Context(), func(tx *accounts.Change) error {
					tx.Invalidate(accounts.VariantStale(imagestest.AccountID, "x"))
					return nil
				}))
			}
			batch, err := core.Purges.Claim(t.Context(), 10, purges.RepeatAfter)
			must(t, err)
			if len(batch) > 0 {
				sent = append(sent, clock.Now().Sub(began))
				must(t, core.Purges.Complete(t.Context(), batch, false))
			}
			clock.Forward(time.Second)
		}
		if len(sent) != 7 || sent[0] != purges.RepeatAfter || sent[6]-last < purges.RepeatAfter ||
			sent[6]-last > 2*purges.RepeatAfter {
			t.Errorf("sent after %v, the last change was after %v", sent, last)
		}
		if n, err := core.Purges.Pending(t.Context()); n != 0 || err != nil {
			t.Errorf("%d purges wait, %v", n, err)
		}
	})
}

// TestGather: too many purges of an account become one, and those of another account stay.
func TestGather(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		setReceiver(t, core, true, true)
		other, err := core.Accounts.Create(t.Context(), "", "")
		must(t, err)
		change := func(account string, n int) {
			must(t, core.Accounts.Change(t.Context(), func(tx *accounts.Change) error {
				for i := range n {
					name := strings.Repeat("k", i+1)
					tx.Invalidate([]accounts.Stale{{Account: account, Key: name, ID: name}})
				}
				return nil
			}))
		}
		change(other.ID, 3)
		change(imagestest.AccountID, 4)
		must(t, core.Purges.Gather(t.Context(), 4))
		if n, err := core.Purges.Pending(t.Context()); n != 7 || err != nil {
			t.Fatalf("%d purges, %v", n, err)
		}
		must(t, core.Purges.Gather(t.Context(), 3))
		all := wantClaimed(t, core, 4)
		account, err := core.Accounts.ByID(t.Context(), imagestest.AccountID)
		must(t, err)
		whole := purges.Tags(account.ID, "", "", false)[2]
		if !slices.ContainsFunc(all, func(p purges.Purge) bool { return p.Tag == whole && p.Path == account.Hash }) {
			t.Errorf("%v has no purge of the whole account", all)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func setReceiver(t *testing.T, core *imagestest.Core, on, paths bool) {
	t.Helper()
	must(t, core.Purges.SetReceiver(t.Context(), on, paths))
}

func claim(t *testing.T, core *imagestest.Core) []purges.Purge {
	t.Helper()
	all, err := core.Purges.Claim(t.Context(), 100, 0)
	must(t, err)
	return all
}

func wantClaimed(t *testing.T, core *imagestest.Core, n int) []purges.Purge {
	t.Helper()
	all := claim(t, core)
	if len(all) != n {
		t.Fatalf("claimed %v, want %d", all, n)
	}
	return all
}

// wantPurges fails the test unless these purges are due, each written as its tag, a space and its path. It ends them.
func wantPurges(t *testing.T, core *imagestest.Core, after string, want ...string) {
	t.Helper()
	all := claim(t, core)
	var got []string
	for _, p := range all {
		got = append(got, p.Tag+" "+p.Path)
	}
	if !slices.Equal(got, want) {
		t.Errorf("after %s: %q, want %q", after, got, want)
	}
	must(t, core.Purges.Complete(t.Context(), all, false))
}
