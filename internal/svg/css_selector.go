package svg

import "strings"

// maxSelectors limits the selectors of a rule.
const maxSelectors = 200

// selectors returns the text of a list of selectors, and for each the key of the elements that it may match: "#" and
// an id, "." and a class, or the name of an element, of the last compound selector; else "*".
func selectors(tokens []cssToken) (text string, keys []string, ok bool) {
	tokens = trim(tokens)
	key := selectorKey{}
	var nest []cssKind
	for i, t := range tokens {
		if len(nest) == 0 {
			if t.kind == ',' {
				keys = append(keys, key.String())
			}
			if combines(tokens, i) {
				key = selectorKey{}
			}
		}
		if !selectorToken(t, nest) || len(keys) > maxSelectors {
			return "", nil, false
		}
		if len(nest) == 0 {
			key.add(tokens, i)
		}
		before := len(nest)
		nest = nestIn(nest, t.kind)
		if (t.kind == ')' || t.kind == ']') && len(nest) == before {
			return "", nil, false
		}
	}
	if len(nest) > 0 || len(tokens) == 0 {
		return "", nil, false
	}
	var b strings.Builder
	writeTokens(&b, tokens)
	return b.String(), append(keys, key.String()), true
}

// combines reports whether another compound selector follows the i-th token.
func combines(tokens []cssToken, i int) bool {
	switch t := tokens[i]; t.kind {
	case ',':
		return true
	case cssSpace:
		return i+1 < len(tokens) && tokens[i+1].kind != ','
	case cssDelim:
		return strings.Contains(">+~", t.text)
	}
	return false
}

// selectorToken reports whether a selector may have a token in the given brackets.
func selectorToken(t cssToken, nest []cssKind) bool {
	attribute := len(nest) > 0 && nest[len(nest)-1] == ']'
	switch t.kind {
	case cssSpace, cssIdent, cssHash, ':', ',', ')', ']':
		return true
	case '[':
		return !attribute
	case cssString:
		return attribute
	case cssNumber, cssDimension:
		return len(nest) > 0
	case cssFunction:
		return selectorFunctions[strings.ToLower(t.text)] && !attribute && len(nest) < 4
	case cssDelim:
		if attribute {
			return strings.Contains("=~^$*", t.text)
		}
		return strings.Contains(".>+~*-", t.text)
	}
	return false
}

// A selectorKey has the names in a compound selector.
type selectorKey struct{ id, class, name string }

// add adds the name that the i-th token gives, if any.
func (k *selectorKey) add(tokens []cssToken, i int) {
	var before cssToken
	if i > 0 {
		before = tokens[i-1]
	}
	switch t := tokens[i]; {
	case t.kind == cssHash:
		k.id = t.text
	case t.kind != cssIdent:
	case before.kind == cssDelim && before.text == ".":
		k.class = t.text
	case before.kind != ':':
		k.name = t.text
	}
}

func (k selectorKey) String() string {
	switch {
	case k.id != "":
		return "#" + k.id
	case k.class != "":
		return "." + k.class
	case k.name != "":
		return k.name
	}
	return "*"
}
