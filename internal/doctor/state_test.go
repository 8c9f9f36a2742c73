package doctor

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/blob"
	"calotype/internal/images"
	"calotype/internal/sqldb"
)

// state runs the checks of the state, and returns the findings by their subject.
func (d *doctor) state(t *testing.T) map[string]Finding {
	t.Helper()
	d.findings = nil
	d.checkState(t.Context())
	by := map[string]Finding{}
	for _, f := range d.findings {
		by[f.Subject] = f
	}
	return by
}

// startedOn returns a doctor whose state is that of a server that has started.
func startedOn(t *testing.T) *doctor {
	t.Helper()
	d, _ := testDoctor(t, nil)
	db, err := sqldb.Open(t.Context(), d.dsn())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := images.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.Open(t.Context(), d.Blobs)
	if err != nil {
		t.Fatal(err)
	}
	core := images.New(images.Config{DB: db, Blobs: blobs, Dir: d.Data, DiskReserve: 1})
	defer core.Close()
	if _, _, err := core.Accounts.SetUp(t.Context(), accounts.Setup{}); err != nil {
		t.Fatal(err)
	}
	if err := core.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestState(t *testing.T) {
	t.Parallel()
	d := startedOn(t)
	for subject, part := range map[string]string{
		"database": "SQLite 3.", "schema": "", "integrity": "no page", "store": "1 objects",
		"installation": "belong to the installation", "account": "",
	} {
		want(t, d.state(t)[subject], OK, part)
	}
	d.Account.Hash = strings.Repeat("h", 22)
	want(t, d.state(t)["account"], Failed, "-account-hash cannot change it")
	d.Account.Hash, d.Account.ID = "", strings.Repeat("a", 32)
	want(t, d.state(t)["account"], OK, "the next start creates it")
	d.Account.ID = ""
	other := startedOn(t)
	d.Blobs = other.Blobs
	want(t, d.state(t)["installation"], Failed, "belongs to the installation")
	d.Blobs = t.TempDir()
	want(t, d.state(t)["installation"], Failed, "not the one this database was used with")
	d.Blobs = filepath.Join(t.TempDir(), "none")
	want(t, d.state(t)["installation"], Failed, "does not exist")
	other.SQLite = filepath.Join(t.TempDir(), "calotype.db")
	want(t, other.state(t)["database"], OK, "does not exist")
	want(t, other.state(t)["installation"], Failed, "the database is new")
	d.Blobs = "s3://key:canary-secret@bucket"
	for _, f := range d.state(t) {
		if strings.Contains(fmt.Sprint(f), "canary") {
			t.Errorf("%+v", f)
		}
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	d := startedOn(t)
	db, err := sqldb.Open(t.Context(), d.dsn())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	got := d.state(t)
	want(t, got["schema"], Failed, "schema 9999")
	want(t, got["installation"], Warning, "was not checked")
	if err := os.WriteFile(d.dsn(), bytes.Repeat([]byte("damage"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, d.state(t)["database"], Failed, "not a database")
}

// TestReading: what was read while a server started is read again, or not judged.
func TestReading(t *testing.T) {
	t.Parallel()
	for starts, result := range map[int]string{0: OK, 1: OK, 2: OK, 3: Warning} {
		d := startedOn(t)
		db, err := sqldb.OpenToRead(t.Context(), d.dsn())
		if err != nil {
			t.Fatal(err)
		}
		s := state{db: db}
		reads := 0
		got := d.reading(t.Context(), &s, func(context.Context, *sqldb.DB) []Finding {
			if reads++; reads > starts {
				return []Finding{ok("read")}
			}
			server, err := sqldb.Open(t.Context(), d.dsn())
			if err == nil {
				_, err = server.Exec(t.Context(), fmt.Sprintf(`CREATE TABLE t%d (n INTEGER)`, reads))
			}
			if err == nil {
				err = server.Close()
			}
			if err != nil {
				t.Error(err)
			}
			time.Sleep(20 * time.Millisecond) // the clock of the file system is coarse
			return []Finding{failed("restore a backup", "torn")}
		})
		if len(got) != 1 || got[0].Result != result || strings.Contains(got[0].Found, "torn") {
			t.Errorf("%d starts: %+v", starts, got)
		}
		s.db.Close()
	}
}

// TestSecrets: errors and texts of other programs that quote a secret are hidden, the words of this program are
// not, even if a secret is one of them.
func TestSecrets(t *testing.T) {
	t.Parallel()
	d, out := testDoctor(t, func(c *Config) {
		c.DB = "postgres://me:can%40ary%2Fpass@host/x?sslpassword=canary-ssl"
		c.Blobs = "s3://bucket?endpoint=https://me:canary-blob@host"
		c.WebhookURL = "https://hooks.example.com/canary-hook"
		c.Account.Token, c.Secrets = "data", []string{"me"}
	})
	for text, shown := range map[string]bool{
		"connecting to the server":                        true,
		"wrong password can@ary/pass":                     false,
		"wrong URL postgres://me:can%40ary%2Fpass@host":   false,
		"bad key canary-ssl":                              false,
		"bad endpoint canary-blob":                        false,
		"Post https://hooks.example.com/canary-hook":      false,
		"no route /canary-hook":                           false,
		`the file "data" is absent`:                       false, // the whole text, not the word only
		"no user me":                                      false,
		"some time":                                       true, // a short secret is a part of many words
		"proxy http://any:canary-other@proxy.example.com": true,
	} {
		d.findings = nil
		for _, arg := range []any{errors.New(text), foreign(text)} {
			d.check(t.Context(), "data folder", func(context.Context) []Finding {
				return []Finding{failed("name the data folder", "the data folder %s: %v", d.Data, arg)}
			})
		}
		for _, f := range d.findings {
			if strings.Contains(f.Found, hidden) == shown || strings.Contains(f.Found, "canary") ||
				!strings.Contains(f.Found, "the data folder "+d.Data+": ") || f.Do != "name the data folder" {
				t.Errorf("%q: %+v", text, f)
			}
		}
	}
	if strings.Contains(out.String(), "canary") || strings.Contains(out.String(), "can@ary") {
		t.Errorf("printed %s", out)
	}
	for _, db := range []string{"postgres://me:canary%zz@host/x", "postgres://me:can@ary@host:port/x"} {
		if !secretsOf(Config{DB: db}).quotedBy("canary%zz can@ary") {
			t.Errorf("the password of %s is not known", db)
		}
	}
}

// refusePassword speaks the part of PostgreSQL's protocol until the refusal of a password, which it quotes.
func refusePassword(conn net.Conn) error {
	defer conn.Close()
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil { // of the startup message
		return err
	}
	if _, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(size[:]))-4); err != nil {
		return err
	}
	if _, err := fmt.Fprint(conn, "R\x00\x00\x00\x08\x00\x00\x00\x03"); err != nil { // in plain text
		return err
	}
	var head [5]byte // of the message with the password
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	password := make([]byte, binary.BigEndian.Uint32(head[1:])-5)
	if _, err := io.ReadFull(conn, password); err != nil {
		return err
	}
	text := "SFATAL\x00C28P01\x00Mpassword authentication failed, not " + string(password) + "\x00\x00"
	_, err := fmt.Fprintf(conn, "E\x00\x00\x00%c%s", len(text)+4, text)
	return err
}

// TestWrongPassword: neither a wrong password nor a server that quotes it shows it.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	const canary = "canary-password-8F3K"
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() { // until the listener is closed
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go refusePassword(conn)
		}
	}()
	d, out := testDoctor(t, func(c *Config) {
		c.DB = "postgres://me:" + canary + "@" + server.Addr().String() + "/x?sslmode=disable"
	})
	began := time.Now()
	want(t, d.state(t)["database"], Failed, hidden+" (SQLSTATE 28P01)")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the refusal took %v", took)
	}
	d.DB = "mysql://me:" + canary + "@host/x"
	want(t, d.state(t)["database"], Failed, "-db is not valid")
	d.DB = "postgres://me:" + canary + "@host:port/x"
	want(t, d.state(t)["database"], Failed, "not valid")
	if strings.Contains(out.String(), canary) {
		t.Errorf("printed %s", out)
	}
}
