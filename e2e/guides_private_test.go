package e2e

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// privateGuide is the guide of signed URLs.
const privateGuide = "private-pictures"

// signers are programs around the functions of the guide. Each prints the signed form of a URL; its arguments are the
// URL, the key and the seconds until the expiry.
var signers = map[string][]string{
	"sign.mjs": {"node", "--input-type=module", "-e",
		`import { sign } from './sign.mjs'; const [url, key, life] = process.argv.slice(1); console.log(sign(url, key, +life))`},
	"sign.py": {"python3", "-c",
		`import sys; from sign import sign; print(sign(sys.argv[1], sys.argv[2], int(sys.argv[3])))`},
	"sign.php": {"php", "-r", `require 'sign.php'; echo sign($argv[1], $argv[2], (int) $argv[3]);`, "--"},
	"sign.go":  {"./signer"},
}

// signerMain is the program around Sign of the guide.
const signerMain = `package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	life, err := time.ParseDuration(os.Args[3] + "s")
	if err != nil {
		panic(err)
	}
	signed, err := Sign(os.Args[1], os.Args[2], life)
	if err != nil {
		panic(err)
	}
	fmt.Println(signed)
}
`

// TestPrivateGuide makes a key and private images with the commands of the guide, signs with each of its functions,
// and gets the errors of its table.
func TestPrivateGuide(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	dir := t.TempDir()
	printed := runShell(t, dir, guideScript(t, privateGuide)+"\necho \"key $IMAGES_SIGNING_KEY\"\n", s.guideEnviron())
	answer, key, found := strings.Cut(strings.TrimSpace(printed), "key ")
	var e envelope
	var u oneTimeURL
	if !found || len(key) != 32 || json.Unmarshal([]byte(answer), &e) != nil || json.Unmarshal(e.Result, &u) != nil {
		t.Fatalf("the commands print %s", printed)
	}
	if a := post(t, u.UploadURL, "a.jpg", photo(t, 64, 48, 1)); a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	if ran := calotype(t, nil, "account", "set", accountID, "-data", s.data, "-private-custom-ids", "on"); ran.code != 0 {
		t.Fatalf("%+v", ran)
	}
	custom := s.createUploadURL("id", "user 7/übung|50%", "requireSignedURLs", "true")
	if a := post(t, custom.UploadURL, "a.jpg", photo(t, 64, 48, 2)); a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	plain, named := s.variantOf(u.ID), s.variantOf("user%207%2F%C3%BCbung%7C50%25")
	prefixed := strings.Replace(named, s.url, s.url+"/cdn-cgi/imagedelivery", 1)

	writeGuideFiles(t, privateGuide, dir, "sign.mjs", "sign.py", "sign.php", "sign.go")
	writeText(t, filepath.Join(dir, "main.go"), signerMain)
	writeText(t, filepath.Join(dir, "go.mod"), "module signer\n\ngo 1.26.0\n")
	for _, args := range [][]string{{"vet", "."}, {"build", "-o", "signer", "."}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", args[0], err, out)
		}
	}
	guide := readGuide(t, privateGuide)
	wants := func(name, url string, status int, text string) {
		t.Helper()
		a := do(t, "GET", url, nil)
		if a.status != status || !strings.Contains(string(a.body), text) {
			t.Errorf("%s: %d %.200q, want %d %q", name, a.status, a.body, status, text)
		}
		if !strings.Contains(guide, text) {
			t.Errorf("the guide does not have the error %q", text)
		}
	}
	wants("not signed", plain, http.StatusForbidden, "the URL of a private image must carry a valid signature")
	for file, command := range signers {
		sign := func(url, key, life string) string {
			t.Helper()
			cmd := exec.CommandContext(t.Context(), command[0], append(command[1:], url, key, life)...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", file, err, out)
			}
			return strings.TrimSpace(string(out))
		}
		for _, url := range []string{plain, named, prefixed} {
			wants(file, sign(url, key, "60"), http.StatusOK, "")
		}
		signed := sign(plain, key, "60")
		wants(file+", another image", strings.Replace(signed, plain, named, 1), http.StatusForbidden,
			"the URL of a private image must carry a valid signature")
		wants(file+", another key", sign(plain, strings.ToLower(key)+"x", "60"), http.StatusForbidden,
			"the URL of a private image must carry a valid signature")
		wants(file+", expired", sign(plain, key, "-5"), http.StatusForbidden, "the URL has expired")
		other := strings.TrimSuffix(plain, "public")
		wants(file+", no variant", sign(other+"thumb", key, "60"), http.StatusForbidden,
			"This account has no variant of this name")
	}
	wants("no image", s.url+"/"+accountHashOf(accountID)+"/nothing/public", http.StatusNotFound, "ERROR 9431")
}

// variantOf returns the URL of an image in its variant public.
func (s *server) variantOf(id string) string {
	s.t.Helper()
	p, ok := s.image(id)
	if !ok || len(p.Variants) == 0 {
		s.t.Fatalf("there is no image %s: %+v", id, p)
	}
	return p.Variants[0]
}
