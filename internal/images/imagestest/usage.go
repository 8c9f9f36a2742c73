package imagestest

import (
	"testing"

	"calotype/internal/accounts"
)

// CheckUsage fails the test unless the usage in each account's row equals a recount of the account's images and kept
// records. The sizes of the records are constants here too, independent of package accounts.
func CheckUsage(t testing.TB, core *Core) {
	t.Helper()
	all, err := core.Accounts.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		var counted accounts.Usage
		err := core.DB.QueryRow(t.Context(), `SELECT
			COALESCE(SUM(CASE WHEN draft = 0 THEN 1 ELSE 0 END), 0),
			COALESCE(SUM(CASE WHEN draft = 0 THEN size ELSE open * reserved END), 0),
			COALESCE(SUM(CASE WHEN draft = 1 THEN open ELSE 0 END), 0)
			FROM images WHERE account = ?1`, a.ID).
			Scan(&counted.Images, &counted.Bytes, &counted.Drafts)
		if err == nil {
			err = core.DB.QueryRow(t.Context(), `SELECT
				(SELECT COALESCE(SUM(1024 + octet_length(facts)), 0) FROM events WHERE account = ?1)
				+ (SELECT 768 * count(*) FROM deliveries WHERE account = ?1)
				+ (SELECT COALESCE(SUM(512 + octet_length(error) + octet_length(answer)), 0)
					FROM delivery_attempts WHERE account = ?1)
				+ (SELECT 512 * count(*) FROM tombstones WHERE account = ?1)
				+ (SELECT 512 * count(*) FROM erasures WHERE account = ?1)`, a.ID).Scan(&counted.Kept)
		}
		if err != nil {
			t.Fatal(err)
		}
		if a.Used != counted {
			t.Errorf("the account %s is said to hold %+v, and holds %+v", a.ID, a.Used, counted)
		}
	}
}
