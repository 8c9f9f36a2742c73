package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"calotype/internal/manual"
)

// commandTree returns the model of the command tree.
func commandTree(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := kong.New(&commands{}, kong.Name("calotype"), kong.DefaultEnvars("CALOTYPE"))
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

// TestManual: the manual page has each command, argument, flag and variable; groff formats it without a warning.
func TestManual(t *testing.T) {
	t.Parallel()
	app := commandTree(t)
	var page strings.Builder
	if err := manual.Write(&page, app, version); err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for section := range strings.SplitSeq(page.String(), "\n.SS ") {
		title, text, _ := strings.Cut(section, "\n")
		sections[strings.Trim(title, `"`)] = text
	}
	all := manual.Commands(app.Node)
	if len(all) < 30 {
		t.Fatalf("only %d commands", len(all))
	}
	for _, command := range all {
		section := sections[manual.Escape(command.FullPath())]
		wanted := []string{command.Help}
		for _, argument := range command.Positional {
			wanted = append(wanted, argument.Summary(), argument.Help)
		}
		for _, flag := range manual.Flags(command) {
			wanted = append(wanted, flag.Name, flag.Help)
			wanted = append(wanted, flag.Tag.Envs...)
		}
		for _, want := range wanted {
			if !strings.Contains(section, manual.Escape(want)) {
				t.Errorf("%s: the page lacks %q", command.FullPath(), want)
			}
		}
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		return
	}
	cmd := exec.CommandContext(t.Context(), groff, "-man", "-Tutf8", "-ww", "-z")
	cmd.Stdin = strings.NewReader(page.String())
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("groff: %v\n%s", err, out)
	}
}

func TestEscapeRoff(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a-b": `a\-b`, `a\b`: `a\eb`, ".TH": `\&.TH`, "a\n'b": "a\n\\&'b",
	} {
		if got := manual.Escape(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestCompletion: the script of each shell has each command and flag.
func TestCompletion(t *testing.T) {
	t.Parallel()
	app := commandTree(t)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var script strings.Builder
		if err := manual.WriteCompletion(&script, app, shell); err != nil {
			t.Fatal(err)
		}
		words := strings.FieldsFunc(script.String(), func(r rune) bool { return strings.ContainsRune(" \n':", r) })
		for _, command := range manual.Commands(app.Node) {
			wanted := []string{command.Name}
			for _, flag := range manual.Flags(command) {
				// fish has the name of a flag as an argument of -l.
				wanted = append(wanted, map[bool]string{true: "", false: "--"}[shell == "fish"]+flag.Name)
			}
			for _, want := range wanted {
				if !slices.Contains(words, want) {
					t.Errorf("%s: the script lacks %s of %s", shell, want, command.FullPath())
				}
			}
		}
		if program, err := exec.LookPath(shell); err == nil {
			cmd := exec.CommandContext(t.Context(), program, "-n")
			cmd.Stdin = strings.NewReader(script.String())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s cannot parse its script: %v\n%s", shell, err, out)
			}
		}
	}
}

// TestCompletionOfBash has bash complete command lines.
func TestCompletionOfBash(t *testing.T) {
	t.Parallel()
	var script strings.Builder
	if err := manual.WriteCompletion(&script, commandTree(t), "bash"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "calotype.bash")
	if err := os.WriteFile(file, []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"calotype hea":                               "healthcheck",
		"calotype webhook re":                        "replay",
		"calotype serve --upload":                    "--upload-url",
		"calotype serve -upload":                     "-upload-url",
		"calotype serve --no-neg":                    "--no-negotiate",
		"calotype serve --data /tmp --delivery-u":    "--delivery-url",
		"calotype wor":                               "",
		"calotype token create --scope r":            "read",
		"calotype token create x -scope a":           "admin",
		"calotype token create x --scope = w":        "write",
		"calotype account set x --policy o":          "",
		"calotype account set x --lenient-options o": "off",
		"calotype completion f":                      "fish",
	} {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", `. "$1"; shift
			COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _calotype; echo "${COMPREPLY[*]}"`, "bash", file)
		cmd.Args = append(cmd.Args, strings.Fields(line)...)
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || !slices.Contains(strings.Fields(got), want) && got != want {
			t.Errorf("%s: %q, %v, want %q", line, got, err, want)
		}
	}
}

// TestCompletionOfFish has fish complete command lines.
func TestCompletionOfFish(t *testing.T) {
	t.Parallel()
	fish, err := exec.LookPath("fish")
	if err != nil {
		t.Skip("there is no fish here")
	}
	var script strings.Builder
	if err := manual.WriteCompletion(&script, commandTree(t), "fish"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "calotype.fish")
	if err := os.WriteFile(file, []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"calotype hea":                          "healthcheck",
		"calotype webhook re":                   "replay",
		"calotype serve --upload":               "--upload-url",
		"calotype serve --data /tmp --delivery": "--delivery-url",
		"calotype token create --scope r":       "read",
		"calotype image upload --ids=r":         "--ids=random",
		"calotype completion f":                 "fish",
	} {
		cmd := exec.CommandContext(t.Context(), fish, "--no-config", "-c", `source $argv[1]; complete -C $argv[2]`, file, line)
		out, err := cmd.CombinedOutput()
		found := slices.ContainsFunc(strings.Split(string(out), "\n"), func(one string) bool {
			word, _, _ := strings.Cut(one, "\t")
			return word == want
		})
		if err != nil || !found {
			t.Errorf("%s: %q, %v, want %q", line, out, err, want)
		}
	}
}
