package listing_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/listing"
	"calotype/internal/phash"
	"calotype/internal/sqldb/sqldbtest"
)

// TestNear compares lists of look-alikes with all hashes, at each distance, in pages of many sizes.
func TestNear(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		const n = 2000
		fillImages(t, core.DB, n)
		all, _ := walkList(t, core, listing.Query{Limit: n, Ascending: true}, nothing)
		if len(all) != n {
			t.Fatalf("%d images", len(all))
		}
		r := rand.New(rand.NewPCG(5, 6))
		for distance := range phash.MaxDistance + 1 {
			of := 50 * r.IntN(n/50)
			hash := hashOf(of)
			for range r.IntN(3) {
				hash ^= 1 << r.IntN(64)
			}
			var want []string
			for i, id := range all {
				if phash.Distance(hash, hashOf(i)) <= distance {
					want = append(want, id)
				}
			}
			q := listing.Query{Limit: 1 + r.IntN(3), Ascending: true,
				Near: &listing.Near{Hash: hash, Distance: distance}}
			for _, scanned := range []int{20_000, 300, 1} {
				core.Lists.SetScanned(scanned)
				got, _ := walkList(t, core, q, nothing)
				if !slices.Equal(got, want) {
					t.Errorf("distance %d, %d rows scanned: got %v, want %v", distance, scanned, got, want)
				}
			}
			q.Ascending = false
			slices.Reverse(want)
			if got, _ := walkList(t, core, q, nothing); !slices.Equal(got, want) {
				t.Errorf("distance %d, descending: got %v, want %v", distance, got, want)
			}
		}
	})
}

// TestNearManyEqual lists images that all have one hash, in pages whose work is bounded, with other conditions.
func TestNearManyEqual(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: inserts many images")
	}
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		const n, hash = 600, phash.Hash(0xfedcba9876543210)
		fillImages(t, core.DB, n)
		signed := hash
		if _, err := core.Accounts.Exec(t.Context(), `UPDATE images SET phash = ?1`, int64(signed)); err != nil {
			t.Fatal(err)
		}
		core.Lists.SetScanned(1000)
		for _, distance := range []int{0, 4, 10} {
			q := listing.Query{Limit: 50, Near: &listing.Near{Hash: hash ^ 1, Distance: distance}}
			want := n
			if distance == 0 {
				want = 0
			}
			if got, pages := walkList(t, core, q, nothing); len(got) != want || want > 0 && pages < n/50 {
				t.Errorf("distance %d: %d images in %d pages", distance, len(got), pages)
			}
			q.Meta = []listing.Filter{condition{"status", "eq", "active"}.filter(t)}
			if got, _ := walkList(t, core, q, nothing); len(got) != want/3 {
				t.Errorf("distance %d: %d images with the filter", distance, len(got))
			}
			q.Creator = imagestest.Ptr("creator-0")
			if got, _ := walkList(t, core, q, nothing); len(got) != want/n {
				t.Errorf("distance %d: %d images of the creator", distance, len(got))
			}
		}
		other, err := core.Accounts.Create(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		page, err := core.Lists.Images(t.Context(), other.ID, listing.Query{Limit: 10,
			Near: &listing.Near{Hash: hash, Distance: 10}})
		if err != nil || len(page.Images) > 0 {
			t.Errorf("another account finds %d images, %v", len(page.Images), err)
		}
	})
}

// TestBySHA256 lists images by the bytes that are stored, or that came.
func TestBySHA256(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		const n = 90
		fillImages(t, core.DB, n)
		sum := func(text string) string {
			s := sha256.Sum256([]byte(text))
			return hex.EncodeToString(s[:])
		}
		for _, s := range []string{
			`UPDATE images SET sha256 = ?1 WHERE uploaded % 3000000 = 0`,
			`UPDATE images SET received_sha256 = ?1 WHERE uploaded % 2000000 = 0`,
		} {
			if _, err := core.Accounts.Exec(t.Context(), s, sum("a")); err != nil {
				t.Fatal(err)
			}
		}
		for _, ascending := range []bool{false, true} {
			q := listing.Query{Limit: 7, SHA256: sum("a"), Ascending: ascending}
			if got, _ := walkList(t, core, q, nothing); len(got) != 60 { // of 6 in a row 4
				t.Errorf("%d images", len(got))
			}
			q.Meta = []listing.Filter{condition{"score", "lt", "12"}.filter(t)}
			core.Lists.SetScanned(10)
			if got, _ := walkList(t, core, q, nothing); len(got) != 8 {
				t.Errorf("%d images with the filter", len(got))
			}
			q.SHA256 = sum("b")
			if got, _ := walkList(t, core, q, nothing); len(got) != 0 {
				t.Errorf("%d images of other bytes", len(got))
			}
		}
	})
}

func TestLooksAreRefused(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	sum, near := strings.Repeat("a", 64), &listing.Near{Distance: 3}
	for name, q := range map[string]listing.Query{
		"both":            {SHA256: sum, Near: near},
		"a short sum":     {SHA256: sum[1:]},
		"capitals":        {SHA256: strings.ToUpper(sum)},
		"too far":         {Near: &listing.Near{Distance: phash.MaxDistance + 1}},
		"negative":        {Near: &listing.Near{Distance: -1}},
		"with a prefix":   {Near: near, Prefix: "a"},
		"with a name":     {SHA256: sum, Filename: "a"},
		"drafts":          {Near: near, Drafts: true},
		"another's token": {Near: near, Token: "MTAuYQ"},
	} {
		q.Limit = 1
		if _, err := core.Lists.Images(t.Context(), account, q); errs.AsError(err).Kind != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range [][2]string{{"", ""}, {"123", ""}, {strings.Repeat("g", 16), ""}, {"+23456789abcdef0", ""},
		{strings.Repeat("0", 16), "11"}, {strings.Repeat("0", 16), "-1"}, {strings.Repeat("0", 16), "x"}} {
		if _, err := listing.NewNear(c[0], c[1]); errs.AsError(err).Kind != errs.Invalid {
			t.Errorf("%q: %v", c, err)
		}
	}
}

// usedIndex finds the indexes of look-alikes in a plan.
var usedIndex = regexp.MustCompile(`images_(phash[0-3]|sha256|received_sha256)`)

// looksAreIndexed asks an engine how it finds look-alikes: each part of the statement uses its index.
func looksAreIndexed(t *testing.T, core *imagestest.Core, postgres bool, behind *images.Image) {
	near := func(distance int) listing.Query {
		return listing.Query{Near: &listing.Near{Hash: hashOf(7), Distance: distance}}
	}
	creator := near(8)
	creator.Creator = imagestest.Ptr("creator-7")
	for name, c := range map[string]struct {
		q       listing.Query
		indexes int
	}{
		"sum": {listing.Query{SHA256: behind.Original.SHA256}, 2}, "equal": {near(0), 1}, "near": {near(10), 4},
		"near of a creator": {creator, 4},
	} {
		for _, after := range []*images.Image{nil, behind} {
			for _, c.q.Ascending = range []bool{false, true} {
				c.q.Limit = 100
				for _, s := range listing.Statements(account, c.q, after) {
					plan := sqldbtest.Explain(t, core.DB, postgres, s.SQL, s.Args...)
					used := usedIndex.FindAllString(plan, -1)
					slices.Sort(used)
					if scansTable.MatchString(plan) || strings.Contains(plan, "Hash Join") ||
						len(slices.Compact(used)) != c.indexes {
						t.Errorf("%s: want %d indexes in\n%s\n%s", name, c.indexes, s.SQL, plan)
					}
				}
			}
		}
	}
}

// TestNearAMillion prints the time of lists of look-alikes among CALOTYPE_NEAR images, on each engine: filling takes
// minutes for a million.
func TestNearAMillion(t *testing.T) {
	var n int
	if _, err := fmt.Sscan(os.Getenv("CALOTYPE_NEAR"), &n); err != nil {
		t.Skip("CALOTYPE_NEAR is not set to a number of images")
	}
	for name, dsn := range map[string]func() string{
		"sqlite":   func() string { return filepath.Join(t.TempDir(), "calotype.db") },
		"postgres": func() string { return sqldbtest.Postgres(t) },
	} {
		t.Run(name, func(t *testing.T) {
			core := imagestest.Open(t, images.Config{}, dsn())
			began := time.Now()
			fillImages(t, core.DB, n)
			if err := analyze(core.DB, t); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d images inserted in %v", n, time.Since(began).Round(time.Second))
			page, err := core.Lists.Images(t.Context(), account, listing.Query{Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			for _, distance := range []int{0, 4, 6, 8, 10} {
				measure(t, core, fmt.Sprintf("near, distance %d", distance), func(i int) listing.Query {
					return listing.Query{Limit: 100, Near: &listing.Near{Hash: hashOf(i * 2477 % n), Distance: distance}}
				})
			}
			measure(t, core, "sha256", func(int) listing.Query {
				return listing.Query{Limit: 100, SHA256: page.Images[0].Original.SHA256}
			})
		})
	}
}

// measure prints the median and the 99th percentile of 500 lists, in microseconds, each of which finds an image.
func measure(t *testing.T, core *imagestest.Core, name string, query func(int) listing.Query) {
	var took []time.Duration
	for i := range 520 {
		began := time.Now()
		page, err := core.Lists.Images(t.Context(), account, query(i))
		if err != nil || len(page.Images) == 0 || page.Next != "" {
			t.Fatalf("%s: %d images, %q, %v", name, len(page.Images), page.Next, err)
		}
		if i >= 20 { // statements are prepared
			took = append(took, time.Since(began))
		}
	}
	slices.Sort(took)
	t.Logf("%s: median %d us, p99 %d us", name, took[len(took)/2].Microseconds(), took[len(took)*99/100].Microseconds())
}
