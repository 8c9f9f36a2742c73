package listing_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/listing"
	"calotype/internal/sqldb"
	"calotype/internal/sqldb/sqldbtest"
)

// TestListsAreIndexed asks both engines how they would find pages among many images: by an index
// that is in the order of the list, without sorting the images of an account or reading them all.
func TestListsAreIndexed(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: plans lists of many images")
	}
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		core := imagestest.Open(t, images.Config{}, dsn)
		fillImages(t, core.DB, 20_000)
		addDrafts(t, core.DB)
		if err := analyze(core.DB, t); err != nil {
			t.Fatal(err)
		}
		page, err := core.Lists.Images(t.Context(), account, listing.Query{Limit: 3000})
		if err != nil {
			t.Fatal(err)
		}
		postgres := strings.HasPrefix(dsn, "postgres")
		looksAreIndexed(t, core, postgres, &page.Images[2999])
		for name, q := range queries(t) {
			behind := &page.Images[2999]
			if q.Prefix != "" || q.Filename != "" { // in another order
				behind = lastOf(t, core, q)
			}
			for _, after := range []*images.Image{nil, behind} {
				for _, ascending := range []bool{false, true} {
					q.Limit, q.Ascending = 100, ascending
					for _, s := range listing.Statements(account, q, after) {
						plan := sqldbtest.Explain(t, core.DB, postgres, s.SQL, s.Args...)
						if problem := badPlan(plan); problem != "" {
							t.Errorf("%s: %s in\n%s\n%s", name, problem, s.SQL, plan)
						}
					}
				}
			}
		}
	})
}

// addDrafts adds a draft for each image. To a planner that knows of no drafts, the index of their expiry and a sort cost
// as much as the index in the order of the list, so the test does not plan lists of a table without drafts.
func addDrafts(t *testing.T, db *sqldb.DB) {
	t.Helper()
	err := db.Tx(t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`INSERT INTO images (key, account, id, id_sha256, custom, creator, meta, filename,
				require_signed, created, uploaded, draft, open, ticket, expires, refusals, last_kind, last_message)
			SELECT 'd' || key, account, 'd' || id, 'd' || id_sha256, 0, creator, meta, '',
				0, created, uploaded, 1, 1, 'd' || key, created, 0, '', '' FROM images WHERE draft = 0`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// lastOf returns the last of the first images of a list, nil if the list is empty.
func lastOf(t *testing.T, core *imagestest.Core, q listing.Query) *images.Image {
	t.Helper()
	q.Limit = 10
	page, err := core.Lists.Images(t.Context(), account, q)
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Images) == 0 {
		return nil
	}
	return &page.Images[len(page.Images)-1]
}

// analyze does the work of autovacuum on PostgreSQL's tables, so that the planner has statistics and can use
// index-only scans. SQLite does not need it: there it would only show that the test has few values.
func analyze(db *sqldb.DB, t *testing.T) error {
	var version string
	if db.QueryRow(t.Context(), `SELECT sqlite_version()`).Scan(&version) == nil {
		return nil
	}
	for range 100 {
		// As a query: Exec would open a transaction, in which there is no VACUUM.
		rows, err := db.Query(t.Context(), `VACUUM (ANALYZE) images, image_meta`)
		if err != nil {
			return err
		}
		rows.Next()
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		// While another transaction has an older snapshot, as an ANALYZE by autovacuum has, VACUUM does not mark the
		// pages of newer rows visible to all. Then the planner expects that an index-only scan reads the table.
		var hidden int
		err = db.QueryRow(t.Context(), `SELECT SUM(relpages - relallvisible) FROM pg_class
			WHERE oid IN ('images'::regclass, 'image_meta'::regclass)`).Scan(&hidden)
		if err != nil || hidden == 0 {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return errors.New("VACUUM did not mark all pages of images and image_meta visible to all in 100 attempts")
}

// Sorting what a page found is fine: it stands outside of the limit.
var (
	scansTable = regexp.MustCompile(`(?m)Seq Scan on (images|image_meta)|` +
		`^SCAN (m|f|c|images|image_meta)\b`)
	sortsWithin = regexp.MustCompile(`(?s)Limit.*Sort|` +
		`(CO-ROUTINE|MATERIALIZE) walk.*USE TEMP B-TREE.*SCAN walk`)
)

// badPlan returns what is wrong with a plan, "" for nothing.
func badPlan(plan string) string {
	if scansTable.MatchString(plan) {
		return "a table is read from end to end"
	}
	if sortsWithin.MatchString(plan) {
		return "rows are sorted before they are limited"
	}
	if strings.Contains(plan, "Hash Join") || strings.Contains(plan, "AUTOMATIC") {
		return "a table is read to join it"
	}
	return ""
}
