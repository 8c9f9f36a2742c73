package listing_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/listing"
)

// budget is a question that is answered with yes until weights have passed a bound; a new page begins
// by the call begin.
type budget struct{ left, asked int }

func (b *budget) begin() { b.left = 10 }

func (b *budget) fits(img images.Image) bool {
	b.asked++
	b.left -= len(img.ID) - 35 // a UUID weighs 1
	return b.left >= 0
}

// TestPagesEndWhereTheyAreFull walks lists whose pages end by what fits, with images of which some
// weigh more than a page: each is listed once, and little is read in vain.
func TestPagesEndWhereTheyAreFull(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		var all []string
		for i := range 60 {
			id := fmt.Sprintf("%0*d", 36+i%7*3, i) // weighs 1 to 19
			d := images.NewDraft{ID: &id, Meta: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i%2))}
			if _, err := upload(t, core, account, d); err != nil {
				t.Fatal(err)
			}
			all = append(all, id)
			clock.Forward(time.Millisecond)
		}
		even := slices.Clone(all)
		even = slices.DeleteFunc(even, func(id string) bool { return id[len(id)-1]%2 == 1 })
		zero := []listing.Filter{condition{"n", "eq:number", "0"}.filter(t)}
		not := []listing.Filter{zero[0], condition{"n", "lt", "1"}.filter(t)}
		for _, rows := range []int{1, 2, 7, 500} {
			core.Lists.SetRead(rows)
			for name, c := range map[string]struct {
				q    listing.Query
				want []string
			}{
				"all": {listing.Query{Ascending: true}, all}, "no creator": {
					listing.Query{Ascending: true, Creator: imagestest.Ptr("")}, all},
				"filter":  {listing.Query{Ascending: true, Meta: zero}, even},
				"filters": {listing.Query{Ascending: true, Meta: not}, even},
			} {
				var b budget
				c.q.Limit, c.q.Fits = 9, b.fits
				b.begin()
				got, pages := walkList(t, core, c.q, b.begin)
				if !slices.Equal(got, c.want) {
					t.Errorf("%s, %d rows at once: got %d images %v\nwant %d", name, rows, len(got), got,
						len(c.want))
				}
				if least := len(c.want) / 5; pages < least {
					t.Errorf("%s: %d pages, at least %d are needed", name, pages, least)
				}
				if most := len(c.want) + pages; b.asked > most {
					t.Errorf("%s: %d images were asked of, want at most %d", name, b.asked, most)
				}
			}
		}
	})
}

// TestNumberedPagesAreRead in pieces of any size, up to what does not fit.
func TestNumberedPagesAreRead(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		var all []string
		for i := range 23 {
			img, err := upload(t, core, account, images.NewDraft{})
			if err != nil {
				t.Fatal(err)
			}
			all = append([]string{img.ID}, all...)
			clock.Forward(time.Duration(i%2) * time.Millisecond) // two at each moment
		}
		var order []string
		for _, rows := range []int{500, 1, 3, 23, 24} {
			core.Lists.SetRead(rows)
			for _, limit := range []int{23, 1, 5, 100} {
				var got []string
				for number := 1; len(got) < len(all); number++ {
					page, err := core.Lists.Numbered(t.Context(), account,
						listing.PageQuery{Page: number, Limit: limit})
					if err != nil || page.Total != len(all) || len(page.Images) > limit {
						t.Fatalf("%d of %d, %v", len(page.Images), page.Total, err)
					}
					if len(page.Images) == 0 {
						break
					}
					for _, img := range page.Images {
						got = append(got, img.ID)
					}
				}
				if order == nil {
					order = got
				}
				if len(got) != len(all) || !slices.Equal(got, order) {
					t.Errorf("%d rows at once, pages of %d: got %v\nwant %v", rows, limit, got, order)
				}
			}
			asked := 0
			page, err := core.Lists.Numbered(t.Context(), account, listing.PageQuery{Page: 1, Limit: 20,
				Fits: func(images.Image) bool { asked++; return asked < 8 }})
			if err != nil || len(page.Images) != 7 || asked != 8 {
				t.Errorf("%d images, %d were asked of, %v", len(page.Images), asked, err)
			}
		}
	})
}
