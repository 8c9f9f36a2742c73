package e2e

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// guideFolder holds the guides. Their code is run by tests as it stands there.
const guideFolder = "../docs/guides/"

// A guideBlock is a block of code in a guide.
type guideBlock struct {
	language string
	file     string // that its first line names in a comment; "" for none
	code     string
}

var (
	guideFence = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	// fileComment is a comment that names a file, in the languages of the guides.
	fileComment = regexp.MustCompile(`^(?://|#|<!--|<\?php //) ([\w./\[\]-]*\.\w+|Caddyfile|/etc/hosts)(?: -->)?\n`)
)

// readGuide returns the text of a guide.
func readGuide(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(guideFolder + name + ".md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// guideBlocks returns all blocks of code of a guide.
func guideBlocks(t *testing.T, name string) (all []guideBlock) {
	t.Helper()
	for _, m := range guideFence.FindAllStringSubmatch(readGuide(t, name), -1) {
		b := guideBlock{language: m[1], code: m[2]}
		if named := fileComment.FindStringSubmatch(b.code); named != nil {
			b.file = named[1]
		}
		all = append(all, b)
	}
	return all
}

// guideFile returns the code of a guide that its first line names.
func guideFile(t *testing.T, name, file string) string {
	t.Helper()
	for _, b := range guideBlocks(t, name) {
		if b.file == file {
			return b.code
		}
	}
	t.Fatalf("%s.md has no code for %s", name, file)
	return ""
}

// writeGuideFiles writes files, which the code of a guide names, to a folder.
func writeGuideFiles(t *testing.T, name, dir string, files ...string) {
	t.Helper()
	for _, file := range files {
		writeText(t, filepath.Join(dir, file), guideFile(t, name, file))
	}
}

func writeText(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// guideScript returns the blocks of a guide in the language sh, which are run in their order.
func guideScript(t *testing.T, name string) string {
	t.Helper()
	var script strings.Builder
	for _, b := range guideBlocks(t, name) {
		if b.language == "sh" && b.file == "" {
			script.WriteString(b.code)
		}
	}
	if script.Len() == 0 {
		t.Fatalf("%s.md has no commands", name)
	}
	return script.String()
}

// guideEnviron is the environment of a reader who has evaluated the output of calotype env, with the program in PATH.
func (s *server) guideEnviron() []string {
	s.t.Helper()
	return append(programInPath(s.t), "CLOUDFLARE_BASE_URL="+s.url+"/client/v4",
		"CLOUDFLARE_ACCOUNT_ID="+accountID, "CLOUDFLARE_API_TOKEN="+token, "CALOTYPE_DATA="+s.data)
}

// programInPath is an environment in which the command calotype is the program under test.
func programInPath(t *testing.T) []string {
	t.Helper()
	bin := t.TempDir()
	program, err := filepath.Abs(binary)
	if err == nil {
		err = os.Symlink(program, filepath.Join(bin, "calotype"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return append(plainEnviron(), "PATH="+bin+":"+os.Getenv("PATH"))
}

// linkModules links npm modules of other folders into a folder, as npm install would install them.
func linkModules(t *testing.T, dir string, modules map[string][]string) {
	t.Helper()
	for from, names := range modules {
		for _, name := range names {
			source, err := filepath.Abs(filepath.Join(from, "node_modules", name))
			if err == nil {
				_, err = os.Stat(filepath.Join(source, "package.json"))
			}
			if err != nil {
				if os.Getenv("CI") == "true" {
					t.Fatalf("make test installs the module: %v", err)
				}
				t.Skipf("make test installs the module: %v", err)
			}
			target := filepath.Join(dir, "node_modules", name)
			if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(source, target); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// programPatience bounds how long a program starts: Node.js reads thousands of files, also on a busy machine.
const programPatience = 3 * time.Minute

// startProgram starts a program of a guide, and returns its log after it has printed a pattern, with the last
// submatch. The program ends with the test, or earlier by stop.
func startProgram(t *testing.T, cmd *exec.Cmd, pattern string) (found string, log *logBuffer, stop func()) {
	t.Helper()
	log = &logBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	stop = func() { _ = cmd.Process.Kill(); <-gone }
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("%s printed:\n%s", cmd.Args[0], log)
		}
	})
	wanted := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(programPatience); ; {
		if m := wanted.FindStringSubmatch(log.String()); m != nil {
			return m[len(m)-1], log, stop
		}
		select {
		case <-gone:
			t.Fatalf("%s ended", cmd.Args[0])
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not ready", cmd.Args[0])
		}
	}
}

// freePort returns a port of this machine that no program uses.
func freePort(t *testing.T) string {
	t.Helper()
	address, _ := metricsAddress(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// runShell runs a script with arguments in a folder to its end and returns what it printed.
func runShell(t *testing.T, dir, script string, env []string, args ...string) string {
	t.Helper()
	shell := exec.CommandContext(t.Context(), "bash", append([]string{"-eu", "-o", "pipefail", "-c", script, "sh"}, args...)...)
	shell.Dir, shell.Env = dir, env
	var trace bytes.Buffer
	shell.Stderr = &trace
	out, err := shell.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, trace.Bytes())
	}
	return string(out)
}

// guideCode says how the blocks of code of the guides are run: by the test of a name, or why none runs them. The key is
// the guide with a file, a language, or a language and the first words of the block.
var guideCode = map[string]string{
	"let-users-upload server.mjs":                     "TestUploadGuide",
	"let-users-upload public/index.html":              "TestUploadGuide",
	"let-users-upload app/api/pictures/route.js":      "TestUploadGuide",
	"let-users-upload app/api/pictures/[id]/route.js": "TestUploadGuide",
	"let-users-upload app/picture-input.jsx":          "TestUploadGuide",
	"let-users-upload app/page.jsx":                   "TestUploadGuide",
	"private-pictures sh":                             "TestPrivateGuide",
	"private-pictures sign.mjs":                       "TestPrivateGuide",
	"private-pictures sign.py":                        "TestPrivateGuide",
	"private-pictures sign.php":                       "TestPrivateGuide",
	"private-pictures sign.go":                        "TestPrivateGuide",
	"thumbnails-and-variants sh":                      "TestVariantsGuide",
	"thumbnails-and-variants picture.html":            "TestVariantsGuide",
	"thumbnails-and-variants image-loader.js":         "TestVariantsGuide",
	"thumbnails-and-variants unpic.mjs":               "TestVariantsGuide",
	"react-to-uploads wait.mjs":                       "TestWaitOfTheGuide",
	"react-to-uploads receiver.mjs":                   "TestReceiversOfTheGuide",
	"react-to-uploads receiver.go":                    "TestReceiversOfTheGuide",
	"test-in-ci sh":                                   "TestCIGuide",
	"test-in-ci upload.test.mjs":                      "TestCIGuide",
	"test-in-ci .github/workflows/test.yaml":          "TestCIWorkflow",
	"test-in-ci compose.test.yaml":                    "TestCIContainers",
	"test-in-ci calotype.mjs":                         "TestCIContainers",
	"test-in-ci calotype_test.go":                     "TestCIContainers",
	"postgresql-and-s3 sh":                            "TestStoresGuide",
	"postgresql-and-s3 json":                          "TestRightsOfTheGuide",
	"postgresql-and-s3 sql":                           "not run: roles belong to the PostgreSQL that all tests share",
	"clients-with-a-fixed-host sh":                    "TestHostGuide",
	"clients-with-a-fixed-host Caddyfile":             "TestHostGuide",
	"clients-with-a-fixed-host /etc/hosts":            "TestHostGuide",
	"cdn default.vcl":                                 "TestVarnishOfTheGuide",
	"cdn calotype-cache.conf":                         "TestNginxOfTheGuide",
	"cdn picture.html":                                "TestFormatNamesOfTheGuide",
	"upgrade sh":                                      "TestUpgradeGuide",
	"verify-a-receipt verify-receipt.mjs":             "TestReceiptVerifiers",
	"verify-a-receipt verify_receipt.py":              "TestReceiptVerifiers",
	"verify-a-receipt verify_receipt.php":             "TestReceiptVerifiers",
	"verify-a-receipt verifyreceipt.go":               "TestReceiptVerifiers",
	"verify-a-receipt js":                             "not run: the calls in words; the verifiers are run",
	"upload-from-the-browser js":                      "guide.mjs in conformance/browser",
	"upload-from-the-browser jsx":                     "guide.mjs in conformance/browser",
	"upload-from-the-browser html":                    "guide.mjs in conformance/browser",
}

// TestGuidesAreRun: each block of code in the guides is in guideCode, whose tests exist, and docs/README.md has a link to
// each guide.
func TestGuidesAreRun(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(guideFolder + "*.md")
	if err != nil || len(files) < 11 {
		t.Fatalf("the guides are %v, %v", files, err)
	}
	index, err := os.ReadFile("../docs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t)
	seen := map[string]bool{}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".md")
		if !strings.Contains(string(index), "](guides/"+name+".md)") {
			t.Errorf("docs/README.md has no link to %s", name)
		}
		for _, b := range guideBlocks(t, name) {
			key := name + " " + b.language
			if b.file != "" {
				key = name + " " + b.file
			}
			how, ok := guideCode[key]
			if !ok || strings.HasPrefix(how, "Test") && !tests[how] {
				t.Errorf("no test runs %q, which begins with %.60q", key, b.code)
			}
			seen[key] = true
		}
	}
	for key := range guideCode {
		if !seen[key] {
			t.Errorf("the guides have no %q", key)
		}
	}
}

// testNames returns the names of the tests of this package.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(text, -1) {
			names[string(m[1])] = true
		}
	}
	return names
}
