// Package svgtest has SVGs for tests: hostile ones, and usual ones.
package svgtest

import (
	"encoding/base64"
	"fmt"
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

// Hostile returns SVGs that try to run a script or to fetch something. A script that runs requests
// origin/ran?<name> and calls alert. origin is the scheme, host and port of a listener.
func Hostile(origin string) (all []File) {
	add := func(name, body string, refused bool) {
		run := fmt.Sprintf("new Image().src='%s/ran?%s';alert(1)", origin, name)
		body = strings.NewReplacer("{RUN}", run, "{O}", origin+"/fetched?"+name,
			"{RUN64}", base64.StdEncoding.EncodeToString([]byte("<script>"+run+"</script>"))).Replace(body)
		all = append(all, File{name, []byte(body), refused})
	}
	for _, group := range []map[string]string{scripts, handlers, links, fetches, styles, animations, names} {
		for name, content := range group {
			add(name, wrap(content), false)
		}
	}
	for name, body := range documents {
		add(name, body, false)
	}
	for name, body := range refused {
		add(name, body, true)
	}
	add("utf-16, little", wide(wrap(`<script>{RUN}</script>`), false), false)
	all[len(all)-1].Body = []byte(wide(strings.ReplaceAll(wrap(`<script>{RUN}</script>`), "{RUN}",
		fmt.Sprintf("new Image().src='%s/ran?wide';alert(1)", origin)), false))
	all = append(all, File{"utf-16, big", []byte(wide(strings.ReplaceAll(wrap(`<image href="{O}"/>`), "{O}",
		origin+"/fetched?wide"), true)), false})
	for name, body := range Bombs() {
		all = append(all, File{name, body, true})
	}
	return all
}

// wide returns a text in UTF-16 with a byte order mark.
func wide(s string, big bool) string {
	var b []byte
	for _, unit := range append([]uint16{0xfeff}, utf16.Encode([]rune(s))...) {
		if big {
			b = append(b, byte(unit>>8), byte(unit))
		} else {
			b = append(b, byte(unit), byte(unit>>8))
		}
	}
	return string(b)
}

var scripts = map[string]string{
	"script":                      `<script>{RUN}</script>`,
	"script of a type":            `<script type="application/ecmascript">{RUN}</script>`,
	"script from elsewhere":       `<script href="{O}"/>`,
	"script by xlink":             `<script xlink:href="{O}"/>`,
	"script in data":              `<script href="data:text/javascript,{RUN}"/>`,
	"script in CDATA":             `<script><![CDATA[{RUN}]]></script>`,
	"script by references":        `<script>&#110;ew Image().src=&quot;{O}&quot;;alert(1)</script>`,
	"script in defs":              `<defs><g><script>{RUN}</script></g></defs>`,
	"script in a title":           `<title><script>{RUN}</script></title>`,
	"script in a style":           `<style><script>{RUN}</script></style>`,
	"script in an unknown":        `<unknown><script>{RUN}</script></unknown>`,
	"script in metadata":          `<metadata><script>{RUN}</script></metadata>`,
	"script under a prefix":       `<x:script xmlns:x="http://www.w3.org/2000/svg">{RUN}</x:script>`,
	"script of XHTML":             `<script xmlns="http://www.w3.org/1999/xhtml">{RUN}</script>`,
	"script of XHTML by a prefix": `<h:script xmlns:h="http://www.w3.org/1999/xhtml">{RUN}</h:script>`,
	"script behind a redeclared prefix": `<g xmlns:x="urn:x"><g xmlns:x="http://www.w3.org/2000/svg"><x:script>` +
		`{RUN}</x:script></g></g>`,
	"namespace by references": `<script xmlns="http&#58;//www.w3.org/2000/svg">{RUN}</script>`,
	"foreignObject": `<foreignObject width="200" height="100"><body xmlns="http://www.w3.org/1999/xhtml">` +
		`<img src="x" onerror="{RUN}"/><iframe src="{O}"/><form action="{O}"><input/></form></body></foreignObject>`,
	"XHTML without foreignObject": `<img xmlns="http://www.w3.org/1999/xhtml" src="{O}" onerror="{RUN}"/>`,
	"iframe of XHTML":             `<iframe xmlns="http://www.w3.org/1999/xhtml" src="javascript:{RUN}"/>`,
	"object of XHTML":             `<object xmlns="http://www.w3.org/1999/xhtml" data="{O}"/>`,
	"embed of XHTML":              `<embed xmlns="http://www.w3.org/1999/xhtml" src="{O}"/>`,
	"video":                       `<video xmlns="http://www.w3.org/1999/xhtml" src="{O}" poster="{O}"/>`,
	"audio of SVG":                `<audio xlink:href="{O}"/><video xlink:href="{O}"/><iframe src="{O}"/>`,
	"link of XHTML":               `<link xmlns="http://www.w3.org/1999/xhtml" rel="stylesheet" href="{O}"/>`,
	"meta of XHTML":               `<meta xmlns="http://www.w3.org/1999/xhtml" http-equiv="refresh" content="0;url={O}"/>`,
	"base of XHTML":               `<base xmlns="http://www.w3.org/1999/xhtml" href="{O}"/><image href="x.png"/>`,
	"handler element":             `<handler type="application/ecmascript" ev:event="load" xmlns:ev="http://www.w3.org/2001/xml-events">{RUN}</handler>`,
	"listener element":            `<ev:listener xmlns:ev="http://www.w3.org/2001/xml-events" event="load" handler="#h"/>`,
}

var handlers = map[string]string{
	"onload":                 `<g onload="{RUN}"/>`,
	"onload of an image":     `<image href="data:image/png;base64,` + PNG + `" onload="{RUN}"/>`,
	"onerror of an image":    `<image href="x" onerror="{RUN}"/>`,
	"ONLOAD":                 `<g ONLOAD="{RUN}" OnLoad="{RUN}"/>`,
	"onbegin":                `<rect><animate attributeName="x" to="1" dur="1s" onbegin="{RUN}" onend="{RUN}"/></rect>`,
	"onbegin of a set":       `<rect><set attributeName="x" to="1" onbegin="{RUN}"/></rect>`,
	"onfocus":                `<g tabindex="0" autofocus="" onfocus="{RUN}"><rect width="9" height="9"/></g>`,
	"onanimationstart":       `<style>@keyframes k{from{opacity:0}}</style><rect style="animation:k 1s" onanimationstart="{RUN}"/>`,
	"handler by references":  `<g onload="&#110;ew Image().src='{O}';alert(1)"/>`,
	"handler under a prefix": `<g xmlns:x="http://www.w3.org/2000/svg" x:onload="{RUN}"/>`,
	"handler with a newline": "<g onload\n=\n'" + `alert(1)` + "'/>",
}

var links = map[string]string{
	"javascript link":                      `<a href="javascript:{RUN}"><rect width="200" height="100"/></a>`,
	"javascript link, spaced":              "<a href=\" &#1" + `0;java&#x9;script:{RUN}"><rect width="200" height="100"/></a>`,
	"javascript link by xlink":             `<a xlink:href="JavaScript:{RUN}"><rect width="200" height="100"/></a>`,
	"javascript link under another prefix": `<a xmlns:y="http://www.w3.org/1999/xlink" y:href="javascript:{RUN}"/>`,
	"html link in data":                    `<a href="data:text/html;base64,{RUN64}"><rect width="200" height="100"/></a>`,
	"link elsewhere":                       `<a href="{O}" target="_top" ping="{O}"><rect width="200" height="100"/></a>`,
	"two references":                       `<use href="#a" xlink:href="{O}#a"/><g id="a"/>`,
	"use of javascript":                    `<use href="javascript:{RUN}"/>`,
	"use of vbscript":                      `<use href="vbscript:{RUN}"/>`,
}

var fetches = map[string]string{
	"image":                  `<image href="{O}" width="9" height="9"/>`,
	"image by xlink":         `<image xlink:href="{O}" width="9" height="9"/>`,
	"image without a scheme": `<image href="//127.0.0.1:9/x" width="9" height="9"/>`,
	"image, relative":        `<image href="/relative" width="9" height="9"/>`,
	"image below xml:base":   `<g xml:base="{O}/"><image href="x" width="9" height="9"/></g>`,
	"image of a file":        `<image href="file:///etc/passwd" width="9" height="9"/>`,
	"image of an SVG in data": `<image width="9" height="9" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'` +
		`%3E%3Cimage href='{O}'/%3E%3C/svg%3E"/>`,
	"image of an SVG as a PNG": `<image width="9" height="9" href="data:image/png;base64,PHN2ZyB4bWxucz0naHR0cDovL3d3dy53My5v` +
		`cmcvMjAwMC9zdmcnLz4="/>`,
	"image of HTML in data": `<image width="9" height="9" href="data:text/html;base64,{RUN64}"/>`,
	"use elsewhere":         `<use href="{O}#x"/>`,
	"use in data":           `<use href="data:image/svg+xml;base64,PHN2ZyBpZD0neCcgeG1sbnM9J2h0dHA6Ly93d3cudzMub3JnLzIwMDAvc3ZnJy8+#x"/>`,
	"feImage":               `<filter id="f"><feImage href="{O}"/></filter><rect width="9" height="9" filter="url(#f)"/>`,
	"filter elsewhere":      `<rect width="9" height="9" filter="url({O}#f)"/>`,
	"fill elsewhere":        `<rect width="9" height="9" fill="url('{O}#p')"/>`,
	"fill, escaped":         `<rect width="9" height="9" fill="\75 rl({O}#p)"/>`,
	"mask elsewhere":        `<rect width="9" height="9" mask="url({O}#m)" clip-path="url({O}#c)"/>`,
	"marker elsewhere":      `<path d="M0 0h9" marker-end="url({O}#m)" marker="url({O})"/>`,
	"cursor elsewhere":      `<rect width="200" height="100" cursor="url({O}), auto"/><cursor xlink:href="{O}"/>`,
	"gradient elsewhere":    `<linearGradient id="g" href="{O}#g"/><rect width="9" height="9" fill="url(#g)"/>`,
	"pattern elsewhere":     `<pattern id="p" xlink:href="{O}#p"/><rect width="9" height="9" fill="url(#p)"/>`,
	"textPath elsewhere":    `<text><textPath href="{O}#p">x</textPath></text><tref xlink:href="{O}#t"/>`,
	"mpath elsewhere":       `<g><animateMotion dur="1s"><mpath href="{O}#m"/></animateMotion></g>`,
	"font elsewhere":        `<font-face font-family="f"><font-face-src><font-face-uri xlink:href="{O}"/></font-face-src></font-face>`,
	"colour profile":        `<color-profile name="c" xlink:href="{O}"/>`,
	"external resources":    `<g externalResourcesRequired="true"/><discard href="{O}"/>`,
}

var styles = map[string]string{
	"import":                   `<style>@import "{O}";</style>`,
	"import by url":            `<style>@import url({O});</style>`,
	"import, escaped":          `<style>@\69mport "{O}";</style>`,
	"import behind a comment":  `<style>/* */@/**/import "{O}";@import/**/"{O}";</style>`,
	"import in CDATA":          `<style><![CDATA[@import "{O}";]]></style>`,
	"import by references":     `<style>&#64;import "{O}";</style>`,
	"import in two texts":      `<style>@im<!-- -->port "{O}";</style>`,
	"charset and namespace":    `<style>@charset "utf-7";@namespace x url({O});</style>`,
	"font face":                `<style>@font-face{font-family:f;src:url({O})}text{font-family:f}</style><text>x</text>`,
	"font face in media":       `<style>@media all{@font-face{font-family:f;src:url({O})}}text{font-family:f}</style><text>x</text>`,
	"background":               `<style>svg,rect{background:url({O});background-image:url("{O}")}</style>`,
	"background of the root":   `<style>:root{background:#fff url(  '{O}'  ) no-repeat}</style>`,
	"fill in a style":          `<style>rect{fill:url({O}#p)}</style>`,
	"url, escaped":             `<style>rect{fill:u\72 l({O}#p);background:\000075rl({O})}</style>`,
	"url in upper case":        `<style>rect{fill:URL({O}#p)}</style>`,
	"url behind a comment":     `<style>rect{fill:/**/url({O}#p)}</style>`,
	"image-set":                `<style>svg{background:image-set("{O}" 1x);background:-webkit-image-set(url({O}) 1x)}</style>`,
	"image function":           `<style>svg{background:image("{O}");background:cross-fade(url({O}),url({O}))}</style>`,
	"src function":             `<style>svg{background:src("{O}")}</style>`,
	"custom property":          `<style>svg{--u:url({O});background:var(--u)}</style>`,
	"content":                  `<style>text::before{content:url({O})}</style><text>x</text>`,
	"list style":               `<style>svg{list-style:url({O});border-image:url({O}) 1;cursor:url({O}),auto}</style>`,
	"mask image":               `<style>rect{mask-image:url({O});-webkit-mask-image:url({O});-webkit-mask:url({O})}</style>`,
	"shape outside":            `<style>rect{shape-outside:url({O});offset-path:url({O}#p)}</style>`,
	"binding":                  `<style>rect{-moz-binding:url({O}#x);behavior:url({O})}</style>`,
	"expression":               `<style>rect{width:expression(alert(1))}</style>`,
	"keyframes":                `<style>@keyframes k{to{fill:url({O}#p);background:url({O})}}svg{animation:k 1s}</style>`,
	"nested rule":              `<style>svg{color:red;&amp;{background:url({O})}@media all{background:url({O})}}</style>`,
	"layer and container":      `<style>@layer a{svg{background:url({O})}}@container (width>0){svg{background:url({O})}}@scope{svg{background:url({O})}}</style>`,
	"style ends early":         `<style>a{</style><style>}svg{background:url({O})}</style>`,
	"string does not end":      "<style>a{b:\"\n}svg{background:url({O})}</style>",
	"html comment in style":    `<style>&lt;!-- svg{background:url({O})} --&gt;</style>`,
	"style attribute":          `<g style="background:url({O});fill:url({O}#p)"><rect width="9" height="9"/></g>`,
	"style attribute, escaped": `<g style="b\61 ckground:\75\72\6c({O})"/>`,
	"style by references":      `<g style="background&#58;url&#40;{O})"/>`,
	"style in XHTML":           `<style xmlns="http://www.w3.org/1999/xhtml">svg{background:url({O})}</style>`,
	"style of another type":    `<style type="text/xsl">svg{background:url({O})}</style>`,
	"property":                 `<style>@property --u{syntax:"&lt;url&gt;";inherits:true;initial-value:url({O})}svg{background:var(--u)}</style>`,
}

var animations = map[string]string{
	"set of href":                 `<a><set attributeName="href" to="javascript:{RUN}"/><rect width="200" height="100"/></a>`,
	"animated href":               `<a><animate attributeName="xlink:href" values="javascript:{RUN};x" dur="1s"/><rect width="200" height="100"/></a>`,
	"animated image":              `<image width="9" height="9"><set attributeName="href" to="{O}"/></image>`,
	"animated image from outside": `<image id="i" width="9" height="9"/><set href="#i" attributeName="href" to="{O}"/>`,
	"animated use":                `<use href="#x"><animate attributeName="href" to="{O}#x" dur="1s"/></use>`,
	"animated style":              `<g><set attributeName="style" to="background:url({O})"/></g>`,
	"animated fill":               `<rect width="9" height="9"><set attributeName="fill" to="url({O}#p)"/></rect>`,
	"animated filter":             `<rect width="9" height="9"><animate attributeName="filter" values="url({O}#p);none" dur="1s"/></rect>`,
	"animated handler":            `<g><set attributeName="onload" to="{RUN}"/></g>`,
	"animated name, spaced":       `<image width="9" height="9"><set attributeName=" href " to="{O}"/></image>`,
	"animated class":              `<g><set attributeName="class" to="x"/><set attributeName="id" to="x"/></g>`,
}

var names = map[string]string{
	"SCRIPT":             `<SCRIPT>{RUN}</SCRIPT>`,
	"colon in a name":    `<svg:script xmlns:svg="http://www.w3.org/2000/svg">{RUN}</svg:script>`,
	"no namespace":       `<g xmlns=""><script>{RUN}</script></g>`,
	"entities of XML":    `<text>&lt;script&gt;alert(1)&lt;/script&gt;</text>`,
	"end of a comment":   `<!-- <g> --><script>{RUN}</script><!-- -->`,
	"instruction inside": `<?xml-stylesheet href="{O}"?><?php echo 1 ?><g/>`,
	"huge numbers":       `<circle r="1e999" cx="99999999999999999999" cy="-1e308"/><filter id="f"><feGaussianBlur stdDeviation="1e9"/></filter><rect filter="url(#f)" width="1e9" height="1e9"/>`,
	"MathML":             `<math xmlns="http://www.w3.org/1998/Math/MathML" href="javascript:{RUN}"><mi xlink:href="{O}">x</mi></math>`,
	"template":           `<template xmlns="http://www.w3.org/1999/xhtml"><script>{RUN}</script></template>`,
	"nested svg":         `<svg onload="{RUN}"><script>{RUN}</script></svg>`,
	"switch":             `<switch><foreignObject requiredExtensions="http://www.w3.org/1999/xhtml"><iframe xmlns="http://www.w3.org/1999/xhtml" src="{O}"/></foreignObject><g/></switch>`,
}

var documents = map[string]string{
	"stylesheet instruction": `<?xml-stylesheet type="text/css" href="{O}"?>` + wrap(""),
	"transformation":         `<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="{O}"?>` + wrap(""),
	"transformation in data": `<?xml-stylesheet type="text/xsl" href="data:text/xml,x"?>` + wrap(""),
	"document type":          `<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "{O}">` + wrap(""),
	"handlers of the root":   strings.Replace(wrap(""), "<svg ", `<svg onload="{RUN}" onresize="{RUN}" `, 1),
	"byte order mark":        "\ufeff" + wrap(`<script>{RUN}</script>`),
	"latin 1":                `<?xml version="1.0" encoding="ISO-8859-1"?>` + wrap("<script>{RUN}</script><text>\xe9</text>"),
	"prefix for everything": `<s:svg xmlns:s="http://www.w3.org/2000/svg" width="20" height="20"><s:script>{RUN}</s:script>` +
		`<s:image href="{O}"/></s:svg>`,
	"no namespace at all": `<svg onload="{RUN}"><script>{RUN}</script><image href="{O}"/></svg>`,
	"base of the root":    strings.Replace(wrap(`<image href="x"/>`), "<svg ", `<svg xml:base="{O}/" `, 1),
}

var refused = map[string]string{
	"external entity":         `<!DOCTYPE svg [<!ENTITY x SYSTEM "{O}">]>` + wrap(`<text>&x;</text>`),
	"parameter entity":        `<!DOCTYPE svg [<!ENTITY % x SYSTEM "{O}"> %x;]>` + wrap(""),
	"laughs":                  `<!DOCTYPE svg [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>` + wrap(`<text>&b;</text>`),
	"default attribute":       `<!DOCTYPE svg [<!ATTLIST svg onload CDATA "{RUN}">]>` + wrap(""),
	"unknown entity":          wrap(`<text>&nbsp;</text>`),
	"UTF-7":                   `<?xml version="1.0" encoding="UTF-7"?>` + wrap(`+ADw-script+AD4-`),
	"EBCDIC":                  `<?xml version="1.0" encoding="cp037"?>` + wrap(""),
	"truncated":               strings.TrimSuffix(wrap(`<g>`), "</g></svg>"),
	"cut in a tag":            head + `<rect wid`,
	"cut in a value":          head + `<rect width="1`,
	"invalid UTF-8":           wrap("<text>\xff\xfe</text>"),
	"overlong UTF-8":          wrap("<text>\xc0\xbcscript>alert(1)</text>"),
	"surrogate":               wrap("<text>\xed\xa0\x80</text>"),
	"null":                    wrap("<text>\x00</text>"),
	"null by reference":       wrap("<text>&#0;</text>"),
	"two roots":               wrap("") + wrap(""),
	"text behind":             wrap("") + "alert(1)",
	"attribute twice":         wrap(`<g id="a" id="b"/>`),
	"no quotes":               wrap(`<g onload=alert(1)></g>`),
	"crossed tags":            wrap(`<g><a></g></a>`),
	"not a name":              wrap(`<1/>`),
	"HTML":                    `<!DOCTYPE html><html><svg xmlns="http://www.w3.org/2000/svg"/></html>`,
	"another namespace":       `<svg xmlns="http://www.w3.org/1999/xhtml"><script>{RUN}</script></svg>`,
	"in another":              `<x xmlns="urn:x">` + wrap("") + `</x>`,
	"late declaration":        " <?xml version=\"1.0\"?>" + wrap(""),
	"loop of use":             wrap(`<g id="a"><use href="#b"/></g><g id="b"><use href="#a"/></g>`),
	"loop of a pattern":       wrap(`<pattern id="p"><rect width="9" height="9" fill="url(#p)"/></pattern>`),
	"loop of a mask by class": wrap(`<style>.m{mask:url(#m)}</style><mask id="m"><g class="m"/></mask>`),
}
