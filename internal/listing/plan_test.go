package listing_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

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
	// As a query: Exec would open a transaction, in which there is no VACUUM.
	rows, err := db.Query(t.Context(), `VACUUM (ANALYZE) images, image_meta`)
	if err != nil {
		return err
	}
	rows.Next()
	return errors.Join(rows.Err(), rows.Close())
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
