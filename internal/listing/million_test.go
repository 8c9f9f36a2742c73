package listing_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/listing"
	"calotype/internal/phash"
	"calotype/internal/sqldb"
	"calotype/internal/sqldb/sqldbtest"
)

// fillImages inserts rows of n images: one per second, each the thousandth of its creator, and
// two values of metadata each. Without a worker and without bytes, many in a transaction.
func fillImages(tb testing.TB, db *sqldb.DB, n int) {
	tb.Helper()
	const inStatement, inTransaction = 500, 2_000
	r := rand.New(rand.NewPCG(1, 2))
	var version string
	sqlite := db.QueryRow(tb.Context(), `SELECT sqlite_version()`).Scan(&version) == nil
	for from := 0; from < n; from += inTransaction {
		err := db.Tx(tb.Context(), func(tx *sqldb.Tx) error {
			if sqlite { // the indexes of a million keys by chance do not fit the 2 MB it has
				if _, err := tx.Exec(`PRAGMA cache_size = -300000`); err != nil {
					return err
				}
			}
			for i := from; i < min(n, from+inTransaction); i += inStatement {
				if err := fillSome(tx, r, i, min(n, i+inStatement)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// fillSome inserts the images numbered from one to below another. The text of its statements is
// always the same, so that drivers that keep statements keep two.
func fillSome(tx *sqldb.Tx, r *rand.Rand, from, to int) error {
	var rows, metas []string
	var rowArgs, metaArgs []any
	for i := from; i < to; i++ {
		key := randomKey(r)
		at := int64(1_700_000_000_000_000) + int64(i)*1_000_000
		status, score := []string{"active", "pending", "flagged"}[i%3], i%1000
		rows = append(rows, numbered(len(rowArgs), `(?1, ?2, ?8, ?3, 0, ?4, ?5, ?9, 0, ?6,
			?6, 0, ?3, ?6, 0, '', '', ?7, 'jpeg', 64, 48, 3072, 1, 1, 1, 0, 12345, ?3,
			'1QcSHQRnh493V4dIh4eXh1h4kJUI', ?10)`))
		rowArgs = append(rowArgs, key, account, fmt.Sprintf("%x", sha256.Sum256([]byte(key))),
			fmt.Sprintf("creator-%d", score),
			fmt.Sprintf(`{"status":"%s","score":%d}`, status, score), at, "20260101/"+key,
			fmt.Sprintf("%s/%s/%s", key[:2], key[2:4], key), fmt.Sprintf("IMG_%07d.jpg", i), int64(hashOf(i)))
		metas = append(metas, numbered(len(metaArgs), `(?1, ?2, ?3, 'status', 'string', ?4, 0),
			(?1, ?2, ?3, 'score', 'number', '', ?5)`))
		metaArgs = append(metaArgs, key, account, at, status, float64(score))
	}
	_, err := tx.Exec(`INSERT INTO images (key, account, id, id_sha256, custom, creator, meta,
		filename, require_signed, created, uploaded, draft, ticket, expires, refusals, last_kind,
		last_message, blob, format, stored_width, stored_height, max_pixels, scans, orientation,
		frames, alpha, size, sha256, thumbhash, phash) VALUES `+strings.Join(rows, ","), rowArgs...)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO image_meta (image, account, uploaded, path, kind, text, number)
		VALUES `+strings.Join(metas, ","), metaArgs...)
	return err
}

// hashOf returns the perceptual hash of the image numbered i: most are random, and one of 50 is a look-alike of the image
// before it.
func hashOf(i int) phash.Hash {
	r := rand.New(rand.NewPCG(3, uint64(i)))
	if i%50 != 1 {
		return phash.Hash(r.Uint64())
	}
	h := hashOf(i - 1)
	for range r.IntN(phash.MaxDistance + 2) {
		h ^= 1 << r.IntN(64)
	}
	return h
}

// numbered adds n to the numbers of the placeholders in a row.
func numbered(n int, row string) string {
	for i := 10; i > 0; i-- {
		row = strings.ReplaceAll(row, "?"+strconv.Itoa(i), "#"+strconv.Itoa(i+n))
	}
	return strings.ReplaceAll(row, "#", "?")
}

// randomKey has the shape of images' keys.
func randomKey(r *rand.Rand) string {
	key := make([]byte, 26)
	for i := range key {
		key[i] = "abcdefghijklmnopqrstuvwxyz234567"[r.IntN(32)]
	}
	return string(key)
}

// queries are lists of the images that fillImages makes, with the number of rows that a page scans.
func queries(tb testing.TB) map[string]listing.Query {
	meta := func(all ...condition) (q listing.Query) {
		for _, c := range all {
			q.Meta = append(q.Meta, c.filter(tb))
		}
		return q
	}
	status := condition{"status", "eq", "active"}
	creator := meta(condition{"score", "gte", "0"})
	creator.Creator = imagestest.Ptr("creator-7")
	unowned := meta(status)
	unowned.Creator = imagestest.Ptr("")
	names := meta(status)
	names.Filename = "IMG_"
	return map[string]listing.Query{
		"all":                    {},
		"creator":                {Creator: imagestest.Ptr("creator-7")},
		"no creator":             {Creator: imagestest.Ptr("")},
		"value":                  meta(status),
		"no value":               meta(condition{"status", "eq", "gone"}),
		"range of nothing":       meta(condition{"score", "gt", "1000"}),
		"range":                  meta(condition{"score", "gte", "500"}),
		"some":                   meta(condition{"status", "in", "active|flagged"}),
		"none of some":           meta(condition{"status", "in", "gone|lost"}),
		"value and range":        meta(status, condition{"score", "lt", "0"}),
		"creator and range":      creator,
		"value of none's images": unowned,
		"drafts":                 {Drafts: true},
		"drafts of a creator":    {Drafts: true, Creator: imagestest.Ptr("creator-7")},
		"all ids":                {Prefix: "a"},
		"ids":                    {Prefix: "ab/c"},
		"long ids":               {Prefix: strings.Repeat("a", 200)},
		"file names":             {Filename: "IMG_00001"},
		"all file names":         {Filename: "IMG_"},
		"ids and file names":     {Prefix: "a", Filename: "IMG_000"},
		"ids of a creator":       {Prefix: "a", Creator: imagestest.Ptr("creator-7")},
		"file names and a value": names,
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
		benchmarkLists(b, imagestest.Open(b, images.Config{}, filepath.Join(b.TempDir(), "calotype.db")), n)
	})
	b.Run("postgres", func(b *testing.B) {
		benchmarkLists(b, imagestest.Open(b, images.Config{}, sqldbtest.Postgres(b)), n)
	})
}

func benchmarkLists(b *testing.B, core *imagestest.Core, n int) {
	began := time.Now()
	fillImages(b, core.DB, n)
	b.Logf("%d images inserted in %v", n, time.Since(began).Round(time.Second))
	list := func(b *testing.B, q listing.Query) listing.Page {
		page, err := core.Lists.Images(b.Context(), account, q)
		if err != nil {
			b.Fatal(err)
		}
		return page
	}
	pages := func(name string, q listing.Query, looked int) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				list(b, q)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*looked), "ns/row")
		})
	}
	// A walk to page 1000, and to the end of what there is.
	last, found := listing.Query{Limit: n / 1000}, 0
	for i := range 1000 {
		page := list(b, last)
		if found += len(page.Images); i < 999 {
			last.Token = page.Next
		} else if found != n || page.Next != "" {
			b.Fatalf("a walk finds %d images", found)
		}
	}
	limit := n / 1000
	names := listing.Query{Limit: limit, Filename: "IMG_", Ascending: true}
	for range 999 {
		names.Token = list(b, names).Next
	}
	pages("file_names_page=1000", names, limit)
	ids := listing.Query{Limit: limit, Prefix: "a", Ascending: true} // of which there are n/32
	for range 29 {
		ids.Token = list(b, ids).Next
	}
	pages("ids_page=30", ids, limit)
	pages("page=1", listing.Query{Limit: limit}, limit)
	pages("page=1000", last, limit)
	for name, q := range queries(b) {
		q.Limit = limit
		looked := limit
		switch name {
		case "no creator", "no value", "drafts", "drafts of a creator", "long ids":
			looked = 1 // none at all: the time of an empty page
		case "range of nothing", "none of some", "value and range", "ids of a creator",
			"ids and file names":
			looked = 20_000
		case "value of none's images":
			looked = 20_000
		}
		pages(strings.ReplaceAll(name, " ", "_"), q, looked)
	}
}
