package svgtest

import (
	"fmt"
	"strings"
)

// Bombs returns SVGs that are small, and that a browser would draw for minutes or with gigabytes of memory.
func Bombs() map[string][]byte {
	all := map[string]string{
		"levels":     wrap(strings.Repeat("<g>", 20_000) + strings.Repeat("</g>", 20_000)),
		"attributes": wrap("<g " + numbered("a%x='' ", 1_000_000) + "/>"),
		"elements":   wrap(strings.Repeat("<g/>", 300_000)),
		"namespaces": wrap(strings.Repeat("<g "+numbered("xmlns:a%d='u' ", 200)+">", 200) +
			strings.Repeat("</g>", 200)),
		"style": wrap("<style>" + numbered(".c%d{fill:red}", 30_000) + "</style>"),
	}
	for name, reference := range map[string]string{
		"use":     `<use href="#%[1]s"/>`,
		"pattern": `<rect width="9" height="9" fill="url(#%[1]s)"/>`,
		"stroke":  `<rect width="9" height="9" style="stroke:url('#%[1]s')"/>`,
		"mask":    `<g mask="url(#%[1]s)"><rect/></g>`,
		"marker":  `<path d="M0 0h1h1h1" marker-mid="url(#%[1]s)"/>`,
		"class":   `<rect class="a %[1]s"/>`,
		"feImage": `<g filter="url(#f%[1]s)"/>`,
	} {
		all[name+" bomb"] = tower(name, reference)
	}
	all["markers on a long path"] = wrap(`<marker id="m">` + strings.Repeat("<path/>", 1000) +
		`</marker><path marker-mid="url(#m)" d="` + strings.Repeat("h1", 10_000) + `"/>`)
	all["markers on an animated path"] = wrap(`<marker id="m">` + strings.Repeat("<path/>", 1000) +
		`</marker><path marker-mid="url(#m)" d="M0 0"><set attributeName="d" to="` + strings.Repeat("h1", 10_000) +
		`"/></path>`)
	all["markers on a path of steps"] = wrap(`<marker id="m">` + strings.Repeat("<path/>", 1000) +
		`</marker><path marker-mid="url(#m)" d="M0 0"><animate attributeName="d" dur="1s" values="#;M0 0` +
		strings.Repeat("h1", 10_000) + `"/></path>`)
	all["class of Unicode bomb"] = strings.NewReplacer(".d", ".\u1680d", `class="a d`, "class=\"a \u1680d").Replace(
		tower("class", `<rect class="a %[1]s"/>`))
	all["inherited pattern"] = wrap(`<pattern id="p">` + strings.Repeat("<path/>", 2000) +
		`</pattern><g fill="url(#p)">` + strings.Repeat("<path/>", 2000) + `</g>`)
	all["chain of use"] = wrap(`<g id="u0"/>` + chain(2000))
	bodies := map[string][]byte{}
	for name, body := range all {
		bodies[name] = []byte(body)
	}
	return bodies
}

// numbered repeats a pattern of a number.
func numbered(pattern string, times int) string {
	var b strings.Builder
	for i := range times {
		fmt.Fprintf(&b, pattern, i)
	}
	return b.String()
}

// tower returns ten definitions, each with ten references to the one below.
func tower(kind, reference string) string {
	open, end := `<g id="%s">`, `</g>`
	switch kind {
	case "pattern", "stroke", "class":
		open, end = `<pattern id="%s" width="1" height="1">`, `</pattern>`
	case "mask", "marker":
		open, end = `<`+kind+` id="%s">`, `</`+kind+`>`
	}
	var b strings.Builder
	for i := range 10 {
		below, id := fmt.Sprintf("d%d", i), fmt.Sprintf("d%d", i+1)
		if kind == "class" {
			fmt.Fprintf(&b, "<style>.%[1]s,nothing .x &gt; .%[1]s{fill:url(#%[1]s)}</style>", below)
		}
		if kind == "feImage" {
			fmt.Fprintf(&b, `<filter id="f%[1]s"><feImage href="#%[1]s"/></filter>`, below)
		}
		fmt.Fprintf(&b, open, id)
		b.WriteString(strings.Repeat(fmt.Sprintf(reference, below), 10))
		b.WriteString(end)
	}
	return wrap(`<defs><g id="d0"><rect width="1" height="1"/></g>` + b.String() + `</defs><g id="last">` +
		fmt.Sprintf(reference, "d10") + `</g>`)
}

func chain(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `<g id="u%d"><use href="#u%d"/></g>`, i+1, i)
	}
	return b.String()
}
