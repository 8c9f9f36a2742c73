package svg_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"calotype/internal/svg"
	"calotype/internal/svg/svgtest"
)

// embed accepts what begins like a PNG.
func embed(picture []byte) (string, []byte, bool, error) {
	return "image/png", picture, bytes.HasPrefix(picture, []byte("\x89PNG")), nil
}

func sanitise(body []byte) (string, error) {
	var out bytes.Buffer
	err := svg.Sanitise(&out, bytes.NewReader(body), int64(len(body)), embed)
	return out.String(), err
}

// TestHostile: nothing of a hostile SVG is left that runs or fetches.
func TestHostile(t *testing.T) {
	t.Parallel()
	all := svgtest.Hostile("http://127.0.0.1:9")
	if len(all) < 150 {
		t.Fatalf("there are %d only", len(all))
	}
	for _, f := range all {
		out, err := sanitise(f.Body)
		broken, limit := new(svg.Error), new(svg.LimitError)
		switch {
		case f.Refused && err == nil:
			t.Errorf("%s: accepted: %.300s", f.Name, out)
		case f.Refused && !errors.As(err, &broken) && !errors.As(err, &limit) && !errors.Is(err, svg.ErrNotSVG):
			t.Errorf("%s: an error of no kind: %v", f.Name, err)
		case !f.Refused && err != nil:
			t.Errorf("%s: %v", f.Name, err)
		case !f.Refused:
			if err := check(out); err != nil || strings.Contains(out, "127.0.0.1") {
				t.Errorf("%s: %v in %s", f.Name, err, out)
			}
			checkStable(t, f.Name, f.Body, out)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n") {
			t.Errorf("%s: the reason has lines: %v", f.Name, err)
		}
		if err != nil && (strings.Contains(err.Error(), "alert") || strings.Contains(err.Error(), "127.0.0.1")) {
			t.Errorf("%s: the reason quotes the file: %v", f.Name, err)
		}
	}
}

// checkStable checks that the output is its own sanitised form, and its size.
func checkStable(t *testing.T, name string, body []byte, out string) {
	t.Helper()
	again, err := sanitise([]byte(out))
	if err != nil || again != out {
		t.Errorf("%s: sanitised again: %v\n%s\n%s", name, err, again, out)
	}
	if len(out) > 8*len(body)+1024 {
		t.Errorf("%s: %d bytes of %d", name, len(out), len(body))
	}
}

// TestUsual: usual SVGs keep their elements and references.
func TestUsual(t *testing.T) {
	t.Parallel()
	all := svgtest.Usual()
	if len(all) < 10 {
		t.Fatalf("there are %d only", len(all))
	}
	for _, f := range all {
		out, err := sanitise(f.Body)
		if err == nil {
			err = check(out)
		}
		if err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
		checkStable(t, f.Name, f.Body, out)
	}
}

const root = `<svg xmlns="http://www.w3.org/2000/svg">`

// TestOutput: what is written of single pieces.
func TestOutput(t *testing.T) {
	t.Parallel()
	png := "data:image/png;base64," + svgtest.PNG
	for in, want := range map[string]string{
		`<rect x='1' y="2"></rect>`:                                           `<rect x="1" y="2"/>`,
		"<g>\n  <path d='M0 0&#10;h1'/>\n</g>":                                `<g><path d="M0 0&#10;h1"/></g>`,
		`<path d="M0 0h1;url(x)"/>`:                                           `<path d="M0 0h1"/>`,
		`<text>a &lt; b &amp; c]]&gt;</text>`:                                 `<text>a &lt; b &amp; c]]&gt;</text>`,
		`<text xml:space="preserve"> a  b </text>`:                            `<text xml:space="preserve"> a  b </text>`,
		`<text><![CDATA[<b>]]></text>`:                                        `<text>&lt;b&gt;</text>`,
		`<title>a<b>c</b>d</title>`:                                           `<title>ad</title>`,
		`<g>words</g>`:                                                        `<g/>`,
		`<g id="&quot;&apos;" data-x="1" class="a b" aria-label="x"/>`:        `<g id="&quot;'" class="a b" aria-label="x"/>`,
		`<use href="#a" xmlns:l="http://www.w3.org/1999/xlink" l:href="#b"/>`: `<use href="#a"/>`,
		`<use xmlns:l="http://www.w3.org/1999/xlink" l:href=" #b "/>`:         `<use href="#b"/>`,
		`<use xlink:href="#b"/>`:                                              ``, // the prefix is bound to nothing
		`<use href="#a%62"/>`:                                                 ``,
		`<use href="#"/>`:                                                     ``,
		`<image href="data:;base64,` + svgtest.PNG + `"/>`:                    `<image href="` + png + `"/>`,
		`<image href="DATA:image/gif;charset=x; BASE64 ,` + svgtest.PNG[:8] + "\n " + svgtest.PNG[8:] + `"/>`: `<image href="` + png + `"/>`,
		`<image href="data:image/png;base64,` + strings.ReplaceAll(svgtest.PNG, "+", "%2B") + `"/>`:           `<image href="` + png + `"/>`,
		`<image href="data:image/png,` + svgtest.PNG + `"/>`:                                                  ``,
		`<image href="data:image/png;base64,AAAA"/>`:                                                          ``,
		`<linearGradient id="g" href="x.svg#g"/>`:                                                             `<linearGradient id="g"/>`,
		`<rect fill="url( #g ) red"/>`:                                                                        `<rect fill="url(#g) red"/>`,
		`<rect fill="url('#g h')"/>`:                                                                          `<rect fill="url(&quot;#g h&quot;)"/>`,
		`<rect fill="rgb(1 2 3 / 50%)" stroke="#FFF"/>`:                                                       `<rect fill="rgb(1 2 3 / 50%)" stroke="#FFF"/>`,
		`<rect fill="red;stroke:blue"/>`:                                                                      `<rect/>`,
		`<rect fill="rgb(1,2"/>`:                                                                              `<rect/>`,
		`<rect fill="rgb(1,2))"/>`:                                                                            `<rect/>`,
		`<rect style="fill : RED ; behavior:url(#x);;stroke:url(x);x:1px"/>`:                                  `<rect style="fill:RED;x:1px"/>`,
		`<rect style="fill:red!important;--a:1;color:var(--a)"/>`:                                             `<rect style="fill:red!important;--a:1;color:var(--a)"/>`,
		`<rect style="font-family:'A\22 B',serif"/>`:                                                          `<rect style="font-family:&quot;A\&quot;B&quot;,serif"/>`,
		`<g transform="rotate(-45 10-5)"/>`:                                                                   `<g transform="rotate(-45 10-5)"/>`,
		`<g transform="rotate(1)url(x)"/>`:                                                                    `<g/>`,
		`<style>.a,#b > c{fill:red}/* x */ d{}</style>`:                                                       `<style>.a,#b &gt; c{fill:red}</style>`,
		`<style>@media (min-width:1px){a{fill:red}b{c:d}}e{fill:blue}</style>`:                                `<style>@media (min-width:1px){a{fill:red}}e{fill:blue}</style>`,
		`<style>@keyframes k{from{opacity:0}50%,to{opacity:1}}</style>`:                                       `<style>@keyframes k{from{opacity:0}50%,to{opacity:1}}</style>`,
		`<style>@media x{a{fill:red}` + "}b{fill:blue}</style>":                                               `<style>@media x{a{fill:red}}b{fill:blue}</style>`,
		`<style>a:nth-child(2n+1)[x="y"]:not(.b){fill:red}</style>`:                                           `<style>a:nth-child(2n+1)[x="y"]:not(.b){fill:red}</style>`,
		`<style>a:has(b){fill:red}a|b{fill:red}@x;c{fill:red}</style>`:                                        `<style>c{fill:red}</style>`,
		`<style>\61\{b{fill:red}</style>`:                                                                     `<style>a\7b b{fill:red}</style>`,
		`<style type="text/less">a{fill:red}</style>`:                                                         ``,
		`<style media=" print ">a{fill:red}</style>`:                                                          `<style media="print">a{fill:red}</style>`,
		`<style media="screen and (min-width: 1px), (width&gt;2px)">a{fill:red}</style>`: `<style ` +
			`media="screen and (min-width: 1px), (width&gt;2px)">a{fill:red}</style>`,
		`<style media="">a{fill:red}</style>`: `<style>a{fill:red}</style>`,
		`<style media="print;">a{fill:red}</style><style media="url(x)"/><style media="print{}a"/>` +
			`<style media="(x">b{}</style><style media="'print'"/><g media="print"/>`: `<g/>`,
		`<set attributeName="media" to="all"/>`:                        ``,
		`<animate attributeName="d" values="M0 0;M1-1.5.5" dur="1s"/>`: `<animate attributeName="d" values="M0 0;M1-1.5.5" dur="1s"/>`,
		`<animate attributeName="fill" values="#fff; rgb(1,2,3)"/>`:    `<animate attributeName="fill" values="#fff;rgb(1,2,3)"/>`,
		`<animate attributeName="x" dur="0:01" begin="a.click+1s;x(y)" end="a:/b"/>`: `<animate attributeName="x" ` +
			`dur="0:01" begin="a.click+1s;x(y)"/>`,
		`<g requiredExtensions="x"><rect/></g><g/>`: `<g/>`,
	} {
		out, err := sanitise([]byte(root + in + "</svg>"))
		whole := root + want + "</svg>"
		if want == "" {
			whole = strings.TrimSuffix(root, ">") + "/>"
		}
		if err != nil || out != whole {
			t.Errorf("%s:\ngot  %s, %v\nwant %s", in, out, err, whole)
		}
		checkStable(t, in, []byte(in), out)
	}
}

// TestReasons: the reason of a refusal names what is wrong, and the line.
func TestReasons(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"<svg>\n<g>\n</a>":                              "line 3: an end tag has another name than its start tag",
		root + "<g>":                                    "it ends before its elements do",
		root + "<g a='1' a='2'/></svg>":                 "an attribute twice",
		root + "<text>&nbsp;</text></svg>":              "an entity or to a character that does not exist",
		root + "<!-- a -- b --></svg>":                  "a comment holds two hyphens",
		`<?xml version="1.0" encoding="KOI8-R"?><svg/>`: "another encoding",
		`<!DOCTYPE svg [<!ENTITY a "b">]><svg/>`:        "a document type with declarations",
		`<svg xmlns="urn:x"/>`:                          "not in the namespace of SVG",
		root + "\x01</svg>":                             "a control character",
		root + "\xff</svg>":                             "not valid UTF-8",
		"\xff\xfe<\x00s":                                "not valid UTF-16",
		"\xff\xfe<\x00s\x00v\x00g\x00\x00\xd8>\x00":     "not valid UTF-16",
		root + strings.Repeat("<g>", 257):               "at most 256",
		root + "<use id='a' href='#a'/></svg>":          "leads back",
		// A marker in another one that it is in.
		root + `<style>path{marker-mid:url(#a);marker-end:url(#b)}</style><marker id="a"><path/></marker>` +
			`<marker id="b"><path/></marker></svg>`: "leads back",
		// The path is also drawn outside of its marker.
		root + `<style>path{marker:url(#a)}</style><marker id="a"><path id="b"/></marker><use href="#b"/></svg>`: "leads back",
		root + `<style>path{marker:url(#a)}</style><marker id="a"><mask id="b"><path/></mask></marker>` +
			`<g mask="url(#b)"/></svg>`: "leads back",
		root + `<style>path{mask:url(#a)}</style><mask id="a"><path/></mask></svg>`:     "leads back",
		root + `<style>path{fill:url(#a)}</style><marker id="a"><path/></marker></svg>`: "leads back",
		root + `<g xmlns:a:b="x"/></svg>`:                                               "colon",
		root + "<" + strings.Repeat("a", 1001) + "/></svg>":                             "1000 bytes",
	} {
		_, err := sanitise([]byte(in))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", in, err, want)
		}
	}
}

// TestLimits: each limit holds, and what is at a limit is accepted.
func TestLimits(t *testing.T) {
	t.Parallel()
	many := func(n int, pattern string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.ReplaceAll(pattern, "%", fmt.Sprint(i)))
		}
		return b.String()
	}
	uses := func(uses, inside int) string {
		return `<g id="a">` + strings.Repeat("<path/>", inside) + `</g>` + strings.Repeat(`<use href="#a"/>`, uses)
	}
	painted := func(painted, inside int) string {
		return `<pattern id="p">` + strings.Repeat("<path/>", inside) + `</pattern>` +
			strings.Repeat(`<rect fill="url(#p)"/>`, painted)
	}
	for name, c := range map[string]struct{ at, over string }{
		"levels":     {strings.Repeat("<g>", 255) + strings.Repeat("</g>", 255), strings.Repeat("<g>", 256) + strings.Repeat("</g>", 256)},
		"attributes": {"<g " + many(256, "a%='' ") + "/>", "<g " + many(257, "a%='' ") + "/>"},
		"bindings":   {"<g " + many(63, "xmlns:a%='u' ") + "/>", "<g " + many(64, "xmlns:a%='u' ") + "/>"},
		"elements":   {strings.Repeat("<g/>", 249_999), strings.Repeat("<g/>", 250_000)},
		"use":        {uses(200, 1200), uses(210, 1200)}, // 1 + 1201 + 200 * 1202 = 241,602
		"paint":      {painted(2000, 1200), painted(2100, 1200)},
		"chain":      {`<g id="u0"/>` + many(250, `<g id="v%"/>`), `<g id="u0"/>` + manyUses(600)},
		"rule":       {`<mask id="m"/><style>` + many(64, `.a{mask:url(#m%)}`) + `</style>`, `<style>` + many(65, `.a{mask:url(#m%)}`) + `</style>`},
		"references": {`<mask id="m"/><g style="` + strings.Repeat("mask:url(#m);", 1000) + `"/>`,
			`<mask id="m"/><g style="` + strings.Repeat("mask:url(#m);", 1001) + `"/>`},
		"style": {"<style>" + strings.Repeat("a{fill:red}", (256<<10)/11) + "</style>",
			"<style>" + strings.Repeat("a{fill:red}", (256<<10)/11+1) + "</style>"},
	} {
		if _, err := sanitise([]byte(root + c.at + "</svg>")); err != nil {
			t.Errorf("%s, at the limit: %v", name, err)
		}
		limit := new(svg.LimitError)
		if _, err := sanitise([]byte(root + c.over + "</svg>")); !errors.As(err, &limit) {
			t.Errorf("%s, over the limit: %v", name, err)
		}
	}
	long := strings.Repeat("fill:red;", (256<<10)/9)
	if out, err := sanitise([]byte(root + `<g style="` + long + `"/><g style="` + long + `x:1px"/></svg>`)); err != nil ||
		strings.Count(out, "style=") != 1 {
		t.Errorf("style attributes: %v, %d", err, strings.Count(out, "style="))
	}
	padded := []byte(root + strings.Repeat(" ", svg.MaxBytes-len(root)-len("</svg>")) + "</svg>")
	if _, err := sanitise(padded); err != nil {
		t.Errorf("10 MiB: %v", err)
	}
	if _, err := sanitise(append(padded, ' ')); !errors.As(err, new(*svg.LimitError)) {
		t.Errorf("a byte more: %v", err)
	}
}

// TestMarkersByRules: a rule that draws a marker may apply to the elements in the marker, and each of the other
// elements counts.
func TestMarkersByRules(t *testing.T) {
	t.Parallel()
	rules := "<style>path,line{marker-end:url(#m)}</style>"
	marker := `<marker id="m"><g><path d="M0 0h1"/>` + strings.Repeat("<g/>", 997) + `</g></marker>`
	for in, fits := range map[string]bool{
		rules + marker + `<path d="M0 0h1h1"/>`:                                           true,
		rules + marker + `<g><line/></g>` + strings.Repeat("<line/>", 1000):               true,
		rules + marker + strings.Repeat("<line/>", 3000):                                  false,
		rules + marker + `<path d="` + strings.Repeat("h1", 3000) + `"/>`:                 false,
		`<style>*{marker:url(#m)}</style>` + marker + `<path d="M0 0h1h1"/>`:              true,
		`<marker id="m" marker-mid="url(#m)"><path style="marker-end:url(#m)"/></marker>`: true,
	} {
		_, err := sanitise([]byte(root + in + "</svg>"))
		if fits && err != nil || !fits && !errors.As(err, new(*svg.LimitError)) {
			t.Errorf("%.200s (%d bytes): %v", in, len(in), err)
		}
	}
}

func manyUses(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `<g id="u%d"><use href="#u%d"/></g>`, i+1, i)
	}
	return b.String()
}

// TestErrorsOfOthers: an error of the reader, of the writer and of the check of pictures is returned.
func TestErrorsOfOthers(t *testing.T) {
	t.Parallel()
	body := root + `<image href="data:image/png;base64,` + svgtest.PNG + `"/></svg>`
	broken := errors.New("broken")
	fails := func([]byte) (string, []byte, bool, error) { return "", nil, false, broken }
	err := svg.Sanitise(io.Discard, strings.NewReader(body), int64(len(body)), fails)
	if !errors.Is(err, broken) {
		t.Errorf("the check: %v", err)
	}
	err = svg.Sanitise(io.Discard, strings.NewReader(body), int64(len(body)+1), embed)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a short file: %v", err)
	}
	_, w := io.Pipe()
	if err := w.CloseWithError(broken); err != nil {
		t.Fatal(err)
	}
	if err := svg.Sanitise(w, strings.NewReader(body), int64(len(body)), embed); err == nil {
		t.Error("a writer that fails: no error")
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	for attrs, want := range map[string][2]int{
		``:                               {300, 150},
		`width="20" height="30"`:         {20, 30},
		`width="20px" height="1in"`:      {20, 96},
		`width="25.4mm" height="2.54cm"`: {96, 96},
		`width="3pt" height="1pc"`:       {4, 16},
		`width="100%" height="100%" viewBox="0 0 480 360"`: {480, 360},
		`viewBox="-5,-5, 48 36.6"`:                         {48, 37},
		`width="96" viewBox="0 0 480 360"`:                 {96, 72},
		`height="36" viewBox="0 0 480 360"`:                {48, 36},
		`width="0" height="-1"`:                            {300, 150},
		`width="1e999" height="0.1"`:                       {1<<31 - 1, 1},
		`width="nan" height="0x10"`:                        {300, 150},
		`width="1 2" viewBox="1 2 3"`:                      {300, 150},
	} {
		w, h, err := svg.Head([]byte(`<?xml version="1.0"?><!-- x --><svg xmlns="x" ` + attrs + `>`))
		if err != nil || w != want[0] || h != want[1] {
			t.Errorf("%s: %d x %d, %v; want %v", attrs, w, h, err, want)
		}
	}
	for text, ours := range map[string]bool{
		"<html/>": false, "<!DOCTYPE html>": false, "<": false, "text": false, "": false, "<svg": true, "<svg a=1>": true,
		"<SVG/>": false, "<?xml version='1.0'?><x/>": false, "<?xml?><svg": false,
	} {
		_, _, err := svg.Head([]byte(text))
		if err == nil || errors.Is(err, svg.ErrNotSVG) == ours {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzSanitise(f *testing.F) {
	for _, file := range append(svgtest.Hostile("http://127.0.0.1:9"), svgtest.Usual()...) {
		if len(file.Body) < 4<<10 {
			f.Add(file.Body)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w, h, headErr := svg.Head(body)
		out, err := sanitise(body)
		if headErr == nil && (w < 1 || h < 1) {
			t.Errorf("the size is %d x %d", w, h)
		}
		if err != nil {
			return
		}
		if headErr != nil && len(body) <= svg.HeadBytes {
			t.Errorf("the head of a valid SVG is refused: %v", headErr)
		}
		if err := check(out); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		checkStable(t, "it", body, out)
	})
}
