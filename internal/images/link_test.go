package images_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/listing"
	"calotype/internal/sqldb/sqldbtest"
)

// link creates a draft whose ticket may be used several times.
func link(t *testing.T, core *imagestest.Core, uses int, d images.NewDraft) (images.Image, string) {
	t.Helper()
	return imagestest.Draft(t, core, withUses(d, uses))
}

// withUses returns a draft with a policy of this number of uses.
func withUses(d images.NewDraft, uses int) images.NewDraft {
	d.Policy = json.RawMessage(fmt.Sprintf(`{"uses":%d}`, uses))
	return d
}

// use posts a picture to a link, and returns its image.
func use(t *testing.T, core *imagestest.Core, ticket string, seed int) images.Image {
	t.Helper()
	img, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, seed))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// wantUseRefused posts a picture to a link that must refuse it.
func wantUseRefused(t *testing.T, core *imagestest.Core, ticket string, want errs.Kind) {
	t.Helper()
	_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 999))
	imagestest.WantKind(t, err, want)
}

// members returns the ids of the images whose id begins with a link's, in the order of the alphabet.
func members(t *testing.T, core *imagestest.Core, id string) (ids []string) {
	t.Helper()
	page, err := core.Lists.Images(t.Context(), account, listing.Query{Prefix: id + "/", Ascending: true, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, img := range page.Images {
		ids = append(ids, img.ID)
	}
	return ids
}

// numbered returns the ids of a link's images with these numbers, in the order of the alphabet.
func numbered(id string, numbers ...int) (ids []string) {
	for _, n := range numbers {
		ids = append(ids, fmt.Sprintf("%s/%d", id, n))
	}
	slices.Sort(ids)
	return ids
}

func TestTenOf64RacingUploads(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		cores := nodes(t, 3, dsn, images.Config{})
		core := cores[0]
		made, ticket := link(t, core, 10, images.NewDraft{})
		before := usage(t, core)
		var ids []string
		var mu sync.Mutex
		var used atomic.Int64
		var wait sync.WaitGroup
		start := make(chan struct{})
		for i := range 64 {
			body := imagestest.JPEG(t, i)
			wait.Go(func() {
				<-start
				img, err := imagestest.Post(t.Context(), cores[i%3], images.UploadRequest{Ticket: ticket}, body)
				if errs.AsError(err).Kind == errs.TicketUsed {
					used.Add(1)
					return
				}
				if err != nil {
					t.Errorf("upload %d: %v", i, err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				ids = append(ids, img.ID)
				if img.Link != made.Key || img.Draft || img.Ticket != nil {
					t.Errorf("the image is %+v", img)
				}
				if !slices.Equal(imagestest.Stored(t, core, img.ID), body) {
					t.Errorf("%s has the bytes of another upload", img.ID)
				}
			})
		}
		close(start)
		wait.Wait()
		slices.Sort(ids)
		want := numbered(made.ID, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
		if !slices.Equal(ids, want) || used.Load() != 54 {
			t.Errorf("%d were refused, and the images are %v", used.Load(), ids)
		}
		if listed := members(t, core, made.ID); !slices.Equal(listed, want) {
			t.Errorf("the list by prefix is %v", listed)
		}
		if n := imagestest.Count(t, core, `images WHERE family = '`+made.Key+`'`); n != 10 {
			t.Errorf("the link has %d images", n)
		}
		if left := blobs(t, core); len(left) != 10 {
			t.Errorf("%d originals are stored", len(left))
		}
		for _, core := range cores {
			if left := imagestest.Files(t, filepath.Join(core.Dir, "spool")); len(left) != 0 {
				t.Errorf("the spool holds %v", left)
			}
		}
		after, err := core.Image(t.Context(), account, made.ID)
		if err != nil || !after.Draft || after.Ticket.Uses != 10 || after.Ticket.Used != 10 {
			t.Errorf("the draft is %+v, %v", after, err)
		}
		if got := usage(t, core); before.Drafts != 1 || got.Drafts != 0 || got.Images != 10 || got.Bytes >= largest {
			t.Errorf("the usage was %+v and is %+v", before, got)
		}
		imagestest.CheckUsage(t, core)
	})
}

// TestAnImageOfALink has the fields of the link, and those of an image of its kind of id.
func TestAnImageOfALink(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		runningClock(core)
		d := images.NewDraft{Creator: imagestest.Ptr("someone"), Meta: json.RawMessage(`{"a":{"b":"first"}}`),
			RequireSignedURLs: true}
		made, ticket := link(t, core, 5, d)
		one := use(t, core, ticket, 1)
		if one.ID != made.ID+"/1" || one.Custom || !one.RequireSignedURLs || *one.Creator != "someone" ||
			string(one.Meta) != `{"a":{"b":"first"}}` || !one.Created.After(made.Created) ||
			!one.Uploaded.After(made.Uploaded) || *one.Filename != "picture.jpg" {
			t.Errorf("the first image is %+v", one)
		}
		// An edit of the link changes later images only.
		edit(t, core, made.ID, images.Edit{Meta: imagestest.Ptr(json.RawMessage(`{"a":{"b":"second"}}`)),
			Creator: imagestest.Ptr[*string](nil), RequireSignedURLs: imagestest.Ptr(false)})
		two := use(t, core, ticket, 2)
		if two.Creator != nil || string(two.Meta) != `{"a":{"b":"second"}}` || two.RequireSignedURLs {
			t.Errorf("the second image is %+v", two)
		}
		if n := imagestest.Count(t, core, `image_meta WHERE path = 'a.b' AND image = '`+two.Key+
			`' AND text = 'second'`); n != 1 {
			t.Error("filters do not find the metadata of the second image")
		}
		// The id is generated, so a change of requireSignedURLs gives another one, and its link remains.
		edited := edit(t, core, one.ID, images.Edit{RequireSignedURLs: imagestest.Ptr(false)})
		if strings.HasPrefix(edited.ID, made.ID) || edited.Link != made.Key {
			t.Errorf("the edited image is %+v", edited)
		}
		if three := use(t, core, ticket, 3); three.ID != made.ID+"/3" {
			t.Errorf("after the edit the next image is %s", three.ID)
		}
		// The ids of a link with a custom id are custom.
		custom, ticket := link(t, core, 2, images.NewDraft{ID: imagestest.Ptr("trip/day 1")})
		four := use(t, core, ticket, 4)
		if four.ID != custom.ID+"/1" || !four.Custom {
			t.Errorf("the image of a custom id is %+v", four)
		}
		_, err := core.EditImage(t.Context(), account, four.ID, images.Edit{RequireSignedURLs: imagestest.Ptr(true)})
		imagestest.WantKind(t, err, errs.Invalid)
		d = withUses(images.NewDraft{ID: imagestest.Ptr("private"), RequireSignedURLs: true}, 3)
		_, _, err = core.CreateDraft(t.Context(), account, d)
		imagestest.WantKind(t, err, errs.Invalid)
	})
}

// TestOneUseIsNoLink: a policy of one use is a draft that becomes an image.
func TestOneUseIsNoLink(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	made, ticket := link(t, core, 1, images.NewDraft{})
	if img := use(t, core, ticket, 1); img.ID != made.ID || img.Key != made.Key || img.Link != "" {
		t.Errorf("the image is %+v", img)
	}
	wantUseRefused(t, core, ticket, errs.TicketUsed)
}

// TestNumbersOfALink steps over taken ids, and reuses no number.
func TestNumbersOfALink(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := runningClock(core)
		for _, id := range []string{"album/4", "album/9"} {
			imagestest.Draft(t, core, images.NewDraft{ID: &id})
		}
		clock.Forward(time.Hour) // these drafts are expired now
		for _, id := range []string{"album/2", "album/3", "album/6", "album/x", "album/02"} {
			if _, err := imagestest.Create(t, core, account, images.NewDraft{ID: &id},
				imagestest.JPEG(t, 1)); err != nil {
				t.Fatal(err)
			}
		}
		made, ticket := link(t, core, 5, images.NewDraft{ID: imagestest.Ptr("album")})
		// An expired draft is replaced where the number comes to it, and otherwise stepped over like an image.
		for i, want := range []int{1, 5, 7, 8, 9} {
			img := use(t, core, ticket, 10+i)
			if img.ID != fmt.Sprint("album/", want) {
				t.Errorf("use %d made %s, want number %d", i+1, img.ID, want)
			}
			if want == 5 {
				if err := core.DeleteImage(t.Context(), account, img.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
		wantUseRefused(t, core, ticket, errs.TicketUsed)
		state, err := core.Image(t.Context(), account, made.ID)
		if err != nil || state.Ticket.Used != 5 {
			t.Errorf("the state is %+v, %v", state.Ticket, err)
		}
		// Another link replaces the used-up one, and continues after its images.
		_, next := link(t, core, 2, images.NewDraft{ID: imagestest.Ptr("album")})
		for i, want := range []string{"album/10", "album/11"} {
			if img := use(t, core, next, 20+i); img.ID != want {
				t.Errorf("the second link made %s, want %s", img.ID, want)
			}
		}
		wantUseRefused(t, core, next, errs.TicketUsed)
		wantUseRefused(t, core, ticket, errs.TicketUnknown)
		imagestest.CheckUsage(t, core)
	})
}

// TestLongIDsOfLinks: the id of the last image must be valid too.
func TestLongIDsOfLinks(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	for length, kind := range map[int]errs.Kind{1016: errs.Internal, 1017: errs.InvalidID} {
		d := withUses(images.NewDraft{ID: imagestest.Ptr(strings.Repeat("x", length))}, 2)
		_, ticket, err := core.CreateDraft(t.Context(), account, d)
		if length > 1016 {
			imagestest.WantKind(t, err, kind)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if img := use(t, core, ticket, 1); len(img.ID) != length+2 {
			t.Errorf("the id has %d characters", len(img.ID))
		}
	}
	// With as many variants as an account may have, the bound on URLs counts the longest id of the images.
	addVariants(t, core, 90)
	var fits string
	for n := 1016; fits == ""; n-- {
		id := strings.Repeat("ж", n)
		if _, _, err := core.CreateDraft(t.Context(), account, images.NewDraft{ID: &id}); err == nil {
			fits = id
		}
	}
	if err := core.DeleteImage(t.Context(), account, fits); err != nil {
		t.Fatal(err)
	}
	_, _, err := core.CreateDraft(t.Context(), account, withUses(images.NewDraft{ID: &fits}, 2))
	imagestest.WantKind(t, err, errs.InvalidID)
}

// TestRefusalsOfALink count over all of its uses.
func TestRefusalsOfALink(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		runningClock(core)
		made, ticket := link(t, core, 20, images.NewDraft{})
		for i := range 10 {
			if i%3 == 0 {
				use(t, core, ticket, i)
			}
			refused(t, core, ticket)
		}
		wantUseRefused(t, core, ticket, errs.TicketInvalid)
		if got := members(t, core, made.ID); len(got) != 4 {
			t.Errorf("the images of the dead link are %v", got)
		}
		// A refusal after the last use does not count.
		made, ticket = link(t, core, 2, images.NewDraft{})
		late, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket, Size: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer late.Close()
		use(t, core, ticket, 1)
		use(t, core, ticket, 2)
		if _, err := late.Write([]byte("no picture")); err != nil {
			t.Fatal(err)
		}
		_, err = late.Finish(t.Context(), "")
		imagestest.WantKind(t, err, errs.TicketUsed)
		imagestest.WantKind(t, late.Refuse(t.Context(), errs.Errorf(errs.Unsupported, "late")), errs.Unsupported)
		if n, _ := countedRefusals(t, core, made.ID); n != 0 {
			t.Errorf("%d refusals of a used-up link are counted", n)
		}
	})
}

// TestABodyThatWaitsForALink is admitted after another one has used the link, and refused after the last use.
func TestABodyThatWaitsForALink(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	_, ticket := link(t, core, 3, images.NewDraft{})
	var held []*images.Upload
	for i := range 4 {
		u, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket, Size: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		if _, err := u.Write(imagestest.JPEG(t, i)); err != nil {
			t.Fatal(err)
		}
		held = append(held, u)
	}
	received := make(chan error)
	waits := func(n int) {
		until(t, func() bool { return waitingAt(core, "ticket_bodies") == n })
	}
	for range 2 {
		go func() {
			u, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket, Size: -1})
			if err == nil {
				u.Close()
			}
			received <- err
		}()
	}
	waits(2)
	if _, err := held[0].Finish(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	waits(2) // the use does not end the waits
	held[0].Close()
	for range 2 { // each of them ends at once
		if err := <-received; err != nil {
			t.Errorf("after a use: %v", err)
		}
	}
	again := make(chan error)
	fill, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket, Size: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer fill.Close()
	go func() {
		_, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket, Size: -1})
		again <- err
	}()
	waits(1)
	for _, u := range held[1:3] {
		if _, err := u.Finish(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
	}
	imagestest.WantKind(t, <-again, errs.TicketUsed)
	_, err = held[3].Finish(t.Context(), "")
	imagestest.WantKind(t, err, errs.TicketUsed)
}

// TestTheEndOfALink releases its reservation once, however it ends, and leaves its images.
func TestTheEndOfALink(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, core *imagestest.Core, clock *imagestest.Clock, id, ticket string){
		"used up": func(t *testing.T, core *imagestest.Core, _ *imagestest.Clock, _, ticket string) {
			use(t, core, ticket, 3)
		},
		"deleted": func(t *testing.T, core *imagestest.Core, _ *imagestest.Clock, id, ticket string) {
			if err := core.DeleteImage(t.Context(), account, id); err != nil {
				t.Fatal(err)
			}
			wantUseRefused(t, core, ticket, errs.TicketUnknown)
		},
		"erased by its id": func(t *testing.T, core *imagestest.Core, _ *imagestest.Clock, id, ticket string) {
			imagestest.Erase(t, core, images.ErasureQuery{ID: id})
			wantUseRefused(t, core, ticket, errs.TicketUnknown)
		},
		"expired": func(t *testing.T, core *imagestest.Core, clock *imagestest.Clock, _, ticket string) {
			clock.Forward(41 * time.Minute)
			if err := core.ReleaseExpiredDrafts(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantUseRefused(t, core, ticket, errs.TicketInvalid)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
				clock := imagestest.NewClock()
				core.SetNow(clock.Now)
				made, ticket := link(t, core, 3, images.NewDraft{ID: imagestest.Ptr("a link")})
				size := use(t, core, ticket, 1).Original.Size
				two := use(t, core, ticket, 2)
				if got := usage(t, core); got != (accounts.Usage{Images: 2, Drafts: 1,
					Bytes: largest + size + two.Original.Size}) {
					t.Errorf("an open link takes %+v", got)
				}
				// A deleted image does not give its use back.
				if err := core.DeleteImage(t.Context(), account, two.ID); err != nil {
					t.Fatal(err)
				}
				end(t, core, clock, made.ID, ticket)
				images, bytes := int64(1), size
				if name == "used up" {
					images, bytes = 2, size+int64(len(imagestest.JPEG(t, 3)))
					wantUseRefused(t, core, ticket, errs.TicketUsed)
				}
				ended := usage(t, core)
				if ended.Images != images || ended.Drafts != 0 || ended.Bytes != bytes {
					t.Errorf("after its end the account has %+v", ended)
				}
				clock.Forward(25 * time.Hour)
				if err := core.DeleteExpiredDrafts(t.Context()); err != nil {
					t.Fatal(err)
				}
				wantUseRefused(t, core, ticket, errs.TicketUnknown)
				if got := usage(t, core); got.Images != ended.Images || got.Drafts != 0 || got.Bytes != ended.Bytes {
					t.Errorf("after a day the account has %+v", got)
				}
				if got := members(t, core, made.ID); len(got) != int(images) {
					t.Errorf("the images are %v", got)
				}
				imagestest.CheckUsage(t, core)
			})
		})
	}
}
