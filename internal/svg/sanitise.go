package svg

import (
	"errors"
	"fmt"
	"strings"
)

// A sanitiser reads the events of a document and writes those that are kept.
type sanitiser struct {
	scan     scanner
	out      *writer
	embedded Embedded
	graph    graph
	open     []frame
	bindings []binding
	elements int
	style    int // bytes of CSS in style elements so far
}

// A frame is an element that is open.
type frame struct {
	prefix, local string // of its tags
	name          string // of the element that is written; "" if it is left out with its content
	bindings      int    // in scope outside of it
	node          int32  // of the graph
	kind          element
	css           *strings.Builder // the text of a style element
}

// A binding is a namespace declaration in scope.
type binding struct{ prefix, uri string }

// document reads the whole document.
func (s *sanitiser) document() error {
	if _, err := s.scan.declaration(); err != nil {
		return err
	}
	rooted := false
	for {
		e, err := s.scan.next()
		if err != nil {
			return notRoot(err, rooted || e.local == "svg")
		}
		switch e.kind {
		case eventEnd:
			if !rooted || len(s.open) > 0 {
				return s.scan.fail("it ends before its elements do")
			}
			return nil
		case eventStart:
			if rooted && len(s.open) == 0 {
				return s.scan.fail("there is an element behind the root element")
			}
			if !rooted {
				rooted = true
				if err := s.root(e); err != nil {
					return err
				}
			}
			err = s.start(e)
		case eventClose:
			err = s.end(e)
		case eventText:
			err = s.text(e)
		}
		if err != nil {
			return err
		}
	}
}

// notRoot returns err. What comes before the first element of a file that is no SVG need not be XML.
func notRoot(err error, rooted bool) error {
	if broken := new(Error); !rooted && errors.As(err, &broken) && !broken.Unsupported {
		return fmt.Errorf("%w: %w", ErrNotSVG, err)
	}
	return err
}

// root checks the first element. If it is in no namespace, it and the elements in it are taken for SVG's: many files
// that were copied from a page lack the declaration.
func (s *sanitiser) root(e event) error {
	if e.local != "svg" {
		return ErrNotSVG
	}
	if e.prefix != "" {
		return nil
	}
	for _, a := range e.attrs {
		if a.prefix == "" && a.local == "xmlns" {
			return nil
		}
	}
	s.bindings = append(s.bindings, binding{"", nsSVG})
	return nil
}

// start handles a start tag.
func (s *sanitiser) start(e event) error {
	s.elements++
	switch {
	case s.elements > maxElements:
		return &LimitError{"elements", maxElements}
	case len(s.open) == maxDepth:
		return &LimitError{"levels of elements in elements", maxDepth}
	}
	f := frame{prefix: e.prefix, local: e.local, bindings: len(s.bindings), node: -1}
	above := frame{kind: element{}, name: "svg", node: -1}
	if len(s.open) > 0 {
		above = s.open[len(s.open)-1]
	}
	if above.name != "" && !above.kind.plain {
		if err := s.bind(e.attrs); err != nil {
			return err
		}
		if err := s.element(e, above.node, &f); err != nil {
			return err
		}
	}
	if len(s.open) == 0 && f.name == "" {
		return &Error{true, "is not in the namespace of SVG: its root element needs xmlns=\"" + nsSVG + "\""}
	}
	s.open = append(s.open, f)
	if e.empty {
		return s.close()
	}
	return nil
}

// bind adds the namespace declarations of a start tag.
func (s *sanitiser) bind(attrs []attr) error {
	for _, a := range attrs {
		switch {
		case a.prefix == "xmlns":
			s.bindings = append(s.bindings, binding{a.local, a.value})
		case a.prefix == "" && a.local == "xmlns":
			s.bindings = append(s.bindings, binding{"", a.value})
		}
	}
	if len(s.bindings) > maxBindings {
		return &LimitError{"namespace declarations", maxBindings}
	}
	return nil
}

// namespace returns the namespace of a prefix; "" without one.
func (s *sanitiser) namespace(prefix string) string {
	for i := len(s.bindings) - 1; i >= 0; i-- {
		if s.bindings[i].prefix == prefix {
			return s.bindings[i].uri
		}
	}
	if prefix == "xml" {
		return nsXML
	}
	return ""
}

// element writes the start tag of an element if it is kept, and sets the frame.
func (s *sanitiser) element(e event, parent int32, f *frame) error {
	kind, known := elements[e.local]
	if !known || s.namespace(e.prefix) != nsSVG {
		return nil
	}
	t := tag{s: s, name: e.local, kind: kind, node: node{parent: parent, name: e.local}}
	keep, err := t.read(e.attrs)
	if err != nil || !keep {
		return err
	}
	f.name, f.kind = e.local, kind
	if e.local == "style" {
		f.css = new(strings.Builder)
	}
	f.node = s.graph.add(t.node, t.moves, t.refs)
	s.out.start(e.local)
	if len(s.open) == 0 {
		s.out.attr("xmlns", nsSVG)
	}
	for _, a := range t.kept {
		s.out.attr(a.local, a.value)
	}
	return nil
}

// end handles an end tag.
func (s *sanitiser) end(e event) error {
	if len(s.open) == 0 {
		return s.scan.fail("there is an end tag without its start tag")
	}
	if f := s.open[len(s.open)-1]; f.prefix != e.prefix || f.local != e.local {
		return s.scan.fail("an end tag has another name than its start tag")
	}
	return s.close()
}

// close ends the innermost open element.
func (s *sanitiser) close() error {
	f := s.open[len(s.open)-1]
	s.open = s.open[:len(s.open)-1]
	s.bindings = s.bindings[:f.bindings]
	if f.css != nil {
		reader := cssReader{t: tokenizer{s: f.css.String()}, rule: s.graph.rule}
		sheet := reader.sheet()
		if s.style += len(sheet); s.style > maxStyle {
			return &LimitError{"bytes of style sheets", maxStyle}
		}
		s.out.text(sheet)
	}
	if f.name != "" {
		s.out.end(f.name)
	}
	return nil
}

// text handles text. Only text that is shown, titles and style sheets are kept.
func (s *sanitiser) text(e event) error {
	if len(s.open) == 0 {
		if strings.Trim(e.text, " \t\n\r") != "" {
			return s.scan.fail("there is text outside of the root element")
		}
		return nil
	}
	switch f := s.open[len(s.open)-1]; {
	case f.css != nil:
		f.css.WriteString(e.text)
	case f.name != "" && f.kind.text:
		s.out.text(e.text)
	}
	return nil
}

// A tag is a start tag that is being sanitised.
type tag struct {
	s    *sanitiser
	name string
	kind element
	kept []attr // without prefixes, except xml:space and xml:lang
	refs []ref
	node node

	moves int // bytes of the largest value of an animation
}

// read sanitises the attributes of an element. keep is false if the element is to be left out.
func (t *tag) read(attrs []attr) (keep bool, err error) {
	href, linked := "", false
	for _, a := range attrs {
		space := ""
		if a.prefix != "" {
			space = t.s.namespace(a.prefix)
		}
		switch {
		case a.prefix == "xmlns" || a.prefix == "" && a.local == "xmlns":
		case a.prefix == "" && a.local == "href":
			href, linked = a.value, true
		case a.prefix == "" && a.local == "requiredExtensions":
			return false, nil // browsers do not draw it
		case a.prefix == "":
			if keep := t.attr(a); !keep {
				return false, nil
			}
		case space == nsXLink && a.local == "href" && !hasHref(attrs):
			href, linked = a.value, true
		case space == nsXML && (a.local == "space" || a.local == "lang") && isPlain(a.value):
			t.keep("xml:"+a.local, a.value)
		}
	}
	if !linked {
		// An animation without a reference changes the element around it.
		return t.kind.href == hrefNone || t.kind.href == hrefOwn, nil
	}
	kept, id, keep, err := t.s.href(t.kind.href, href)
	if err != nil || !keep {
		return false, err
	}
	if kept != "" {
		t.keep("href", kept)
	}
	if id != "" && repeats[t.name] {
		t.refs = append(t.refs, ref{id: id, clone: t.name == "use"})
	}
	return true, nil
}

// hasHref reports whether there is an attribute href without a prefix, which has precedence over xlink:href.
func hasHref(attrs []attr) bool {
	for _, a := range attrs {
		if a.prefix == "" && a.local == "href" {
			return true
		}
	}
	return false
}

func (t *tag) keep(name, value string) {
	for _, a := range t.kept {
		if a.local == name { // two prefixes of one namespace
			return
		}
	}
	t.kept = append(t.kept, attr{local: name, value: value})
}

// attr sanitises an attribute without a prefix. It returns false if the element is to be left out.
func (t *tag) attr(a attr) (keep bool) {
	switch attributes[a.local] {
	case attrNone:
	case attrText:
		t.text(a)
	case attrPlain:
		if isPlain(a.value) || a.local == "type" && t.name == "style" {
			return t.plain(a)
		}
	case attrClock:
		if isPlain(strings.ReplaceAll(a.value, ":", "")) {
			t.keep(a.local, a.value)
		}
	case attrPath:
		a.value = pathData(a.value)
		t.keep(a.local, a.value)
		t.node.path = max(t.node.path, int32(len(a.value)))
	case attrCSS:
		t.css(a)
	case attrMoved:
		return t.moved(a)
	case attrName:
		return t.animated(a)
	case attrMedia:
		return t.media(a)
	case attrStyle:
		reader := cssReader{t: tokenizer{s: a.value}}
		if style := reader.declarations(placeRule, false); style != "" && len(style) <= maxStyle {
			t.keep(a.local, style)
			t.refer(reader.refs)
		}
	}
	return true
}

func (t *tag) text(a attr) {
	switch a.local {
	case "id":
		t.node.id = a.value
	case "class":
		t.node.class = a.value
	}
	t.keep(a.local, a.value)
}

// plain keeps a plain attribute. A style element of another type than CSS is left out.
func (t *tag) plain(a attr) (keep bool) {
	if t.name == "style" && a.local == "type" {
		return a.value == "" || strings.EqualFold(strings.TrimSpace(a.value), "text/css")
	}
	if a.local == "points" {
		t.node.path = max(t.node.path, int32(len(a.value)))
	}
	t.keep(a.local, a.value)
	return true
}

// media keeps the condition of a style element. An element with an unknown one is left out: its rules would always
// apply.
func (t *tag) media(a attr) (keep bool) {
	if t.name != "style" || strings.TrimSpace(a.value) == "" {
		return true
	}
	c := cssReader{t: tokenizer{s: a.value}}
	tokens, _ := c.collect("")
	condition, ok := condition(tokens)
	if ok {
		t.keep(a.local, condition)
	}
	return ok
}

// css keeps an attribute that is a property of CSS.
func (t *tag) css(a attr) {
	if isSimple(a.value) || strings.HasPrefix(a.local, "transform") && isPlain(a.value) {
		t.keep(a.local, a.value)
		return
	}
	if value, refs, ok := cssValue(a.value, placeRule); ok {
		for i := range refs {
			refs[i].marker = strings.HasPrefix(a.local, "marker")
		}
		t.keep(a.local, value)
		t.refer(refs)
	}
}

// isSimple reports whether a value of CSS has only words, numbers and colours.
func isSimple(s string) bool {
	return s != "" && !strings.ContainsAny(s, "();:_") && isPlain(strings.ReplaceAll(s, "#", ""))
}

// maxMoved bounds the values of an animation that are not plain numbers.
const maxMoved = 10_000

// moved keeps the values of an animation. They may not refer to elements.
func (t *tag) moved(a attr) (keep bool) {
	t.moves = max(t.moves, len(a.value)) // a path is drawn up to its first error
	if isPlain(a.value) {
		t.keep(a.local, a.value)
		return true
	}
	if strings.Count(a.value, ";") > maxMoved {
		return false
	}
	if !t.kind.animate {
		return true // feColorMatrix has plain values only
	}
	var values []string
	for value := range strings.SplitSeq(a.value, ";") {
		value = strings.TrimSpace(value)
		if !isSimple(value) && value != "" {
			var ok bool
			if value, _, ok = cssValue(value, placeKeyframe); !ok {
				return false
			}
		}
		values = append(values, value)
	}
	t.keep(a.local, strings.Join(values, ";"))
	return true
}

// animated keeps the name of the attribute that an animation changes: one whose values are kept as they are.
func (t *tag) animated(a attr) (keep bool) {
	name := strings.TrimSpace(a.value)
	switch kind := attributes[name]; {
	case kind == attrPlain, kind == attrCSS, kind == attrPath:
		t.keep(a.local, name)
		return true
	}
	return false
}

// refer adds references by CSS to the graph.
func (t *tag) refer(refs []cssRef) {
	for _, r := range refs {
		t.refs = append(t.refs, ref{id: r.id, marker: r.marker})
	}
}
