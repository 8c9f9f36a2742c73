package imagestest

import (
	"testing"

	"calotype/internal/images"
)

// CheckUsage compares the usage that each account's row keeps with a recount of its images.
func CheckUsage(t testing.TB, core *images.Service) {
	t.Helper()
	accounts, err := core.Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range accounts {
		var counted images.Usage
		err := core.DB.QueryRow(t.Context(), `SELECT
			COALESCE(SUM(CASE WHEN draft = 0 THEN 1 ELSE 0 END), 0),
			COALESCE(SUM(CASE WHEN draft = 0 THEN size ELSE open * reserved END), 0),
			COALESCE(SUM(CASE WHEN draft = 1 THEN open ELSE 0 END), 0)
			FROM images WHERE account = ?1`, a.ID).
			Scan(&counted.Images, &counted.Bytes, &counted.Drafts)
		if err != nil {
			t.Fatal(err)
		}
		if a.Used != counted {
			t.Errorf("the account %s is said to hold %+v, and holds %+v", a.ID, a.Used, counted)
		}
	}
}
