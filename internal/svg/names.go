package svg

import "strings"

// The namespaces that count.
const (
	nsSVG   = "http://www.w3.org/2000/svg"
	nsXLink = "http://www.w3.org/1999/xlink"
	nsXML   = "http://www.w3.org/XML/1998/namespace"
)

// A hrefRule says which references an element may have.
type hrefRule int

const (
	hrefNone    hrefRule = iota // the reference is removed
	hrefOwn                     // to an element of the document, or it is removed
	hrefUse                     // to an element of the document, or the use element is removed
	hrefPicture                 // an embedded picture, or the image element is removed
	hrefEither                  // one of these, or the feImage element is removed
)

// An element describes an element that is kept.
type element struct {
	text    bool // its text is kept
	plain   bool // it has no child elements
	href    hrefRule
	animate bool // it changes an attribute over time
}

// elements are the elements of SVG that are kept, with their content. All others are left out with their content:
// script, foreignObject, handler, metadata, elements of other namespaces.
var elements = func() map[string]element {
	all := map[string]element{
		"a": {text: true}, "text": {text: true}, "tspan": {text: true}, "textPath": {text: true, href: hrefOwn},
		"title": {text: true, plain: true}, "desc": {text: true, plain: true},
		"style": {text: true, plain: true},
		"use":   {href: hrefUse}, "image": {href: hrefPicture}, "feImage": {href: hrefEither},
		"linearGradient": {href: hrefOwn}, "radialGradient": {href: hrefOwn}, "pattern": {href: hrefOwn},
		"filter": {href: hrefOwn}, "mpath": {href: hrefOwn},
		"animate": {href: hrefOwn, animate: true}, "animateTransform": {href: hrefOwn, animate: true},
		"animateMotion": {href: hrefOwn}, "set": {href: hrefOwn, animate: true},
	}
	for _, name := range strings.Fields(`circle clipPath defs ellipse g line marker mask path polygon polyline rect
		stop svg switch symbol
		feBlend feColorMatrix feComponentTransfer feComposite feConvolveMatrix feDiffuseLighting feDisplacementMap
		feDistantLight feDropShadow feFlood feFuncA feFuncB feFuncG feFuncR feGaussianBlur feMerge feMergeNode
		feMorphology feOffset fePointLight feSpecularLighting feSpotLight feTile feTurbulence`) {
		all[name] = element{}
	}
	return all
}()

// An attrKind says which values an attribute may have.
type attrKind int

const (
	attrNone  attrKind = iota
	attrPlain          // numbers, lengths and keywords: see isPlain
	attrClock          // times and events
	attrText           // any text, which browsers neither run nor fetch
	attrCSS            // a value of a property of CSS
	attrPath           // the data of a path
	attrMoved          // values of an animated attribute
	attrName           // the name of an attribute, of an animation
	attrStyle          // declarations of CSS
	attrMedia          // the condition of a style element
)

// attributes are the attributes without a prefix that are kept, for all elements. href is in none of these lists.
var attributes = func() map[string]attrKind {
	all := map[string]attrKind{
		"style": attrStyle, "media": attrMedia, "d": attrPath, "path": attrPath, "attributeName": attrName,
		"from": attrMoved, "to": attrMoved, "by": attrMoved, "values": attrMoved,
	}
	add := func(kind attrKind, names string) {
		for _, name := range strings.Fields(names) {
			all[name] = kind
		}
	}
	add(attrText, `id class role in in2 result lang systemLanguage aria-label aria-labelledby aria-describedby
		aria-hidden aria-roledescription`)
	add(attrPlain, `x y x1 y1 x2 y2 cx cy r rx ry fx fy fr dx dy width height viewBox preserveAspectRatio points
		offset gradientUnits gradientTransform spreadMethod patternUnits patternContentUnits patternTransform
		clipPathUnits maskUnits maskContentUnits markerUnits markerWidth markerHeight refX refY orient pathLength
		rotate textLength lengthAdjust startOffset method spacing side version
		filterUnits primitiveUnits type tableValues slope intercept amplitude exponent k1 k2 k3 k4 operator
		order kernelMatrix divisor bias targetX targetY edgeMode kernelUnitLength preserveAlpha surfaceScale
		diffuseConstant specularConstant specularExponent limitingConeAngle azimuth elevation pointsAtX pointsAtY
		pointsAtZ z scale xChannelSelector yChannelSelector stdDeviation mode radius baseFrequency numOctaves seed
		stitchTiles
		attributeType restart repeatCount calcMode keyTimes keySplines keyPoints additive accumulate origin`)
	add(attrClock, `begin dur end min max repeatDur`)
	add(attrCSS, presentation)
	return all
}()

// presentation are the attributes that are also properties of CSS. Browsers parse their values as CSS.
const presentation = `alignment-baseline baseline-shift clip clip-path clip-rule color color-interpolation
	color-interpolation-filters color-rendering cursor direction display dominant-baseline fill fill-opacity fill-rule
	filter flood-color flood-opacity font-family font-size font-size-adjust font-stretch font-style font-variant
	font-weight glyph-orientation-horizontal glyph-orientation-vertical image-rendering isolation kerning
	letter-spacing lighting-color marker marker-end marker-mid marker-start mask mask-type mix-blend-mode opacity
	overflow paint-order pointer-events shape-rendering stop-color stop-opacity stroke stroke-dasharray
	stroke-dashoffset stroke-linecap stroke-linejoin stroke-miterlimit stroke-opacity stroke-width text-anchor
	text-decoration text-rendering transform transform-origin transform-box unicode-bidi vector-effect visibility
	white-space word-spacing writing-mode`

// properties are the properties of CSS that are kept, besides custom ones.
var properties = func() map[string]bool {
	all := map[string]bool{}
	for _, name := range strings.Fields(presentation + ` font font-kerning font-feature-settings
		font-variation-settings font-variant-caps font-variant-ligatures font-variant-numeric font-optical-sizing
		line-height text-transform text-align text-indent text-shadow text-decoration-color text-decoration-line
		text-decoration-style text-decoration-thickness text-underline-offset text-orientation
		x y cx cy r rx ry width height translate rotate scale transform-style perspective backface-visibility
		background background-color will-change offset offset-path offset-distance offset-rotate color-scheme
		animation animation-name animation-duration animation-delay animation-direction animation-fill-mode
		animation-iteration-count animation-play-state animation-timing-function animation-composition
		transition transition-property transition-duration transition-delay transition-timing-function
		-webkit-animation -webkit-transform -webkit-transform-origin -webkit-font-smoothing user-select`) {
		all[name] = true
	}
	return all
}()

// valueFunctions are the functions of CSS in values. None of them fetches; url is checked separately.
var valueFunctions = words(`rgb rgba hsl hsla hwb lab lch oklab oklch color color-mix light-dark
	calc min max clamp round mod rem abs sign sin cos tan asin acos atan atan2 pow sqrt hypot log exp var url
	matrix matrix3d translate translatex translatey translatez translate3d rotate rotatex rotatey rotatez rotate3d
	scale scalex scaley scalez scale3d skew skewx skewy perspective cubic-bezier steps linear
	blur brightness contrast drop-shadow grayscale hue-rotate invert opacity saturate sepia
	inset circle ellipse polygon path rect xywh ray`)

// selectorFunctions are the functions of CSS in selectors.
var selectorFunctions = words(`not is where nth-child nth-last-child nth-of-type nth-last-of-type lang`)

// words returns the set of the words of a text.
func words(text string) map[string]bool {
	set := map[string]bool{}
	for _, word := range strings.Fields(text) {
		set[word] = true
	}
	return set
}

// isPlain reports whether a value has only the characters of numbers, lengths, keywords and transformations. No URL
// with a scheme or a host can be written in them.
func isPlain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			strings.IndexByte(" \t\n\r+-.,;%_()", c) >= 0:
		default:
			return false
		}
	}
	return !strings.Contains(strings.ToLower(s), "url(")
}

// pathData returns the beginning of s that may be the data of a path.
func pathData(s string) string {
	for i := range len(s) {
		if strings.IndexByte("MmZzLlHhVvCcSsQqTtAa0123456789eE+-., \t\n\r", s[i]) < 0 {
			return s[:i]
		}
	}
	return s
}
