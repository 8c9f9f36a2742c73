package metrics

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"calotype/internal/accounts"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb/sqldbtest"
)

// grow gives an account images and bytes.
func grow(t *testing.T, core *imagestest.Core, account string, images int64) {
	t.Helper()
	err := core.Accounts.Change(t.Context(), func(tx *accounts.Change) error {
		tx.Charge(account, accounts.Charge{Images: images, Bytes: 100 * images, Drafts: 1})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// opened returns Metrics with the figures of accounts on a database with a first account without images.
func opened(t *testing.T, dsn string) (*Metrics, *imagestest.Core) {
	t.Helper()
	return New(), imagestest.Open(t, images.Config{DB: sqldbtest.Open(t, dsn)}, dsn)
}

// TestAccountFigures: the largest accounts have separate figures, the sum of all others is that of other, and
// uploads stay counted under one label.
func TestAccountFigures(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		m, core := opened(t, dsn)
		ids := imagestest.Accounts(t, core, 4)
		for i, id := range ids {
			grow(t, core, id, int64(10*(i+1)))
		}
		m.CountUpload(ids[3], "accepted") // before the figures begin
		if err := m.WatchAccounts(t.Context(), core.Accounts, 2); err != nil {
			t.Fatal(err)
		}
		m.CountUpload(ids[3], "accepted")
		m.CountUpload(ids[3], "undecodable")
		m.CountUpload(ids[0], "accepted")
		m.CountUpload(ids[1], "busy")
		m.CountUpload("", "ticket-unknown")
		want(t, m, "calotype_accounts 5",
			`calotype_account_images{account="`+ids[3]+`"} 40`, `calotype_account_bytes{account="`+ids[3]+`"} 4000`,
			`calotype_account_images{account="`+ids[2]+`"} 30`, `calotype_account_drafts{account="`+ids[2]+`"} 1`,
			`calotype_account_images{account="other"} 30`, `calotype_account_bytes{account="other"} 3000`,
			`calotype_account_drafts{account="other"} 2`,
			`calotype_account_uploads_total{account="`+ids[3]+`",outcome="accepted"} 1`,
			`calotype_account_uploads_total{account="`+ids[3]+`",outcome="undecodable"} 1`,
			`calotype_account_uploads_total{account="other",outcome="accepted"} 1`,
			`calotype_account_uploads_total{account="other",outcome="busy"} 1`)
		text := ask(m, "GET", Path).Body.String()
		if strings.Contains(text, ids[0]) || strings.Contains(text, ids[1]) || strings.Contains(text, "ticket-unknown") {
			t.Errorf("too much is shown:\n%s", text)
		}
		if problems, err := testutil.GatherAndLint(m.registry); err != nil || len(problems) > 0 {
			t.Errorf("%v, %v", problems, err)
		}
	})
}

// TestAccountLabelsAreBounded: figures are read once a minute, and an account that became one of the largest gets a
// label while there are fewer than twice as many labels as accounts with figures; no counter ever decreases.
func TestAccountLabelsAreBounded(t *testing.T) {
	t.Parallel()
	m, core := opened(t, filepath.Join(t.TempDir(), "calotype.db"))
	ids := imagestest.Accounts(t, core, 6)
	if err := m.WatchAccounts(t.Context(), core.Accounts, 1); err != nil {
		t.Fatal(err)
	}
	b := m.accounts.Load()
	for i, id := range ids {
		grow(t, core, id, int64(10*(i+1)))
		want(t, m, fmt.Sprintf(`calotype_account_images{account="other"} %d`, 10*(i*(i-1)/2)))
		m.CountUpload(id, "accepted") // as one of the others, with the figures of a minute ago
		b.read = time.Now().Add(-2 * accountsEvery)
		want(t, m, `calotype_account_images{account="`+id+`"} `+fmt.Sprint(10*(i+1)))
		m.CountUpload(id, "accepted")
	}
	want(t, m, `calotype_account_uploads_total{account="`+ids[0]+`",outcome="accepted"} 1`,
		`calotype_account_uploads_total{account="`+ids[1]+`",outcome="accepted"} 1`,
		`calotype_account_uploads_total{account="other",outcome="accepted"} 10`)
	if n := strings.Count(ask(m, "GET", Path).Body.String(), "\ncalotype_account_uploads_total{"); n != 3 {
		t.Errorf("%d accounts have a label, with other", n)
	}
}

// TestAccountsAway: without the database the uploads are still shown, old figures are not. A start without it fails.
func TestAccountsAway(t *testing.T) {
	t.Parallel()
	m, core := opened(t, filepath.Join(t.TempDir(), "calotype.db"))
	if err := m.WatchAccounts(t.Context(), core.Accounts, 1); err != nil {
		t.Fatal(err)
	}
	if err := core.DB.Close(); err != nil {
		t.Fatal(err)
	}
	m.accounts.Load().read = time.Now().Add(-2 * accountsEvery)
	want(t, m, `calotype_account_uploads_total{account="other",outcome="accepted"} 0`)
	if text := ask(m, "GET", Path).Body.String(); strings.Contains(text, "calotype_account_images{") {
		t.Error("figures are shown although they were not read")
	}
	if err := New().WatchAccounts(t.Context(), core.Accounts, 1); err == nil {
		t.Error("a start without a database succeeds")
	}
	off := New()
	if err := off.WatchAccounts(t.Context(), core.Accounts, 0); err != nil || off.accounts.Load() != nil {
		t.Errorf("without -metrics-accounts: %v", err)
	}
	off.CountUpload("a", "accepted")
	(*Metrics)(nil).CountUpload("a", "accepted")
}
