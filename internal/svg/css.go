package svg

import (
	"strings"
)

// The limits of CSS. What exceeds them is left out, except the size of all style sheets.
const (
	maxTokens     = 10_000 // of a value or a selector
	maxVariables  = 16     // uses of custom properties in a value: each may be long
	maxNestedRule = 4      // at-rules in at-rules
)

// A cssReader sanitises CSS. It keeps declarations whose tokens are all known and harmless, in rules whose
// selectors are. Of at-rules it keeps media, supports and keyframes: others may fetch.
type cssReader struct {
	t    tokenizer
	read []cssToken // of the last collect
	refs []cssRef   // of the declarations since it was cleared
	rule func(keys []string, refs []cssRef)
}

// A cssRef is a reference to an element of the document by a value of CSS.
type cssRef struct {
	id     string
	marker bool // of a property that draws at each point of a path
}

// A place says where a value stands.
type place int

const (
	placeRule place = iota
	placeCustom
	placeKeyframe // or values of an animation
)

// sheet sanitises a style sheet.
func (c *cssReader) sheet() string {
	var b strings.Builder
	c.rules(&b, 0)
	return b.String()
}

// rules sanitises rules up to the end of the text or, if they are nested, of their block.
func (c *cssReader) rules(b *strings.Builder, nested int) {
	for {
		switch token := c.t.next(); {
		case token.kind == cssEnd, token.kind == '}' && nested > 0, b.Len() > maxStyle: // the caller refuses that
			return
		case token.kind == cssSpace, token.kind == cssBad:
		case token.kind == cssAt:
			if c.atRule(b, strings.ToLower(token.text), nested) {
				return
			}
		default:
			c.t.back = &token
			if c.styleRule(b, nested) {
				return
			}
		}
	}
}

// ends returns the kinds that end the beginning of a rule.
func ends(kinds string, nested int) string {
	if nested > 0 {
		return kinds + "}"
	}
	return kinds
}

// styleRule sanitises a rule of selectors and declarations. It reports whether the block around it has ended.
func (c *cssReader) styleRule(b *strings.Builder, nested int) (ended bool) {
	prelude, end := c.collect(ends("{", nested))
	if end != '{' {
		return end == '}'
	}
	selector, keys, ok := selectors(prelude)
	c.refs = nil
	body := c.declarations(placeRule, true)
	if ok && body != "" {
		b.WriteString(selector + "{" + body + "}")
		if len(c.refs) > 0 {
			c.rule(keys, c.refs)
		}
	}
	return false
}

// atRule sanitises a rule that begins with a name. It reports whether the block around it has ended.
func (c *cssReader) atRule(b *strings.Builder, name string, nested int) (ended bool) {
	prelude, end := c.collect(ends(";{", nested))
	if end != '{' {
		return end == '}'
	}
	frames := name == "keyframes" || name == "-webkit-keyframes"
	known := frames || name == "media" || name == "supports"
	condition, ok := condition(prelude)
	if !known || !ok || nested == maxNestedRule {
		c.skipBlock()
		return false
	}
	var body strings.Builder
	if frames {
		c.keyframes(&body)
	} else {
		c.rules(&body, nested+1)
	}
	if body.Len() > 0 {
		b.WriteString("@" + name + " " + condition + "{" + body.String() + "}")
	}
	return false
}

// keyframes sanitises the steps of an animation.
func (c *cssReader) keyframes(b *strings.Builder) {
	for {
		token := c.t.next()
		switch {
		case token.kind == cssEnd, token.kind == '}', b.Len() > maxStyle:
			return
		case token.kind == cssSpace:
			continue
		}
		c.t.back = &token
		prelude, end := c.collect("{}")
		if end != '{' {
			return
		}
		step, ok := condition(prelude)
		if body := c.declarations(placeKeyframe, true); ok && body != "" {
			b.WriteString(step + "{" + body + "}")
		}
	}
}

// condition returns the condition of an at-rule, the name of an animation or the steps of a keyframe.
func condition(tokens []cssToken) (string, bool) {
	tokens = trim(tokens)
	depth := 0
	for _, t := range tokens {
		switch t.kind {
		case cssSpace, cssIdent, cssNumber, cssPercentage, cssDimension, cssHash, ':', ',':
		case '(':
			depth++
		case ')':
			depth--
		case cssDelim:
			if strings.IndexByte("<>=/", t.text[0]) < 0 {
				return "", false
			}
		default:
			return "", false
		}
		if depth < 0 {
			return "", false
		}
	}
	var b strings.Builder
	writeTokens(&b, tokens)
	return b.String(), depth == 0 && len(tokens) > 0
}

// collect returns the tokens up to one of the kinds in ends, which it passes over and returns; cssEnd at the end of
// the text. Kinds within brackets do not count. More than maxTokens tokens make it return a bad one. The tokens are
// valid until the next call.
func (c *cssReader) collect(ends string) (tokens []cssToken, end cssKind) {
	var nest []cssKind
	tokens = c.read[:0]
	defer func() { c.read = tokens }()
	for {
		t := c.t.next()
		if t.kind == cssEnd || len(nest) == 0 && strings.IndexByte(ends, byte(t.kind)) >= 0 {
			return tokens, t.kind
		}
		nest = nestIn(nest, t.kind)
		switch {
		case len(tokens) < maxTokens:
			tokens = append(tokens, t)
		default:
			tokens[maxTokens-1] = cssToken{kind: cssBad}
		}
	}
}

// nestIn returns the closing brackets that are missing after a token.
func nestIn(nest []cssKind, kind cssKind) []cssKind {
	switch kind {
	case '(', cssFunction:
		return append(nest, ')')
	case '[':
		return append(nest, ']')
	case '{':
		return append(nest, '}')
	case ')', ']', '}':
		if len(nest) > 0 && nest[len(nest)-1] == kind {
			return nest[:len(nest)-1]
		}
	}
	return nest
}

// skipBlock passes over a block whose opening brace was read.
func (c *cssReader) skipBlock() {
	nest := []cssKind{'}'}
	for len(nest) > 0 {
		t := c.t.next()
		if t.kind == cssEnd {
			return
		}
		nest = nestIn(nest, t.kind)
	}
}

// declarations sanitises declarations up to the end of the text or, in a block, of the block. It adds their
// references to c.refs. The result is longer than maxStyle, and incomplete, if there are too many.
func (c *cssReader) declarations(where place, block bool) string {
	var kept strings.Builder
	for {
		ends := ";"
		if block {
			ends = ";}"
		}
		tokens, end := c.collect(ends)
		if text, refs, ok := declaration(tokens, where); ok && kept.Len() <= maxStyle {
			if kept.Len() > 0 {
				kept.WriteByte(';')
			}
			kept.WriteString(text)
			c.refs = append(c.refs, refs...)
		}
		if end != ';' {
			return kept.String()
		}
	}
}

// declaration sanitises a declaration.
func declaration(tokens []cssToken, where place) (text string, refs []cssRef, ok bool) {
	tokens = trim(tokens)
	if len(tokens) < 3 || tokens[0].kind != cssIdent {
		return "", nil, false
	}
	name := tokens[0].text
	custom := strings.HasPrefix(name, "--")
	if !custom {
		name = strings.ToLower(name)
	}
	rest := trim(tokens[1:])
	if rest[0].kind != ':' || !custom && !properties[name] {
		return "", nil, false
	}
	if custom && where == placeRule {
		where = placeCustom
	}
	rest, important := cutImportant(trim(rest[1:]))
	value, refs, ok := value(rest, where)
	if !ok {
		return "", nil, false
	}
	for i := range refs {
		refs[i].marker = strings.HasPrefix(name, "marker")
	}
	var b strings.Builder
	writeName(&b, name, true)
	b.WriteString(":" + value)
	if important {
		b.WriteString("!important")
	}
	return b.String(), refs, true
}

// cutImportant removes "!important" from the end of a value.
func cutImportant(tokens []cssToken) (rest []cssToken, important bool) {
	for i := len(tokens) - 1; i > 0; i-- {
		if t := tokens[i]; t.kind != cssDelim || t.text != "!" {
			continue
		}
		after := trim(tokens[i+1:])
		if len(after) == 1 && after[0].kind == cssIdent && strings.EqualFold(after[0].text, "important") {
			return trim(tokens[:i]), true
		}
	}
	return tokens, false
}

// trim removes spaces at both ends.
func trim(tokens []cssToken) []cssToken {
	for len(tokens) > 0 && tokens[0].kind == cssSpace {
		tokens = tokens[1:]
	}
	for len(tokens) > 0 && tokens[len(tokens)-1].kind == cssSpace {
		tokens = tokens[:len(tokens)-1]
	}
	return tokens
}

// cssValue sanitises the value of an attribute that browsers parse as CSS.
func cssValue(s string, where place) (text string, refs []cssRef, ok bool) {
	c := cssReader{t: tokenizer{s: s}}
	tokens, _ := c.collect("")
	return value(trim(tokens), where)
}

// value returns the text of a value whose tokens are all harmless. A reference to another document, a function that
// is not in the list, and brackets without their pair make it not ok.
func value(tokens []cssToken, where place) (text string, refs []cssRef, ok bool) {
	var nest []cssKind
	kept := make([]cssToken, 0, len(tokens))
	variables := 0
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		if t.kind == cssFunction && strings.EqualFold(t.text, "url") {
			if t, i = quotedURL(tokens, i); i == 0 {
				return "", nil, false
			}
		}
		switch t.kind {
		case cssSpace, cssIdent, cssHash, cssString, cssNumber, cssPercentage, cssDimension, ',', '(', ')':
		case cssFunction:
			name := strings.ToLower(t.text)
			if name == "var" {
				variables++
			}
			if !valueFunctions[name] || variables > maxVariables {
				return "", nil, false
			}
		case cssURL:
			id, local := fragment(t.text)
			if !local || where != placeRule {
				return "", nil, false
			}
			t.text = "#" + id
			refs = append(refs, cssRef{id: id})
		case cssDelim:
			if strings.IndexByte("+-*/.", t.text[0]) < 0 {
				return "", nil, false
			}
		default:
			return "", nil, false
		}
		kept = append(kept, t)
		before := len(nest)
		nest = nestIn(nest, t.kind)
		if t.kind == ')' && len(nest) == before {
			return "", nil, false
		}
	}
	if len(nest) > 0 || len(kept) == 0 {
		return "", nil, false
	}
	var b strings.Builder
	writeTokens(&b, kept)
	return b.String(), refs, true
}

// quotedURL returns the URL of the function url at i, with one string, and the index of its end; 0 if it has
// another form.
func quotedURL(tokens []cssToken, i int) (url cssToken, end int) {
	for end = i + 1; end < len(tokens); end++ {
		switch t := tokens[end]; {
		case t.kind == cssSpace:
		case t.kind == cssString && url.kind == cssEnd:
			url = cssToken{kind: cssURL, text: t.text}
		case t.kind == ')' && url.kind == cssURL:
			return url, end
		default:
			return url, 0
		}
	}
	return url, 0
}
