package internal

import (
	"os"
	"path"
	"regexp"
	"slices"
	"testing"
)

// owners are the packages that write a table. Others may read it.
var owners = map[string]string{
	"accounts": "accounts", "installation": "accounts", "tokens": "accounts", "batch_tokens": "accounts",
	"signing_keys": "accounts",

	"webhooks": "webhooks", "notification_policies": "webhooks", "notification_targets": "webhooks",
	"events": "webhooks", "deliveries": "webhooks", "delivery_attempts": "webhooks",

	"receipt_keys": "receipts", "blocked": "lookalikes", "found_qualities": "qualities",
	"purges": "purges", "purge_receivers": "purges",
	"partials": "partials", "parts": "partials", "partial_bytes": "partials",

	"images": "images", "image_meta": "images", "variants": "images", "tombstones": "images",
	"erasures": "images", "creator_fences": "images",
}

// readers have SQL that reads, but no database/sql.
var readers = []string{"internal/listing"}

var (
	comment  = regexp.MustCompile(`(?m)//.*$`)
	sqlText  = regexp.MustCompile("`\\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM)\\s|sqldb\\.Exists\\(")
	sqlWrite = regexp.MustCompile(`\b(?:INSERT INTO|UPDATE|DELETE FROM)\s+([a-z_]+)\b`)
	rawTx    = regexp.MustCompile(`\.(Tx|RetryTx)\(|\b[dD][bB]\.Exec\(|\*sqldb\.Tx\b`)
	composed = regexp.MustCompile("(INSERT INTO|UPDATE|DELETE FROM) `\\s*\\+")
	setUsage = regexp.MustCompile(`SET\s+(used_|kept_bytes)`)
)

// TestSQL: SQL stands in the core and its readers only, and each table has one package that writes it.
func TestSQL(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	for name, text := range coreSources(t) {
		pkg := path.Base(path.Dir(name))
		core := slices.Contains(reserved["database/sql"], path.Dir(name))
		reader := slices.Contains(readers, path.Dir(name))
		if !core && !reader && sqlText.MatchString(text) {
			t.Errorf("%s has SQL, which only %v and %v may have", name, reserved["database/sql"], readers)
		}
		if !core && !reader || pkg == "sqldb" {
			continue
		}
		for _, m := range sqlWrite.FindAllStringSubmatch(text, -1) {
			table := m[1]
			if table == "or" || owners[table] == pkg {
				found[table] = true
				continue
			}
			t.Errorf("%s writes the table %s of internal/%s", name, table, owners[table])
		}
		// Change.DeleteRows deletes an account's rows in the tables that each package lists; see its callers.
		if composed.MatchString(text) && name != "internal/accounts/delete.go" && name != "internal/images/deletion.go" {
			t.Errorf("%s composes the name of a table that it writes: this test cannot see it", name)
		}
	}
	for table := range owners {
		if !found[table] {
			t.Errorf("no package writes the table %s: this test looks for the wrong thing", table)
		}
	}
}

// TestOneFileHasTransactions: a transaction that is no Change forgets what its commit owes.
func TestOneFileHasTransactions(t *testing.T) {
	t.Parallel()
	const door = "internal/accounts/change.go"
	sources := coreSources(t)
	if !rawTx.MatchString(sources[door]) {
		t.Errorf("%s has no transaction: this test looks for the wrong thing", door)
	}
	for name, text := range sources {
		if path.Dir(name) == "internal/sqldb" {
			continue
		}
		if found := rawTx.FindAllString(text, -1); name != door && len(found) > 0 {
			t.Errorf("%s has %q; transactions go through Change and ChangeInReserve", name, found)
		}
		// These charge an account for others; only the Change does.
		if name != "internal/accounts/usage.go" && name != "internal/accounts/kept.go" && setUsage.MatchString(text) {
			t.Errorf("%s changes what an account uses by itself: call Charge, Release or CountKept", name)
		}
	}
}

// coreSources returns the Go files that are no tests, by their path in the module, without comments.
func coreSources(t *testing.T) map[string]string {
	t.Helper()
	files, err := readFiles("..")
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]string{}
	for _, f := range files {
		if slices.Contains(support, path.Dir(f.path)) || path.Dir(f.path) == "bench" {
			continue
		}
		text, err := os.ReadFile(path.Join("..", f.path))
		if err != nil {
			t.Fatal(err)
		}
		sources[f.path] = comment.ReplaceAllString(string(text), "")
	}
	return sources
}
