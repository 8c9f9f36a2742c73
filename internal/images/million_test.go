package images_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"calotype/internal/images"
	"calotype/internal/sqldb"
	"calotype/internal/sqldb/sqldbtest"
)

// fillImages inserts rows of n images: one per second, each the thousandth of its creator, and
// three values of metadata each. Without a worker and without bytes, many in a statement.
func fillImages(tb testing.TB, db *sqldb.DB, n int) {
	tb.Helper()
	const batch = 1000
	r := rand.New(rand.NewPCG(1, 2))
	for from := 0; from < n; from += batch {
		var rows, metas []string
		for i := from; i < min(n, from+batch); i++ {
			key := randomKey(r)
			at := int64(1_700_000_000_000_000) + int64(i)*1_000_000
			status, score, active := []string{"active", "pending", "flagged"}[i%3], i%1000, i%2
			meta := fmt.Sprintf(`{"status":"%s","score":%d,"active":%v}`, status, score, active == 1)
			rows = append(rows, fmt.Sprintf(`('%s','%s','%s','%x%x',0,'creator-%d','%s','picture.jpg',
				0,%d,%d,0,'%s',%d,0,'','','20260101/%s','jpeg',64,48,3072,1,1,1,0,12345,'%x%x',
				'1QcSHQRnh493V4dIh4eXh1h4kJUI')`, key, account, key, r.Uint64(), r.Uint64(), i%1000, meta,
				at, at, key, at, key, r.Uint64(), r.Uint64()))
			for _, v := range []string{fmt.Sprintf(`'status','string','%s',0`, status),
				fmt.Sprintf(`'score','number','',%d`, score),
				fmt.Sprintf(`'active','boolean','',%d`, active)} {
				metas = append(metas, fmt.Sprintf(`('%s','%s',%d,%s)`, key, account, at, v))
			}
		}
		err := db.Tx(tb.Context(), func(tx *sqldb.Tx) error {
			_, err := tx.Exec(`INSERT INTO images (key, account, id, id_sha256, custom, creator, meta,
				filename, require_signed, created, uploaded, draft, ticket, expires, refusals, last_kind,
				last_message, blob, format, stored_width, stored_height, max_pixels, scans, orientation,
				frames, alpha, size, sha256, thumbhash) VALUES ` + strings.Join(rows, ","))
			if err != nil {
				return err
			}
			_, err = tx.Exec(`INSERT INTO image_meta (image, account, uploaded, path, kind, text, number)
				VALUES ` + strings.Join(metas, ","))
			return err
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// randomKey has the shape of images' keys.
func randomKey(r *rand.Rand) string {
	key := make([]byte, 26)
	for i := range key {
		key[i] = "abcdefghijklmnopqrstuvwxyz234567"[r.IntN(32)]
	}
	return string(key)
}

// lister is a core that can do no more than list.
func lister(tb testing.TB, dsn string) *images.Service {
	tb.Helper()
	db, err := sqldb.Open(tb.Context(), dsn)
	if err != nil {
		tb.Fatal(err)
	}
	core := images.New(images.Config{DB: db})
	tb.Cleanup(func() {
		core.Close()
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	if err := images.Migrate(tb.Context(), db); err != nil {
		tb.Fatal(err)
	}
	_, _, err = core.SetUpAccount(tb.Context(), images.AccountSetup{ID: account, Token: "token"})
	if err != nil {
		tb.Fatal(err)
	}
	return core
}

// queries are lists of the images that fillImages makes. Each looks at so many rows for a page.
func queries(tb testing.TB) map[string]images.ListQuery {
	meta := func(all ...condition) (q images.ListQuery) {
		for _, c := range all {
			q.Meta = append(q.Meta, c.filter(tb))
		}
		return q
	}
	status := condition{"status", "eq", "active"}
	creator := meta(condition{"score", "gte", "0"})
	creator.Creator = ptr("creator-7")
	unowned := meta(status)
	unowned.Creator = ptr("")
	return map[string]images.ListQuery{
		"all":                    {},
		"creator":                {Creator: ptr("creator-7")},
		"no creator":             {Creator: ptr("")},
		"value":                  meta(status),
		"no value":               meta(condition{"status", "eq", "gone"}),
		"range of nothing":       meta(condition{"score", "gt", "1000"}),
		"range":                  meta(condition{"score", "gte", "500"}),
		"some":                   meta(condition{"status", "in", "active|flagged"}),
		"none of some":           meta(condition{"status", "in", "gone|lost"}),
		"value and range":        meta(status, condition{"score", "lt", "0"}),
		"creator and range":      creator,
		"value of none's images": unowned,
	}
}

// BenchmarkAMillionImages lists a million images on each engine (100,000 with -short), and prints
// the time for each row that a page looked at. Filling takes minutes.
func BenchmarkAMillionImages(b *testing.B) {
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	b.Run("sqlite", func(b *testing.B) {
		benchmarkLists(b, lister(b, filepath.Join(b.TempDir(), "calotype.db")), n)
	})
	b.Run("postgres", func(b *testing.B) {
		benchmarkLists(b, lister(b, sqldbtest.Postgres(b)), n)
	})
}

func benchmarkLists(b *testing.B, core *images.Service, n int) {
	began := time.Now()
	fillImages(b, core.DB, n)
	b.Logf("%d images inserted in %v", n, time.Since(began).Round(time.Second))
	list := func(b *testing.B, q images.ListQuery) images.ListPage {
		page, err := core.ListImages(b.Context(), account, q)
		if err != nil {
			b.Fatal(err)
		}
		return page
	}
	pages := func(name string, q images.ListQuery, looked int) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				list(b, q)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*looked), "ns/row")
		})
	}
	// A walk to page 1000, and to the end of what there is.
	last, found := images.ListQuery{Limit: n / 1000}, 0
	for i := range 1000 {
		page := list(b, last)
		if found += len(page.Images); i < 999 {
			last.Token = page.Next
		} else if found != n || page.Next != "" {
			b.Fatalf("a walk finds %d images", found)
		}
	}
	limit := n / 1000
	pages("page=1", images.ListQuery{Limit: limit}, limit)
	pages("page=1000", last, limit)
	for name, q := range queries(b) {
		q.Limit = limit
		looked := limit
		switch name {
		case "no creator", "no value":
			looked = 1 // none at all: the time of an empty page
		case "range of nothing", "none of some", "value and range":
			looked = 20_000
		case "value of none's images":
			looked = 20_000
		}
		pages(strings.ReplaceAll(name, " ", "_"), q, looked)
	}
}
