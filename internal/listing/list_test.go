package listing_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/listing"
)

// walkList returns the ids of all pages, and fails when a page is too long or an image comes twice.
func walkList(
	t *testing.T, core *imagestest.Core, q listing.Query, between func(),
) (ids []string, pages int) {
	t.Helper()
	seen := map[string]bool{}
	for q.Token = ""; ; between() {
		page, err := core.Lists.Images(t.Context(), account, q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Images) > q.Limit {
			t.Fatalf("a page of %d images, %d were asked for", len(page.Images), q.Limit)
		}
		for _, img := range page.Images {
			if seen[img.Key] {
				t.Fatalf("image %s is listed twice", img.ID)
			}
			seen[img.Key] = true
			ids = append(ids, img.ID)
		}
		pages++
		if q.Token = page.Next; page.Next == "" {
			return ids, pages
		}
	}
}

func nothing() {}

// condition is a filter as it is written, and what it means.
type condition struct{ path, operator, value string }

func (c condition) filter(t testing.TB) listing.Filter {
	t.Helper()
	f, err := listing.NewFilter(c.path, c.operator, c.value)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// holds looks the condition up in metadata, step by step.
func (c condition) holds(meta string) bool {
	var value any
	if meta != "" && json.Unmarshal([]byte(meta), &value) != nil {
		return false
	}
	for _, name := range strings.Split(c.path, ".") {
		switch inner := value.(type) {
		case map[string]any:
			value = inner[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(inner) || strconv.Itoa(i) != name {
				return false
			}
			value = inner[i]
		default:
			return false
		}
	}
	operator, kind, _ := strings.Cut(c.operator, ":")
	for _, text := range strings.Split(c.value, "|") {
		number, _ := strconv.ParseFloat(text, 64)
		var have float64
		switch value := value.(type) {
		case string:
			if (operator == "eq" || operator == "in") && kind != "number" && kind != "boolean" &&
				value == text {
				return true
			}
			continue
		case bool:
			if kind == "boolean" && strconv.FormatBool(value) == text {
				return true
			}
			continue
		case float64:
			have = value
		default:
			continue
		}
		if kind == "boolean" || kind != "number" && (operator == "eq" || operator == "in") {
			continue
		}
		switch operator {
		case "eq", "in":
			if have == number {
				return true
			}
		case "gt", "gte", "lt", "lte":
			if have > number && operator[0] == 'g' || have < number && operator[0] == 'l' ||
				have == number && strings.HasSuffix(operator, "e") {
				return true
			}
		}
	}
	return false
}

// randomMeta is metadata of few names and few values, so that filters find some.
func randomMeta(r *rand.Rand) string {
	values := []string{`"a"`, `"b"`, `"5"`, `""`, `"true"`, `5`, `5.0`, `-1.5`, `0`, `-0`, `1e3`,
		`true`, `false`, `null`, `[]`, `{}`, `["a",5,true]`, `{"x":"a","y":5}`, `{"x":{"x":"b"}}`, `{"0":"a"}`,
		`9007199254740993`, `"é\n"`}
	switch r.IntN(8) {
	case 0:
		return ""
	case 1:
		return `{}`
	}
	var parts []string
	for _, name := range []string{"a", "b", "c_1"} {
		if r.IntN(3) > 0 {
			parts = append(parts, fmt.Sprintf("%q:%s", name, values[r.IntN(len(values))]))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func randomCondition(r *rand.Rand) condition {
	c := condition{path: []string{"a", "b", "c_1", "a.0", "b.1", "a.x", "b.x.x", "c_1.y"}[r.IntN(8)]}
	texts := []string{"a", "b", "5", "", "true", "é\n", "0"}
	numbers := []string{"5", "5e0", "-1.5", "0", "-0", "1000", "4.999", "9007199254740992"}
	some := func(all []string, n int) string {
		var chosen []string
		for range n {
			chosen = append(chosen, all[r.IntN(len(all))])
		}
		return strings.Join(chosen, "|")
	}
	c.operator = []string{"eq", "eq:string", "eq:number", "eq:boolean", "gt", "gte:number",
		"lt:number", "lte", "in", "in:string", "in:number"}[r.IntN(11)]
	switch c.operator {
	case "eq", "eq:string":
		c.value = some(texts, 1)
	case "eq:boolean":
		c.value = some([]string{"true", "false"}, 1)
	case "in", "in:string":
		c.value = some(texts, 1+r.IntN(4))
	case "in:number":
		c.value = some(numbers, 1+r.IntN(4))
	default:
		c.value = some(numbers, 1)
	}
	return c
}

// makeImages makes images with metadata and creators by chance, some at the same moment.
func makeImages(t *testing.T, core *imagestest.Core, r *rand.Rand, n int) (all []images.Image) {
	t.Helper()
	clock := imagestest.NewClock()
	core.SetNow(clock.Now)
	for range n {
		d := images.NewDraft{Meta: json.RawMessage(randomMeta(r))}
		if creator := []string{"", "one", "two"}[r.IntN(3)]; creator != "" {
			d.Creator = &creator
		}
		clock.Forward(time.Duration(r.IntN(2)) * time.Microsecond)
		img, err := upload(t, core, account, d)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, img)
	}
	return all
}

// TestFiltersAreWhatTheySay compares lists with what a loop over all images finds.
func TestFiltersAreWhatTheySay(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: inserts many images")
	}
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 0))
		t.Logf("seed %d", seed)
		all := makeImages(t, core, r, 200)
		imagestest.Draft(t, core, images.NewDraft{Meta: json.RawMessage(`{"a":"a"}`)})
		core.Lists.SetScanned(40) // pages come to their bound
		found, empty := 0, 0
		for range 300 {
			var conditions []condition
			q := listing.Query{Limit: 1 + r.IntN(60), Ascending: r.IntN(2) == 0}
			for range r.IntN(4) {
				c := randomCondition(r)
				conditions, q.Meta = append(conditions, c), append(q.Meta, c.filter(t))
			}
			if creator := []string{"any", "", "one", "three"}[r.IntN(4)]; creator != "any" {
				q.Creator = &creator
			}
			var want []string
			for _, img := range all {
				matches := q.Creator == nil || (img.Creator == nil && *q.Creator == "") ||
					(img.Creator != nil && *q.Creator == *img.Creator)
				for _, c := range conditions {
					matches = matches && c.holds(string(img.Meta))
				}
				if matches {
					want = append(want, img.ID)
				}
			}
			got, _ := walkList(t, core, q, nothing)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("%+v: %d images, want %d", q, len(got), len(want))
			}
			if found += len(got); len(got) == 0 {
				empty++
			}
		}
		if found < 1000 || empty < 10 {
			t.Errorf("the test has too few results: %d images found, %d lists were empty", found, empty)
		}
	})
}

// TestFilterCases is every operator with every type, on one image.
func TestFilterCases(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		_, err := upload(t, core, account, images.NewDraft{Meta: json.RawMessage(`{
			"s":"active","n":5,"f":-1.5,"t":true,"digits":"5","word":"true","none":null,"empty":"",
			"list":["x",7],"region":{"name":"eu|west"},"l1":{"l2":{"l3":{"l4":{"l5":1,"o":{"l6":1}}}}}}`)})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			path, operator, value string
			want                  int
		}{
			{"s", "eq", "active", 1}, {"s", "eq:string", "active", 1}, {"s", "eq", "Active", 0},
			{"s", "eq", "activ", 0}, {"s", "in", "pending|active", 1}, {"s", "in:string", "active", 1},
			{"s", "in", "pending|flagged", 0}, {"s", "eq:number", "0", 0}, {"s", "lt", "1", 0},
			{"n", "eq:number", "5", 1}, {"n", "eq:number", "5.00", 1}, {"n", "eq:number", "0.5e1", 1},
			{"n", "eq", "5", 0}, {"n", "in:number", "4|5", 1}, {"n", "in:number", "4|6", 0},
			{"n", "in", "5", 0}, {"n", "gt", "4", 1}, {"n", "gt:number", "5", 0}, {"n", "gte", "5", 1},
			{"n", "gte:number", "5.1", 0}, {"n", "lt", "5", 0}, {"n", "lt:number", "6", 1},
			{"n", "lte", "5", 1}, {"n", "lte:number", "4", 0}, {"n", "eq:boolean", "true", 0},
			{"f", "lt", "-1", 1}, {"f", "eq:number", "-1.5", 1}, {"t", "eq:boolean", "true", 1},
			{"t", "eq:boolean", "false", 0}, {"t", "eq", "true", 0}, {"t", "gt", "0", 0},
			{"t", "eq:number", "1", 0}, {"t", "in:number", "1", 0}, {"digits", "eq", "5", 1},
			{"digits", "eq:number", "5", 0}, {"digits", "gt", "4", 0}, {"word", "eq", "true", 1},
			{"word", "eq:boolean", "true", 0}, {"none", "eq", "", 0}, {"none", "eq", "null", 0},
			{"empty", "eq", "", 1}, {"empty", "in", "a||b", 1}, {"absent", "eq", "", 0},
			{"list.0", "eq", "x", 1}, {"list.1", "gte", "7", 1}, {"list.2", "eq", "", 0},
			{"list", "eq", "x", 0}, {"region.name", "eq", "eu|west", 1},
			{"region.name", "in", "eu|west", 0}, {"region", "eq", "eu|west", 0},
			{"l1.l2.l3.l4.l5", "eq:number", "1", 1}, {"S", "eq", "active", 0},
		} {
			f := condition{c.path, c.operator, c.value}.filter(t)
			ids, _ := walkList(t, core, listing.Query{Limit: 9, Meta: []listing.Filter{f}}, nothing)
			if len(ids) != c.want {
				t.Errorf("%s[%s]=%s: %d images, want %d", c.path, c.operator, c.value, len(ids), c.want)
			}
		}
		contradiction := []listing.Filter{condition{"n", "eq:number", "5"}.filter(t),
			condition{"n", "lte:number", "3"}.filter(t)}
		ids, pages := walkList(t, core, listing.Query{Limit: 9, Meta: contradiction}, nothing)
		if len(ids) != 0 || pages != 1 {
			t.Errorf("a contradiction finds %v", ids)
		}
		five := slices.Repeat([]listing.Filter{condition{"n", "gt", "1"}.filter(t)}, 5)
		ids, _ = walkList(t, core, listing.Query{Limit: 9, Meta: five}, nothing)
		if len(ids) != 1 {
			t.Errorf("five filters find %v", ids)
		}
		six := listing.Query{Limit: 9, Meta: append(five, five[0])}
		_, err = core.Lists.Images(t.Context(), account, six)
		imagestest.WantKind(t, err, errs.Invalid)
	})
}

// TestTokensAreBound uses a token with every other list.
func TestTokensAreBound(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		const other = "0123456789abcdef0123456789abcdef"
		_, _, err := core.Accounts.SetUp(t.Context(), accounts.Setup{ID: other, Token: "other"})
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		for range 3 {
			for _, creator := range []*string{nil, imagestest.Ptr("one")} {
				d := images.NewDraft{Meta: json.RawMessage(`{"a":"x","n":5}`), Creator: creator}
				if _, err := upload(t, core, account, d); err != nil {
					t.Fatal(err)
				}
			}
		}
		x, y := condition{"a", "eq", "x"}.filter(t), condition{"a", "in", "x"}.filter(t)
		n := condition{"n", "gt", "4"}.filter(t)
		lists := []listing.Query{{}, {Ascending: true}, {Creator: imagestest.Ptr("")}, {Creator: imagestest.Ptr("one")},
			{Meta: []listing.Filter{x}}, {Meta: []listing.Filter{y}},
			{Meta: []listing.Filter{x, n}}, {Meta: []listing.Filter{x}, Creator: imagestest.Ptr("one")},
			{Meta: []listing.Filter{condition{"n", "gte", "4"}.filter(t)}},
			{Meta: []listing.Filter{n}, Ascending: true}}
		for i, from := range lists {
			from.Limit = 2
			page, err := core.Lists.Images(ctx, account, from)
			if err != nil || page.Next == "" {
				t.Fatalf("%+v: no token, %v", from, err)
			}
			for j, to := range lists {
				to.Limit, to.Token = 1, page.Next
				_, err := core.Lists.Images(ctx, account, to)
				if i == j && err != nil {
					t.Errorf("%+v refuses its own token: %v", to, err)
				} else if i != j {
					imagestest.WantKind(t, err, errs.Invalid)
				}
			}
			from.Token = page.Next
			slices.Reverse(from.Meta) // the order of filters means nothing
			if _, err := core.Lists.Images(ctx, account, from); err != nil {
				t.Errorf("%+v: %v", from, err)
			}
			_, err = core.Lists.Images(ctx, other, from)
			imagestest.WantKind(t, err, errs.Invalid)
			for _, broken := range []string{page.Next[1:], page.Next + "A", page.Next[:9], "!"} {
				from.Token = broken
				_, err := core.Lists.Images(ctx, account, from)
				imagestest.WantKind(t, err, errs.Invalid)
			}
		}
	})
}

func TestList(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		var want []string
		for i := range 7 {
			d := images.NewDraft{}
			if i%2 == 0 {
				d.Creator = imagestest.Ptr("even")
			}
			if i != 3 { // two at the same moment
				clock.Forward(time.Millisecond)
			}
			want = append(want, imagestest.Upload(t, core, d, imagestest.JPEG(t, i)).ID)
		}
		imagestest.Draft(t, core, images.NewDraft{})
		walk := func(q listing.Query) (ids []string) {
			for {
				page, err := core.Lists.Images(t.Context(), account, q)
				if err != nil {
					t.Fatal(err)
				}
				for _, img := range page.Images {
					ids = append(ids, img.ID)
				}
				if q.Token = page.Next; page.Next == "" {
					return ids
				}
			}
		}
		up, down := walk(listing.Query{Limit: 2, Ascending: true}), walk(listing.Query{Limit: 3})
		if len(up) != 7 || up[0] != want[0] || up[6] != want[6] {
			t.Errorf("ascending: got %v, want %v", up, want)
		}
		for i, id := range down {
			if id != up[6-i] {
				t.Fatalf("descending is not the reverse: %v and %v", down, up)
			}
		}
		if got := walk(listing.Query{Limit: 2, Creator: imagestest.Ptr("even")}); len(got) != 4 {
			t.Errorf("creator: got %d images, want 4", len(got))
		}
		if got := walk(listing.Query{Limit: 2, Creator: imagestest.Ptr("")}); len(got) != 3 {
			t.Errorf("no creator: got %d images, want 3", len(got))
		}
		for _, q := range []listing.Query{{}, {Limit: 10_001}, {Limit: 1, Token: "x"}, {Limit: 1, Token: "MS54"}} {
			_, err := core.Lists.Images(t.Context(), account, q)
			imagestest.WantKind(t, err, errs.Invalid)
		}
		page, err := core.Lists.Images(t.Context(), strings.Repeat("0", 32), listing.Query{Limit: 9})
		if err != nil || len(page.Images) != 0 {
			t.Errorf("another account sees %d images, %v", len(page.Images), err)
		}
	})
}
