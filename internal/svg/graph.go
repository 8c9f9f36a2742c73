package svg

import (
	"slices"
	"strings"
)

const (
	// maxDrawn limits the elements that are drawn, with the repetitions of patterns, masks, markers and filters.
	maxDrawn = 2_500_000
	// maxChain limits references to elements with references.
	maxChain = 2 * maxDepth
	// maxRuleRefs limits the references of the style sheets to one class, id or element.
	maxRuleRefs = 64
	// maxTargets limits the references of one element, by its attributes and by style sheets.
	maxTargets = 1000
)

// repeats has the elements whose href repeats another element.
var repeats = map[string]bool{"use": true, "pattern": true, "feImage": true}

// A graph has the kept elements of a document with their references, to bound how often each is drawn. A document of
// a few kilobytes can draw 10 billion elements by references to references.
type graph struct {
	nodes []node
	refs  []ref
	rules map[string][]cssRef // references of the style sheets by the key of a selector
	over  bool                // a key has more than maxRuleRefs

	ids   map[string]int32
	ruled map[string][]target // rules, with the elements that they refer to
	moves int                 // the longest value of an animation
	state []count

	// intoMarkers: a reference leads to an element inside a marker, which is drawn without the marker then.
	intoMarkers bool
}

// A node is an element.
type node struct {
	parent, child, next int32 // -1 for none; child is its last one
	path                int32 // bytes of the data of a path
	firstRef, lastRef   int32
	name, id, class     string
}

// A ref is a reference of a node to an id.
type ref struct {
	id     string
	clone  bool // a use element, which repeats the elements in the document
	marker bool // drawn at each point of a path
}

// add adds an element, whose parent was added before, and returns its index. moves is the size of the largest value of
// an animation in it.
func (g *graph) add(n node, moves int, refs []ref) int32 {
	at := int32(len(g.nodes))
	n.child, n.next = -1, -1
	if n.parent >= 0 {
		n.next = g.nodes[n.parent].child
		g.nodes[n.parent].child = at
	}
	n.firstRef = int32(len(g.refs))
	g.refs = append(g.refs, refs...)
	n.lastRef = int32(len(g.refs))
	g.moves = max(g.moves, moves)
	g.nodes = append(g.nodes, n)
	return at
}

// rule adds the references of a rule to the keys of its selectors.
func (g *graph) rule(keys []string, refs []cssRef) {
	if g.rules == nil {
		g.rules = map[string][]cssRef{}
	}
	for _, key := range keys {
		for _, r := range refs {
			if !contains(g.rules[key], r) {
				g.rules[key] = append(g.rules[key], r)
			}
			g.over = g.over || len(g.rules[key]) > maxRuleRefs
		}
		if g.over {
			return
		}
	}
}

func contains(refs []cssRef, r cssRef) bool {
	for _, other := range refs {
		if other == r {
			return true
		}
	}
	return false
}

// A count is what an element draws, with the elements in it and those that it refers to.
type count struct {
	state    int8
	elements int64 // copies by use elements included
	points   int64 // of paths, at most
	drawn    int64
}

const (
	countBegun = 1
	countDone  = 2
)

var errCycle = &Error{true, "has a reference that leads back to its own element"}

// check returns an error if the references draw too much.
func (g *graph) check() error {
	if g.over {
		return &LimitError{"references in style sheets", maxRuleRefs}
	}
	if len(g.refs) == 0 && len(g.rules) == 0 {
		return nil
	}
	g.ids = map[string]int32{}
	for i, n := range g.nodes {
		if _, taken := g.ids[n.id]; n.id != "" && !taken {
			g.ids[n.id] = int32(i)
		}
	}
	g.ruled = map[string][]target{}
	for key, refs := range g.rules {
		for _, r := range refs {
			if t, ok := g.target(ref{id: r.id, marker: r.marker}); ok {
				g.ruled[key] = append(g.ruled[key], t)
			}
		}
	}
	g.findIntoMarkers()
	g.state = make([]count, len(g.nodes))
	_, err := g.count(0, 0)
	return err
}

// count counts what an element draws.
func (g *graph) count(at int32, depth int) (count, error) {
	switch c := g.state[at]; {
	case c.state == countDone:
		return c, nil
	case c.state == countBegun:
		return c, errCycle
	case depth > maxChain:
		return c, &LimitError{"references in sequence", maxChain}
	}
	g.state[at].state = countBegun
	n := g.nodes[at]
	c := count{elements: 1, drawn: 1, points: int64(n.path) / 2}
	for child := n.child; child >= 0; child = g.nodes[child].next {
		inner, err := g.count(child, depth+1)
		if err != nil {
			return c, err
		}
		c.add(inner)
	}
	targets, err := g.targets(at)
	if err != nil {
		return c, err
	}
	for _, t := range targets {
		inner, err := g.count(t.node, depth+1)
		if err != nil {
			return c, err
		}
		if t.clone {
			c.add(inner)
		}
	}
	if c.elements > maxElements {
		return c, &LimitError{"elements, with those that are repeated", maxElements}
	}
	// A property may be inherited by all elements in this one.
	c.points = min(c.points, maxDrawn)
	marked := min(c.elements*int64(1+g.moves/2)+c.points, maxDrawn)
	for _, t := range targets {
		switch inner := g.state[t.node]; {
		case t.clone:
		case t.marker:
			c.drawn += marked * inner.drawn
		default:
			c.drawn += c.elements * inner.drawn
		}
		if c.drawn > maxDrawn {
			return c, &LimitError{"elements to draw, with those that are repeated", maxDrawn}
		}
	}
	if c.drawn > maxDrawn {
		return c, &LimitError{"elements to draw, with those that are repeated", maxDrawn}
	}
	c.state = countDone
	g.state[at] = c
	return c, nil
}

func (c *count) add(inner count) {
	c.elements += inner.elements
	c.points += inner.points
	c.drawn += inner.drawn
}

// A target is the element that a reference leads to.
type target struct {
	node          int32
	clone, marker bool
}

// target returns the element that a reference leads to, unless it is missing or draws nothing.
func (g *graph) target(r ref) (t target, ok bool) {
	at, found := g.ids[r.id]
	if !found || strings.HasSuffix(g.nodes[at].name, "Gradient") {
		return target{}, false
	}
	return target{at, r.clone, r.marker}, true
}

// separatesClasses reports whether a browser separates classes by a character: not by every space of Unicode.
func separatesClasses(c rune) bool { return strings.ContainsRune(" \t\n\r\f", c) }

// findIntoMarkers sets intoMarkers.
func (g *graph) findIntoMarkers() {
	inMarker := make([]bool, len(g.nodes))
	for i, n := range g.nodes { // a parent is before its children
		inMarker[i] = n.parent >= 0 && (inMarker[n.parent] || g.nodes[n.parent].name == "marker")
	}
	into := func(t target) { g.intoMarkers = g.intoMarkers || inMarker[t.node] }
	for _, r := range g.refs {
		if t, ok := g.target(r); ok {
			into(t)
		}
	}
	for _, targets := range g.ruled {
		for _, t := range targets {
			into(t)
		}
	}
}

// inOwnMarker reports whether a reference of an element leads to the marker that the element is in. A rule such as
// path{marker-end:url(#m)} also applies to the path in the marker m. Browsers do not draw a marker in itself.
func (g *graph) inOwnMarker(at int32, t target) bool {
	if !t.marker || g.intoMarkers || g.nodes[t.node].name != "marker" {
		return false
	}
	for ; at >= 0; at = g.nodes[at].parent {
		if at == t.node {
			return true
		}
	}
	return false
}

// targets returns the elements that an element repeats, by its attributes and by style sheets.
func (g *graph) targets(at int32) (all []target, err error) {
	n := g.nodes[at]
	for _, r := range g.refs[n.firstRef:n.lastRef] {
		if t, ok := g.target(r); ok {
			all = append(all, t)
		}
	}
	if len(g.ruled) > 0 {
		all = append(append(append(all, g.ruled["*"]...), g.ruled[n.name]...), g.ruled["#"+n.id]...)
		for class := range strings.FieldsFuncSeq(n.class, separatesClasses) {
			if all = append(all, g.ruled["."+class]...); len(all) > maxTargets {
				break
			}
		}
	}
	if len(all) > maxTargets {
		return nil, &LimitError{"references of an element", maxTargets}
	}
	return slices.DeleteFunc(all, func(t target) bool { return g.inOwnMarker(at, t) }), nil
}
