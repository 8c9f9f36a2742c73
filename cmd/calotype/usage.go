package main

import (
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"calotype/internal/terminal"
)

// asksForHelp returns the arguments with the flag --help, if they ask for help in another form: by "help image", or
// by a command without the subcommand that it needs, such as "image".
func asksForHelp(root *kong.Node, args []string) []string {
	if len(args) > 0 && args[0] == "help" {
		return append(slices.Clone(args[1:]), "--help")
	}
	node := root
	for _, arg := range args {
		i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == arg })
		if i < 0 {
			return args
		}
		node = node.Children[i]
	}
	if len(node.Children) > 0 && node.DefaultCmd == nil {
		return append(slices.Clone(args), "--help")
	}
	return args
}

// knownVariables returns the names of the environment variables that are read.
func knownVariables(app *kong.Application) []string {
	known := slices.Clone(secretVariables)
	for _, name := range secretVariables {
		known = append(known, name+"_FILE")
	}
	var add func(*kong.Node)
	add = func(node *kong.Node) {
		for _, flag := range node.Flags {
			known = append(known, flag.Tag.Envs...)
		}
		for _, child := range node.Children {
			add(child)
		}
	}
	add(app.Node)
	return known
}

// warnOfVariables prints a warning for each environment variable that looks like a misspelt one: it would have no
// effect. Others that begin with CALOTYPE_ may belong to scripts.
func warnOfVariables(app *kong.Application, environment []string) {
	known := knownVariables(app)
	for _, variable := range environment {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, "CALOTYPE_") || slices.Contains(known, name) {
			continue
		}
		if meant := closest(name, known); meant != "" {
			terminal.ShowLine(os.Stderr, "calotype: the environment variable %s has no effect: did you mean %s?",
				name, meant)
		}
	}
}

// closest returns the known variable whose name differs least from a name, "" if each differs in more than two
// letters, or in more than one from a short name.
func closest(word string, known []string) string {
	best, least := "", 1+min(2, (len(word)-len("CALOTYPE_"))/3)
	for _, one := range known {
		if n := letters(word, one); n < least {
			best, least = one, n
		}
	}
	return best
}

// letters returns the number of letters to insert, delete or replace to make b of a.
func letters(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
