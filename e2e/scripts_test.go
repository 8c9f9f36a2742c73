package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3" // what is behind the API's back is read from its file
	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs testdata/script/*.txtar, each with the real curl against a new server.
//
// The scripts find it in $URL, with $ACCOUNT, $TOKEN and the account's $HASH; photo.jpg is a
// picture to upload, other.jpg another one. Beside testscript's commands there are
//
//	field NAME path       sets NAME to a field of the JSON that the last command printed
//	is path text          compares a field of it
//	no path               fails if it has that field
//	expiry NAME duration  sets NAME to the time after duration, as in RFC 3339, and NAME_MS to the
//	                      same as answers write it
//	format NAME time layout    sets NAME to the time in another layout of Go's
//	between from time to       fails if the time is not between the two, which are whole seconds
//	sign NAME path [duration]  sets NAME to the path signed with the account's default key
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			testscript.Run(t, testscript.Params{
				Files: []string{file}, RequireUniqueNames: true,
				Setup: func(env *testscript.Env) error { return s.scriptSetup(t, env) },
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"field": scriptField, "is": scriptIs, "no": scriptNo,
					"expiry": scriptExpiry, "format": scriptFormat, "between": scriptBetween,
					"sign": s.scriptSign,
				},
			})
		})
	}
}

// scriptSetup gives a script its variables and pictures.
func (s *server) scriptSetup(t *testing.T, env *testscript.Env) error {
	env.Setenv("URL", s.url)
	env.Setenv("ACCOUNT", accountID)
	env.Setenv("TOKEN", token)
	env.Setenv("HASH", accountHashOf(accountID))
	for seed, name := range []string{"photo.jpg", "other.jpg"} {
		picture := photo(t, 320, 240, 1000+seed)
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), picture, 0o600); err != nil {
			return err
		}
		sum := sha256.Sum256(picture)
		prefix := strings.ToUpper(strings.TrimSuffix(name, ".jpg"))
		env.Setenv(prefix+"_SHA256", hex.EncodeToString(sum[:]))
		env.Setenv(prefix+"_SIZE", fmt.Sprint(len(picture)))
	}
	return nil
}

// accountHashOf returns the hash that an account has when none is given.
func accountHashOf(id string) string {
	sum := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:])[:22]
}

// scriptValue returns a field of the JSON in stdout: result.images.0.id.
func scriptValue(ts *testscript.TestScript, path string) (value any, ok bool) {
	decoder := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		ts.Fatalf("stdout is no JSON: %v", err)
	}
	for step := range strings.SplitSeq(path, ".") {
		switch at := value.(type) {
		case map[string]any:
			value, ok = at[step]
		case []any:
			var n int
			if _, err := fmt.Sscan(step, &n); err != nil {
				ts.Fatalf("%s: %q is no index", path, step)
			}
			if ok = n < len(at); ok {
				value = at[n]
			}
		default:
			ok = false
		}
		if !ok {
			return nil, false
		}
	}
	return value, true
}

// scriptText is scriptValue as text: a string as it is, anything else as compact JSON.
func scriptText(ts *testscript.TestScript, path string) string {
	value, ok := scriptValue(ts, path)
	if !ok {
		ts.Fatalf("there is no field %s", path)
	}
	if text, ok := value.(string); ok {
		return text
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	ts.Check(encoder.Encode(value))
	return strings.TrimSpace(b.String())
}

func scriptField(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: field NAME path")
	}
	ts.Setenv(args[0], scriptText(ts, args[1]))
}

func scriptIs(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: is path text")
	}
	if got := scriptText(ts, args[0]); (got == args[1]) == neg {
		ts.Fatalf("%s is %q", args[0], got)
	}
}

func scriptNo(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: no path")
	}
	if value, ok := scriptValue(ts, args[0]); ok {
		ts.Fatalf("%s is there: %v", args[0], value)
	}
}

func scriptExpiry(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: expiry NAME duration")
	}
	after, err := time.ParseDuration(args[1])
	ts.Check(err)
	at := time.Now().Add(after).UTC()
	ts.Setenv(args[0], at.Format(time.RFC3339))
	ts.Setenv(args[0]+"_MS", at.Truncate(time.Second).Format("2006-01-02T15:04:05.000Z"))
}

func scriptFormat(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: format NAME time layout")
	}
	at, err := time.Parse(time.RFC3339, args[1])
	ts.Check(err)
	ts.Setenv(args[0], at.Format(args[2]))
}

func scriptBetween(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: between from time to")
	}
	var times [3]time.Time
	for i, arg := range args {
		var err error
		times[i], err = time.Parse(time.RFC3339, arg)
		ts.Check(err)
	}
	if times[1].Before(times[0]) || times[1].After(times[2].Add(time.Second)) {
		ts.Fatalf("%s is not between %s and %s", args[1], args[0], args[2])
	}
}

func (s *server) scriptSign(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: sign NAME path [duration]")
	}
	query := ""
	if len(args) == 3 {
		after, err := time.ParseDuration(args[2])
		ts.Check(err)
		query = fmt.Sprintf("exp=%d", time.Now().Add(after).Unix())
	}
	key, err := s.signingKey()
	ts.Check(err)
	ts.Setenv(args[0], signed(key, args[1], query))
}

// signed returns path?query with its signature, as Cloudflare documents it: HMAC-SHA256 in hex,
// keyed with the text of the key.
func signed(key, path, query string) string {
	if query != "" {
		path += "?" + query
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(path))
	separator := "?"
	if query != "" {
		separator = "&"
	}
	return path + separator + "sig=" + hex.EncodeToString(mac.Sum(nil))
}

// signingKey reads the account's key from the server's database.
func (s *server) signingKey() (value string, err error) {
	err = s.behind(func(db *sql.DB) error {
		return db.QueryRow(`SELECT value FROM signing_keys WHERE account = ? AND name = 'default'`,
			accountID).Scan(&value)
	})
	return value, err
}

// behind runs fn on the server's SQLite file, behind its back.
func (s *server) behind(fn func(*sql.DB) error) error {
	path := filepath.Join(s.data, "calotype.db")
	db, err := sql.Open("sqlite3", "file:"+path+"?mode=rw&_busy_timeout=20000&_txlock=immediate")
	if err != nil {
		return err
	}
	defer db.Close()
	return fn(db)
}
