package webhooks_test

import (
	"strings"
	"testing"

	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb/sqldbtest"
	"calotype/internal/webhooks"
)

// TestAClaimLooksAtFew asks both engines how they would claim some deliveries among many that are
// due: by an index to the first of them, and by the primary key to each. The results of these are recorded by the
// primary key too.
func TestAClaimLooksAtFew(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		w := imagestest.Webhook(t, core)
		_, err := core.DB.Exec(t.Context(), `WITH RECURSIVE n(i) AS
			(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
			INSERT INTO deliveries (event, webhook, account, created, policy, policy_name, due, attempt,
				failures, outcome) SELECT 'evt_' || i, CAST(?1 AS TEXT), CAST(?2 AS TEXT), i, '', '', i,
				0, 0, 'pending' FROM n`, w.ID, account)
		if err != nil {
			t.Fatal(err)
		}
		var version string
		postgres := core.DB.QueryRow(t.Context(), `SELECT sqlite_version()`).Scan(&version) != nil
		if postgres {
			if _, err := core.DB.Exec(t.Context(), `ANALYZE deliveries`); err != nil {
				t.Fatal(err)
			}
		}
		plan := sqldbtest.Explain(t, core.DB, postgres, webhooks.ClaimSome,
			w.ID, 100_000, 200_000, 32)
		// SQLite names the primary key so, PostgreSQL otherwise.
		key := "sqlite_autoindex_deliveries_1 (event=? AND webhook=?)"
		if postgres {
			key = "deliveries_pkey"
		}
		if strings.Count(plan, "deliveries_due") != 1 || !strings.Contains(plan, key) ||
			strings.Contains(plan, "Seq Scan on deliveries") || strings.Contains(plan, "Sort") ||
			strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("a claim looks at more than it takes:\n%s", plan)
		}
		plan = sqldbtest.Explain(t, core.DB, postgres, webhooks.RecordSome(3),
			w.ID, 1, 200_000, account, "evt_1", "evt_2", "evt_3")
		if !strings.Contains(plan, key) || strings.Contains(plan, "Seq Scan on deliveries") {
			t.Errorf("recording results looks at more than these:\n%s", plan)
		}
	})
}
