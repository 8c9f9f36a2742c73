// Package svgtest has SVGs for tests: hostile ones, and usual ones.
package svgtest

import (
	_ "embed"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// A File is an SVG.
type File struct {
	Name    string
	Body    []byte
	Refused bool // no SVG can be made of it
}

const (
	head = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ` +
		`width="200" height="100" viewBox="0 0 200 100">`
	shape = `<rect width="200" height="100" fill="#246"/>`
)

// wrap returns an SVG with some content.
func wrap(content string) string { return head + shape + content + `</svg>` }

// PNG is a picture of one red pixel, in base64.
const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"

// A line of these files is a kind, a name and a body, separated by tabs. The body may be quoted as in Go. The kinds:
// content of an SVG, a whole document, a document that is refused.
//
//go:embed testdata/hostile.tsv
var hostile string

//go:embed testdata/usual.tsv
var usual string

// read reads the lines of a file, whose contents get a beginning.
func read(text, beginning string) (all []File) {
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		kind, name, body := fields[0], fields[1], fields[2]
		if strings.HasPrefix(body, `"`) {
			var err error
			if body, err = strconv.Unquote(body); err != nil {
				panic(err) // the file is a part of the program
			}
		}
		if kind == "content" {
			body = beginning + body + `</svg>`
		}
		all = append(all, File{name, []byte(strings.ReplaceAll(body, "{PNG}", PNG)), kind == "refused"})
	}
	return all
}

// Usual returns SVGs as programs and people write them. Each has 200 x 100 pixels.
func Usual() []File { return read(usual, head) }

// Hostile returns SVGs that try to run a script or to fetch something. A script that runs requests
// origin/ran?<name> and calls alert. origin is the scheme, host and port of a listener.
func Hostile(origin string) []File {
	all := read(hostile, head+shape)
	all = append(all,
		File{"UTF-16, little", wide(wrap(`<script>{RUN}</script>`), false), false},
		File{"UTF-16, big", wide(wrap(`<image href="{O}"/>`), true), false})
	for name, body := range Bombs() {
		all = append(all, File{name, body, true})
	}
	for i, f := range all {
		name := strings.ReplaceAll(f.Name, " ", "-")
		run := fmt.Sprintf("new Image().src='%s/ran?%s';alert(1)", origin, name)
		fetch := origin + "/fetched?" + name
		replacements := []string{"{RUN}", run, "{O}", fetch,
			"{RUN64}", base64.StdEncoding.EncodeToString([]byte("<script>" + run + "</script>"))}
		if strings.HasPrefix(f.Name, "UTF-16") {
			for i := range replacements {
				replacements[i] = string(wide(replacements[i], strings.HasSuffix(f.Name, "big"))[2:])
			}
		}
		all[i].Body = []byte(strings.NewReplacer(replacements...).Replace(string(f.Body)))
	}
	return all
}

// wide returns a text in UTF-16 with a byte order mark.
func wide(s string, big bool) (b []byte) {
	for _, unit := range append([]uint16{0xfeff}, utf16.Encode([]rune(s))...) {
		if big {
			b = append(b, byte(unit>>8), byte(unit))
		} else {
			b = append(b, byte(unit), byte(unit>>8))
		}
	}
	return b
}
