package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// audience and metadata are those of the receipts in these tests. The names and values need all that a canonical form
// has to get right.
const (
	audience = "shop & <co>"
	metadata = `{"who": "Zo\u00eb \"Z\" <a/b>\\", "order": 17, "10": true, "9": null, "a": {"z": [], "b": [3, "x", {"y": -1, "c": ""}]}, "line": "1\u20282\\u2028\u2029", "none": {}, "first": {"0": "x"}}`
)

// receiptOf posts a picture to a new one-time URL with fields, and returns the draft's id and the receipt.
func (s *server) receiptOf(seed int, fields ...string) (id, receipt string) {
	s.t.Helper()
	u := s.createUploadURL(fields...)
	a := post(s.t, u.UploadURL, "a.jpg", photo(s.t, 64, 48, seed))
	var result struct{ ID, Receipt string }
	if err := json.Unmarshal(a.envelope(s.t).Result, &result); err != nil || a.status != http.StatusOK ||
		result.ID != u.ID || strings.Count(result.Receipt, ".") != 2 {
		s.t.Fatalf("status %d: %s", a.status, a.body)
	}
	return u.ID, result.Receipt
}

// A receiptCase is a receipt with what a backend expects of it; see testdata/receipts.
type receiptCase struct {
	name     string
	Receipt  string          `json:"receipt"`
	Metadata json.RawMessage `json:"metadata"` // null for none
	Expected map[string]any  `json:"expected"`
}

// TestReceiptVerifiers runs the verifiers of the guide without the server, with keys from a file, on receipts of the
// server and on forged ones.
func TestReceiptVerifiers(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	policy := `{"audience":"` + audience + `"}`
	draft, receipt := s.receiptOf(1, "metadata", metadata, "policy", policy)
	bare, plain := s.receiptOf(2)
	_, twin := s.receiptOf(3, "metadata", metadata, "policy", policy)
	keys := do(t, "GET", s.url+"/.well-known/jwks.json", nil, "Origin", "https://app.example")
	if keys.status != http.StatusOK || keys.header.Get("Cache-Control") != "public, max-age=3600" ||
		keys.header.Get("Access-Control-Allow-Origin") != "*" ||
		keys.header.Get("Content-Type") != "application/jwk-set+json" || strings.Contains(string(keys.body), `"d"`) {
		t.Errorf("the keys: %d %v %s", keys.status, keys.header, keys.body)
	}
	if a := do(t, "POST", s.url+"/.well-known/jwks.json", nil); a.status != 405 || a.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %v", a.status, a.header)
	}
	if head := do(t, "HEAD", s.url+"/.well-known/jwks.json", nil); head.status != 200 || len(head.body) != 0 {
		t.Errorf("HEAD: %d %s", head.status, head.body)
	}
	var seed string
	if err := s.behind(func(db *sql.DB) error {
		return db.QueryRow(`SELECT seed FROM receipt_keys`).Scan(&seed)
	}); err != nil {
		t.Fatal(err)
	}
	hash := s.accountHash()
	s.stop() // from here on there is no way to the server

	f := newForger(t, receipt, seed)
	expected := map[string]any{"iss": s.url, "aud": audience, "account": hash, "draft": draft}
	cases := []receiptCase{
		{"the receipt", receipt, json.RawMessage(metadata), expected},
		{"the receipt of a bare draft", plain, nil, map[string]any{"iss": s.url, "account": hash, "draft": bare}},
		{"the same claims, signed again", f.signed(f.claims), json.RawMessage(metadata), expected},
	}
	genuine := len(cases)
	for name, forged := range f.forgeries(twin) {
		cases = append(cases, receiptCase{name, forged, json.RawMessage(metadata), expected})
	}
	cases = append(cases,
		receiptCase{"wrong metadata", receipt, json.RawMessage(strings.Replace(metadata, "17", "18", 1)), expected},
		receiptCase{"metadata instead of none", plain, json.RawMessage(`{}`),
			map[string]any{"iss": s.url, "account": hash, "draft": bare}})
	for name, value := range map[string]any{"aud": "other", "draft": bare, "account": strings.Repeat("A", 22),
		"iss": "https://other.example", "sha256": strings.Repeat("0", 64)} {
		other := maps.Clone(expected)
		other[name] = value
		cases = append(cases, receiptCase{"another " + name + " expected", receipt, json.RawMessage(metadata), other})
	}
	if forged := len(cases) - genuine; forged < 25 {
		t.Errorf("only %d forged receipts", forged)
	}
	verifyAll(t, keys.body, cases, genuine)
}

// accountHash returns the hash in delivery URLs.
func (s *server) accountHash() string {
	s.t.Helper()
	u := s.createUploadURL()
	return strings.Split(u.UploadURL, "/")[4]
}

// A forger makes receipts that the server has not made: with its private key, or with another one.
type forger struct {
	t           *testing.T
	parts       []string // of the genuine receipt
	head        string   // its header, decoded
	kid         string
	claims      map[string]any
	real, other ed25519.PrivateKey
}

func newForger(t *testing.T, receipt, seed string) forger {
	t.Helper()
	f := forger{t: t, parts: strings.Split(receipt, ".")}
	raw, err := base64.RawURLEncoding.DecodeString(seed)
	if err != nil {
		t.Fatal(err)
	}
	f.real = ed25519.NewKeyFromSeed(raw)
	if _, f.other, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	head, err := base64.RawURLEncoding.DecodeString(f.parts[0])
	if err != nil {
		t.Fatal(err)
	}
	f.head = string(head)
	f.kid = regexp.MustCompile(`"kid":"([\w-]+)"`).FindStringSubmatch(f.head)[1]
	body, err := base64.RawURLEncoding.DecodeString(f.parts[1])
	if err != nil || json.Unmarshal(body, &f.claims) != nil {
		t.Fatalf("%s, %v", body, err)
	}
	return f
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// sign returns a receipt with a header and claims in JSON.
func (f forger) sign(by ed25519.PrivateKey, head, claims string) string {
	text := encode(head) + "." + encode(claims)
	return text + "." + encode(string(ed25519.Sign(by, []byte(text))))
}

// signed returns a receipt with claims that the server's key has signed.
func (f forger) signed(claims map[string]any) string { return f.sign(f.real, f.head, f.json(claims)) }

func (f forger) json(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

// with returns the claims with one changed.
func (f forger) with(name string, value any) map[string]any {
	changed := maps.Clone(f.claims)
	changed[name] = value
	if value == nil {
		delete(changed, name)
	}
	return changed
}

// forgeries returns forged receipts by their names. twin is another genuine receipt.
func (f forger) forgeries(twin string) map[string]string {
	all := f.forgedHeaders()
	now := time.Now().Unix()
	for name, value := range map[string]any{"aud": "other", "draft": "other", "account": "other", "iss": "other",
		"metadataSha256": strings.Repeat("0", 64)} {
		all["a genuine receipt of another "+name] = f.signed(f.with(name, value))
		all["a genuine receipt without "+name] = f.signed(f.with(name, nil))
	}
	all["expired"] = f.signed(f.with("exp", now-1))
	all["without exp"] = f.signed(f.with("exp", nil))
	head, claims, signature := f.parts[0], f.parts[1], f.parts[2]
	other := strings.Split(twin, ".")
	all["other bytes under the signature"] = head + "." + encode(f.json(f.with("sha256", strings.Repeat("0", 64)))) +
		"." + signature
	all["another size under the signature"] = head + "." + encode(f.json(f.with("bytes", 1))) + "." + signature
	all["the signature of another receipt"] = head + "." + claims + "." + other[2]
	all["the claims of another receipt"] = head + "." + other[1] + "." + signature
	all["truncated"] = strings.Join(f.parts, ".")[:len(strings.Join(f.parts, "."))-9]
	all["without a signature"] = head + "." + claims
	all["an empty signature"] = head + "." + claims + "."
	all["a fourth part"] = strings.Join(f.parts, ".") + "." + signature
	all["two signatures"] = head + "." + claims + "." + signature + other[2]
	all["empty"] = ""
	all["dots"] = ".."
	all["JSON"] = `{"payload":"` + claims + `","protected":"` + head + `","signature":"` + signature + `"}`
	return all
}

// forgedHeaders returns receipts whose header asks the verifier to trust something else.
func (f forger) forgedHeaders() map[string]string {
	claims := f.json(f.claims)
	jwk := f.json(jose.JSONWebKey{Key: f.other.Public(), KeyID: f.kid})
	header := func(more string) string { return `{"alg":"EdDSA","typ":"upload-receipt+jwt"` + more + `}` }
	all := map[string]string{
		"another key, under its kid":         f.sign(f.other, f.head, claims),
		"another key, under another kid":     f.sign(f.other, header(`,"kid":"other"`), claims),
		"another key, without a kid":         f.sign(f.other, header(""), claims),
		"another key, embedded":              f.sign(f.other, header(`,"kid":"`+f.kid+`","jwk":`+jwk), claims),
		"another key, embedded, without kid": f.sign(f.other, header(`,"jwk":`+jwk), claims),
		"the key, under another kid":         f.sign(f.real, header(`,"kid":"other"`), claims),
		"another type":                       f.sign(f.real, `{"alg":"EdDSA","typ":"JWT","kid":"`+f.kid+`"}`, claims),
		"no type":                            f.sign(f.real, `{"alg":"EdDSA","kid":"`+f.kid+`"}`, claims),
	}
	for _, alg := range []string{"none", "None", "", "HS256", "ES256"} {
		head := encode(`{"alg":"` + alg + `","typ":"upload-receipt+jwt","kid":"` + f.kid + `"}`)
		all["alg "+alg] = head + "." + f.parts[1] + "."
		all["alg "+alg+", with the signature"] = head + "." + f.parts[1] + "." + f.parts[2]
		all["alg "+alg+", signed by the key"] = f.sign(f.real, strings.Replace(f.head, "EdDSA", alg, 1), claims)
	}
	public := []byte(f.real.Public().(ed25519.PublicKey))
	for name, secret := range map[string][]byte{
		"HS256 with the public key": public, "HS256 with its text": []byte(base64.RawURLEncoding.EncodeToString(public)),
	} {
		by, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: secret, KeyID: f.kid}},
			(&jose.SignerOptions{}).WithType("upload-receipt+jwt"))
		if err != nil {
			f.t.Fatal(err)
		}
		signed, err := by.Sign([]byte(claims))
		if err != nil {
			f.t.Fatal(err)
		}
		if all[name], err = signed.CompactSerialize(); err != nil {
			f.t.Fatal(err)
		}
	}
	return all
}

// verifyAll runs each verifier on the cases, of which the first ones are genuine.
func verifyAll(t *testing.T, keys []byte, cases []receiptCase, genuine int) {
	t.Helper()
	dir := t.TempDir()
	text, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, content []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	keysFile, casesFile := write("jwks.json", keys), write("cases.json", text)
	writeGuideFiles(t, "verify-a-receipt", dir, "verify-receipt.mjs", "verify_receipt.py", "verify_receipt.php",
		"verifyreceipt.go")
	drivers, err := filepath.Abs("testdata/receipts")
	if err != nil {
		t.Fatal(err)
	}
	program := buildVerifier(t, dir, drivers)
	for language, command := range map[string][]string{
		"go":     {program},
		"node":   {"node", filepath.Join(drivers, "main.mjs"), filepath.Join(dir, "verify-receipt.mjs")},
		"python": {"python3", filepath.Join(drivers, "main.py"), filepath.Join(dir, "verify_receipt.py")},
		"php":    {"php", filepath.Join(drivers, "main.php"), filepath.Join(dir, "verify_receipt.php")},
	} {
		t.Run(language, func(t *testing.T) {
			if _, err := exec.LookPath(command[0]); err != nil && os.Getenv("CI") != "true" {
				t.Skip("make test installs ", command[0])
			}
			out, err := exec.CommandContext(t.Context(), command[0], append(command[1:], keysFile, casesFile)...).
				CombinedOutput()
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			if err != nil || len(lines) != len(cases) {
				t.Fatalf("%d lines for %d receipts, %v\n%s", len(lines), len(cases), err, out)
			}
			for i, line := range lines {
				if accepted := line == "accepted"; accepted != (i < genuine) || !accepted && !strings.HasPrefix(line, "refused: ") {
					t.Errorf("%s: %s", cases[i].name, line)
				}
			}
		})
	}
}

// buildVerifier builds the guide's verifier in Go with its driver, as a separate module, and returns the program.
func buildVerifier(t *testing.T, dir, drivers string) string {
	t.Helper()
	module, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	needs := regexp.MustCompile(`github.com/go-jose/go-jose/v4 v[\d.]+`).FindString(string(module))
	sums, err := os.ReadFile("../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	driver, err := os.ReadFile(filepath.Join(drivers, "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"go.mod": []byte("module verifier\n\ngo 1.26.0\n\nrequire " + needs + "\n"), "go.sum": sums, "main.go": driver,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"vet", "."}, {"build", "-o", "verifier", "."}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", args[0], err, out)
		}
	}
	return filepath.Join(dir, "verifier")
}

// TestReceiptsOfAllWays: every way in answers a receipt, and meets a test ticket as a form does.
func TestReceiptsOfAllWays(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for i, w := range ways {
		u := s.createUploadURL()
		a, err := w.send(t.Context(), u.UploadURL, "a.jpg", photo(t, 64, 48, i))
		var result struct{ Receipt string }
		if err != nil || unmarshalResult(a, &result) != nil || strings.Count(result.Receipt, ".") != 2 {
			t.Errorf("%s: %v, %s", w.name, err, a.body)
			continue
		}
		claims, err := base64.RawURLEncoding.DecodeString(strings.Split(result.Receipt, ".")[1])
		if err != nil || !strings.Contains(string(claims), `"draft":"`+u.ID+`"`) {
			t.Errorf("%s: %s, %v", w.name, claims, err)
		}
		for test, code := range map[string]int{"undecodable": 9422, "too_large": 5413, "busy": 5503, "used": 5409,
			"expired": 5410} {
			u := s.createUploadURL("policy", `{"test":"`+test+`"}`)
			a, err := w.send(t.Context(), u.UploadURL, "a.jpg", photo(t, 64, 48, i))
			if err != nil || a.code(t) != code {
				t.Errorf("%s, %s: %v, %d %s", w.name, test, err, a.status, a.body)
			}
			counted := 0
			if test == "undecodable" || test == "too_large" {
				counted = 1
			}
			if d := s.draftOf(u.ID); d.Attempts != counted || (d.LastError != nil) != (counted == 1) {
				t.Errorf("%s, %s: the draft says %+v", w.name, test, d)
			}
		}
	}
	u := s.createUploadURL()
	content := photo(t, 64, 48, 100)
	tus, _, err := newTus(t.Context(), u.UploadURL, "a.jpg", len(content), nil)
	if err != nil {
		t.Fatal(err)
	}
	last, err := tus.patch(t.Context(), 0, content)
	if got := do(t, "GET", tus.url, nil); err != nil || string(got.body) != string(last.body) ||
		!strings.Contains(string(got.body), `"receipt"`) {
		t.Errorf("GET after a tus upload: %d %s\nnot %s", got.status, got.body, last.body)
	}
}

// TestKeysOfReceiptsLast: the keys are those of the installation, on each node and in a restored backup.
func TestKeysOfReceiptsLast(t *testing.T) {
	t.Parallel()
	keys := func(s *server) string {
		t.Helper()
		a := do(t, "GET", s.url+"/.well-known/jwks.json", nil)
		if a.status != http.StatusOK || !strings.Contains(string(a.body), `"kid"`) {
			t.Fatalf("%d %s", a.status, a.body)
		}
		return string(a.body)
	}
	s := newServer(t)
	first := keys(s)
	s.kill()
	s.start()
	if again := keys(s); again != first {
		t.Errorf("after a restart: %s, was %s", again, first)
	}
	to := filepath.Join(t.TempDir(), "backup")
	s.backUp(to)
	if got := keys(restored(t, to)); got != first {
		t.Errorf("restored: %s, was %s", got, first)
	}
	if other := keys(newServer(t)); other == first {
		t.Error("two installations have one key")
	}
}

// TestReceiptKeyRotate: the command replaces the keys under a running server, which signs by the new one within a
// minute, and deletes nothing without --now.
func TestReceiptKeyRotate(t *testing.T) {
	t.Parallel()
	onBothDatabases(t, func(t *testing.T, s *server) {
		env := []string{"CALOTYPE_DATA=" + s.data}
		if len(s.args) == 2 { // -db of PostgreSQL
			env = append(env, "CALOTYPE_DB="+s.args[1])
		}
		keys := func() string { return string(do(t, "GET", s.url+"/.well-known/jwks.json", nil).body) }
		before := keys()
		if ran := calotype(t, env, "receipt-key", "rotate"); ran.code == 0 || !strings.Contains(ran.stderr, "--now") ||
			keys() != before {
			t.Errorf("without --now: %d %s", ran.code, ran.stderr)
		}
		ran := calotype(t, env, "receipt-key", "rotate", "--now")
		id := strings.TrimSpace(ran.stdout)
		if ran.code != 0 || len(id) != 43 || strings.Contains(before, id) {
			t.Fatalf("%d %q %s", ran.code, ran.stdout, ran.stderr)
		}
		s.stop()
		s.start() // instead of a wait for its next minute
		if now := keys(); !strings.Contains(now, id) || strings.Count(now, `"kid"`) != 1 {
			t.Errorf("the keys are %s, want %s alone", now, id)
		}
		a := post(t, s.createUploadURL().UploadURL, "a.jpg", photo(t, 64, 48, 1))
		var accepted struct{ Receipt string }
		if err := unmarshalResult(a, &accepted); err != nil || accepted.Receipt == "" {
			t.Fatalf("%d, %v: %s", a.status, err, a.body)
		}
		header, err := base64.RawURLEncoding.DecodeString(strings.Split(accepted.Receipt, ".")[0])
		if err != nil || !strings.Contains(string(header), id) {
			t.Errorf("the receipt is signed by %s, %v", header, err)
		}
	})
}
