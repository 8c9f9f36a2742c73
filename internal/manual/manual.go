// Package manual writes what packages install beside the program: the manual page of its command tree, and the
// completions of shells.
package manual

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// Write writes the manual page of a version of the program for man, in roff: each command with its arguments and flags.
func Write(w io.Writer, app *kong.Application, version string) error {
	var page strings.Builder
	fmt.Fprintf(&page, ".TH CALOTYPE 1 \"\" %s \"User Commands\"\n", quoteRoff("calotype "+version))
	fmt.Fprintf(&page, ".SH NAME\ncalotype \\- %s\n", Escape(strings.TrimSuffix(app.Help, ".")))
	page.WriteString(".SH SYNOPSIS\n.B calotype\n\\fIcommand\\fR [\\fIflags\\fR] [\\fIarguments\\fR]\n" +
		".SH DESCRIPTION\n" +
		"A flag takes one dash or two. Each flag is also an environment variable, named behind it; a variable\n" +
		"that holds a secret may be given as a file, whose name is in the variable with _FILE behind it.\n" +
		".SH COMMANDS\n")
	for _, command := range Commands(app.Node) {
		writeCommand(&page, command)
	}
	page.WriteString(".SH EXIT STATUS\n0 after success, 1 after an error, 2 if the command line is not valid.\n")
	_, err := io.WriteString(w, page.String())
	return err
}

func writeCommand(page *strings.Builder, command *kong.Node) {
	fmt.Fprintf(page, ".SS %s\n%s\n", quoteRoff(command.FullPath()), Escape(command.Help))
	for paragraph := range strings.SplitSeq(strings.TrimSpace(command.Detail), "\n\n") {
		switch {
		case paragraph == "":
		case strings.HasPrefix(paragraph, " "): // an example
			fmt.Fprintf(page, ".PP\n.nf\n%s\n.fi\n", Escape(paragraph))
		default:
			fmt.Fprintf(page, ".PP\n%s\n", Escape(paragraph))
		}
	}
	for _, argument := range command.Positional {
		fmt.Fprintf(page, ".TP\n.I %s\n%s\n", quoteRoff(argument.Summary()), Escape(argument.Help))
	}
	for _, flag := range Flags(command) {
		fmt.Fprintf(page, ".TP\n.B %s\n%s\n", quoteRoff(flagForm(flag)), Escape(flag.Help))
		for _, variable := range flag.Tag.Envs {
			fmt.Fprintf(page, "(%s)\n", Escape(variable))
		}
	}
}

// flagForm returns a flag as it is written, such as --listen=localhost:8080.
func flagForm(flag *kong.Flag) string {
	switch {
	case flag.Tag.Negatable != "":
		return "--[no-]" + flag.Name
	case flag.IsBool():
		return "--" + flag.Name
	default:
		return "--" + flag.Name + "=" + flag.FormatPlaceHolder()
	}
}

// Commands returns the commands below a node that can be run, in the order of the help.
func Commands(node *kong.Node) (all []*kong.Node) {
	for _, child := range node.Children {
		switch {
		case child.Hidden || child.Type != kong.CommandNode:
		case len(child.Children) > 0:
			all = append(all, Commands(child)...)
		default:
			all = append(all, child)
		}
	}
	return all
}

// Flags returns the flags of a command, without --help.
func Flags(node *kong.Node) (all []*kong.Flag) {
	for _, flag := range node.Flags {
		if !flag.Hidden && flag.Name != "help" {
			all = append(all, flag)
		}
	}
	return all
}

// Escape returns text that roff prints unchanged.
func Escape(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

// quoteRoff returns text as one argument of a roff macro.
func quoteRoff(text string) string {
	return `"` + strings.ReplaceAll(Escape(text), `"`, `\(dq`) + `"`
}
