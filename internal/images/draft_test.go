package images_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

func TestRulesOfDrafts(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	clock := imagestest.NewClock()
	core.SetNow(clock.Now)
	at := func(d time.Duration) *time.Time { return imagestest.Ptr(clock.Now().Add(d)) }
	meta := func(s string) images.NewDraft { return images.NewDraft{Meta: json.RawMessage(s)} }
	id := func(s string) images.NewDraft { return images.NewDraft{ID: &s} }
	const fine = errs.Kind(-1)
	for name, c := range map[string]struct {
		d    images.NewDraft
		want errs.Kind
	}{
		"nothing":               {images.NewDraft{}, fine},
		"path":                  {id("this/is/my-customid"), fine},
		"UTF-8":                 {id("Фото № 1/🦊 %25 + &.jpeg"), fine},
		"UUID in a path":        {id("a/2cdc28f0-017a-49c4-9ed7-87056c83901f"), fine},
		"1024 characters":       {id(strings.Repeat("ж", 1024)), fine},
		"version is no suffix":  {id("logo.v2"), fine},
		"reserved later":        {id("my/stats"), fine},
		"reserved as a part":    {id("statsfoo"), fine},
		"1025 characters":       {id(strings.Repeat("a", 1025)), errs.InvalidID},
		"empty id":              {id(""), errs.InvalidID},
		"leading slash":         {id("/a"), errs.InvalidID},
		"trailing slash":        {id("a/"), errs.InvalidID},
		"empty segment":         {id("a//b"), errs.InvalidID},
		"dot segment":           {id("a/./b"), errs.InvalidID},
		"dots segment":          {id("../b"), errs.InvalidID},
		"UUID":                  {id("2CDC28F0-017a-49c4-9ed7-87056c83901f"), errs.InvalidID},
		"foreign extension":     {id("a/page.HTML"), errs.InvalidID},
		"reserved":              {id("stats"), errs.InvalidID},
		"reserved segment":      {id("keys/x"), errs.InvalidID},
		"control character":     {id("a\x00b"), errs.InvalidID},
		"bad UTF-8":             {id("a\xff"), errs.InvalidID},
		"private custom":        {images.NewDraft{ID: imagestest.Ptr("mine"), RequireSignedURLs: true}, errs.Invalid},
		"earliest":              {images.NewDraft{Expiry: at(2*time.Minute - 5*time.Second)}, fine},
		"latest":                {images.NewDraft{Expiry: at(6*time.Hour + 5*time.Second)}, fine},
		"too early":             {images.NewDraft{Expiry: at(114 * time.Second)}, errs.Invalid},
		"too late":              {images.NewDraft{Expiry: at(6*time.Hour + 6*time.Second)}, errs.Invalid},
		"past":                  {images.NewDraft{Expiry: at(-time.Hour)}, errs.Invalid},
		"metadata":              {meta(`{"a":{"b":[1,true,null,"x\ny"]}}`), fine},
		"1024 bytes":            {meta(`{"a":"` + strings.Repeat("x", 1024-8) + `"}`), fine},
		"spaces do not count":   {meta(`{"a":    "` + strings.Repeat("x", 1024-8) + `"}`), fine},
		"1025 bytes":            {meta(`{"a":"` + strings.Repeat("x", 1025-8) + `"}`), errs.Invalid},
		"64 values":             {meta(`{"a":[` + strings.Repeat("1,", 63) + `1]}`), fine},
		"65 values":             {meta(`{"a":[` + strings.Repeat("1,", 64) + `1]}`), fine},
		"metadata is an array":  {meta(`[1]`), errs.Invalid},
		"metadata is no JSON":   {meta(`{"a":`), errs.Invalid},
		"metadata with NUL":     {meta(`{"a":"\u0000"}`), errs.Invalid},
		"deep metadata":         {meta(`{"a":{"a":{"a":{"a":{"a":{"a":1}}}}}}`), fine},
		"metadata in bad UTF-8": {meta("{\"a\":\"\xff\"}"), errs.Invalid},
		"creator with NUL":      {images.NewDraft{Creator: imagestest.Ptr("a\x00")}, errs.Invalid},
	} {
		_, _, err := core.CreateDraft(t.Context(), account, c.d)
		if c.want == fine && err != nil {
			t.Errorf("%s: refused: %v", name, err)
		}
		if c.want != fine && (err == nil || errs.AsError(err).Kind != c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestACustomIDIsTakenOnce(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		const askers = 16
		made := make(chan string, askers)
		var wait sync.WaitGroup
		for range askers {
			wait.Go(func() {
				_, ticket, err := core.CreateDraft(t.Context(), account, images.NewDraft{ID: imagestest.Ptr("mine")})
				if err == nil {
					made <- ticket
				} else if errs.AsError(err).Kind != errs.Exists {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if len(made) != 1 {
			t.Fatalf("%d drafts were made of one id, want 1", len(made))
		}
	})
}

func TestADeadDraftGivesItsIDBack(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		_, old := imagestest.Draft(t, core, images.NewDraft{ID: imagestest.Ptr("mine")})
		clock.Forward(30 * time.Minute)
		if _, _, err := core.CreateDraft(t.Context(), account, images.NewDraft{ID: imagestest.Ptr("mine")}); err == nil {
			t.Fatal("a draft was replaced in the last moment of its life")
		}
		clock.Forward(time.Microsecond)
		if img, err := core.Image(t.Context(), account, "mine"); err != nil || !img.Draft {
			t.Fatalf("an expired draft is not visible: %v", err)
		}
		_, fresh := imagestest.Draft(t, core, images.NewDraft{ID: imagestest.Ptr("mine")})
		_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: old}, imagestest.JPEG(t, 1))
		imagestest.WantKind(t, err, errs.TicketUnknown)
		if _, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: fresh}, imagestest.JPEG(t, 1)); err != nil {
			t.Fatal(err)
		}
		_, _, err = core.CreateDraft(t.Context(), account, images.NewDraft{ID: imagestest.Ptr("mine")})
		imagestest.WantKind(t, err, errs.Exists)
	})
}
