package svg_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// The names that no sanitised SVG has.
var (
	forbiddenElements = regexp.MustCompile(`(?i)^(script|foreignObject|handler|listener|iframe|object|embed|audio|` +
		`video|img|link|meta|base|form|cursor|tref|discard|metadata|font-face.*|color-profile|unknown|template|math)$`)
	forbiddenAttributes = regexp.MustCompile(`(?i)^(on.*|src|base|action|formaction|ping|target|autofocus|tabindex|` +
		`externalResourcesRequired|requiredExtensions)$`)
	// plainText are the attributes that browsers only show or compare.
	plainText = regexp.MustCompile(`^(id|class|role|in|in2|result|lang|systemLanguage|aria-.*)$`)
	// image() and src() fetch only what a string or a URL names.
	fetching = regexp.MustCompile(`(?i)@import|@font-face|@namespace|@charset|@property|image-set\(|` +
		`(image|src)\([^)]*"|cross-fade|expression\(|-moz-binding|behavior|javascript:|vbscript:|data:text|data:image/svg`)
)

// check returns what a sanitised SVG has that it must not have.
func check(out string) error {
	decoder := xml.NewDecoder(strings.NewReader(out))
	style := false
	for depth := 0; ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the output is not XML: %w", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if depth++; depth == 1 && token.Name.Local != "svg" {
				return errors.New("the root is no svg")
			}
			if style {
				return errors.New("a style has an element")
			}
			if err := checkElement(token); err != nil {
				return err
			}
			style = token.Name.Local == "style"
		case xml.EndElement:
			depth--
			style = false
		case xml.CharData:
			if err := checkCSS(string(token)); style && err != nil {
				return err
			}
		default:
			return fmt.Errorf("there is a %T", token)
		}
	}
}

func checkElement(e xml.StartElement) error {
	if e.Name.Space != "http://www.w3.org/2000/svg" || forbiddenElements.MatchString(e.Name.Local) {
		return fmt.Errorf("there is an element %v", e.Name)
	}
	for _, a := range e.Attr {
		switch {
		case a.Name.Local == "xmlns":
		case a.Name.Space != "" && a.Name.Space != "http://www.w3.org/XML/1998/namespace",
			forbiddenAttributes.MatchString(a.Name.Local):
			return fmt.Errorf("there is an attribute %v", a.Name)
		case a.Name.Local == "href":
			if e.Name.Local == "a" || a.Value[0] != '#' && !strings.HasPrefix(a.Value, "data:image/png;base64,") {
				return fmt.Errorf("%s refers to %.40q", e.Name.Local, a.Value)
			}
		case a.Name.Local == "attributeName" && (a.Value == "style" || strings.Contains(a.Value, "href")):
			return fmt.Errorf("%s is animated", a.Value)
		case !plainText.MatchString(a.Name.Local):
			if err := checkCSS(a.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkCSS checks text, a style sheet or a value: it refuses what fetches. A string alone is text, whatever it says.
func checkCSS(text string) error {
	plain, err := (&cssReader{text: text}).read()
	if err != nil {
		return err
	}
	if found := fetching.FindString(plain); found != "" {
		return fmt.Errorf("there is %q", found)
	}
	return nil
}

// A cssReader reads CSS as browsers split it into tokens. It refuses what the sanitiser does not write.
type cssReader struct {
	text string
	out  strings.Builder
}

// read returns CSS with the escapes of names decoded, strings emptied and comments replaced by |. The address of a url()
// is without quotes.
func (r *cssReader) read() (string, error) {
	for r.text != "" {
		var err error
		switch {
		case r.text[0] == '"':
			_, err = r.quoted()
			r.out.WriteString(`""`)
		case r.text[0] == '\'':
			err = errors.New("a string of CSS is not in double quotes")
		case strings.HasPrefix(r.text, "/**/"):
			r.out.WriteByte('|')
			r.text = r.text[4:]
		case strings.HasPrefix(r.text, "/*"):
			err = errors.New("there is a comment with text")
		case r.text[0] == '\\':
			err = r.escape()
		case r.text[0] == '(' && cssURL.MatchString(r.out.String()):
			err = r.address()
		default:
			r.out.WriteByte(r.text[0])
			r.text = r.text[1:]
		}
		if err != nil {
			return "", err
		}
	}
	return r.out.String(), nil
}

// cssURL matches text that ends with the name of url(), and not with a longer name, a colour or a dimension.
var cssURL = regexp.MustCompile(`(?i)(^|[^a-z0-9_#@\x{80}-\x{10ffff}-])url$`)

// quoted reads a string and returns its content, with the escapes as they are.
func (r *cssReader) quoted() (string, error) {
	found := cssQuoted.FindString(r.text)
	if found == "" {
		return "", errors.New("a string of CSS does not end")
	}
	r.text = r.text[len(found):]
	return found[1 : len(found)-1], nil
}

// A line break ends a string, and an escape before it continues the string.
var cssQuoted = regexp.MustCompile(`(?s)^"(?:[^"\\\r\n\f]|\\.)*"`)

// address reads the rest of a url(), from its bracket on.
func (r *cssReader) address() error {
	r.text = strings.TrimLeft(r.text[1:], " \t\r\n\f")
	address, rest, ended := strings.Cut(r.text, ")")
	if strings.HasPrefix(r.text, `"`) {
		var err error
		if address, err = r.quoted(); err != nil {
			return err
		}
		rest, ended = strings.CutPrefix(r.text, ")")
		address = strings.Map(func(c rune) rune {
			if strings.ContainsRune(`"'()`, c) {
				return '_'
			}
			return c
		}, address)
	}
	if !ended || strings.ContainsAny(address, `"'(`) {
		return errors.New("a url() has no clear end")
	}
	if !strings.HasPrefix(address, "#") {
		return fmt.Errorf("CSS refers to %q", address)
	}
	r.out.WriteString("(" + address + ")")
	r.text = rest
	return nil
}

// escape decodes an escape outside of strings. What is no letter and no digit is the part of a name too.
func (r *cssReader) escape() error {
	found := cssEscape.FindStringSubmatch(r.text)
	if found == nil {
		return errors.New("there is a backslash before a line break")
	}
	c := []rune(found[0])[1]
	if found[1] != "" {
		n, err := strconv.ParseInt(found[1], 16, 32)
		if err != nil {
			return err
		}
		c = rune(n)
	}
	if c >= utf8.RuneSelf || !cssNameChar.MatchString(string(c)) {
		c = '_'
	}
	r.out.WriteRune(c)
	r.text = r.text[len(found[0]):]
	return nil
}

var (
	cssEscape   = regexp.MustCompile(`^\\(?:([0-9a-fA-F]{1,6})(?:\r\n|[ \t\r\n\f])?|[^\r\n\f])`)
	cssNameChar = regexp.MustCompile(`[a-zA-Z0-9_-]`)
)

// TestCheckCSS: the check of these tests finds what browsers fetch, whatever the strings around it are, and nothing in
// what the sanitiser writes.
func TestCheckCSS(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`fill:url(#a)`, `fill:url("#a")`, `content:"url(http://x)"`, `content:"\"url(http://x)"`,
		`a["@import"]{fill:red}`, `fill:url("#it's \" good")`, `fill:url("#a)url(x")`, `fill:url("#a/*")`,
		`fill:red/**/;content:""`, `a+/**/*{fill:red}`, `stroke-width:calc(1+/**/*2)`, `calc(1//**//**/*2)`,
		`background:#fffurl ( "http://x" )`, `me src()200`, `background:#url("http://x")`, `background:url ("http://x")`,
		`.\31 a{fill:red}`, `.a\"b{fill:red}`,
	} {
		if err := checkCSS(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{
		`fill:url(http://x)`, `fill:url( "http://x")`, `content:"a";fill:url("http://x")`,
		`content:"\\";fill:url(http://x)`, `content:\";fill:url(http://x);x:"`, `content:";fill:url(http://x)`,
		`content:'"';fill:url(http://x)`, `content:image("http://x")`, `content:image-set("http://x")`,
		`content:"";@import "x"`, "content:\"\nfill:url(http://x)\"", "content:\"a\nb\"url(http://x)\"c\"",
		`fill:url(#a"b);fill:url(http://x);content:"c"`, `fill:url(#a\)"b);fill:url(http://x);content:"c"`,
		`/*"*/fill:url(http://x)/*"*/`, `fill:url("http://it's")`, `fill:url("\68ttp://x")`,
		`a:url (#x\"");a:");fill:url(http://x);b:"`, `a:url (#(");a:"));fill:url(http://x);b:"`,
		`a:myurl(#(");a:"));fill:url(http://x);b:"`, `a:myurl(#x\"");a:");fill:url(http://x);b:"`,
		`fill:\url(#a");fill:url(http://x);c:"`, `fill:u\72l(#a");fill:url(http://x);c:"`, `fill:u\72l(http://x)`,
		`fill:ur\6c("http://x")`, `fill:im\61ge-set("http://x" 1x)`, `@\69mport "x"`, `@imp\6f rt url("x")`,
		`fill:image(/**/"http://x")`, `fill:image(ltr "http://x")`, `fill:URL(http://x)`,
		`fill:#fff+url(http://x)`, `a:#url("a);fill:url(http://x)`,
		`fill:url()`, `fill:src("http://x")`,
	} {
		if err := checkCSS(text); err == nil {
			t.Errorf("%s: the check finds nothing", text)
		}
	}
}
