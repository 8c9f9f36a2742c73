package svgtest

// Usual returns SVGs as programs and people write them. Each has 200 x 100 pixels.
func Usual() []File {
	all := map[string]string{
		"icon": `<path d="M12 2l3.09 6.26L22 9.27l-5 4.87 1.18 6.88L12 17.77l-6.18 3.25L7 14.14 2 9.27l6.91-1.01z" fill="none" ` +
			`stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" transform="scale(4)"/>`,
		"gradients": `<defs><linearGradient id="a" x1="0" x2="1"><stop offset="0" stop-color="#f00"/><stop offset="100%" ` +
			`style="stop-color:rgb(0,0,255);stop-opacity:.5"/></linearGradient><radialGradient id="b" xlink:href="#a" ` +
			`gradientTransform="rotate(20)"/></defs><rect width="100" height="100" fill="url(#a)"/>` +
			`<circle cx="150" cy="50" r="40" fill="url('#b')" stroke="url(#a) red"/>`,
		"mask": `<mask id="m" maskUnits="userSpaceOnUse"><rect width="200" height="100" fill="white"/>` +
			`<circle cx="50" cy="50" r="30"/></mask><rect width="200" height="100" fill="teal" mask="url(#m)"/>`,
		"clip path": `<clipPath id="c"><path d="M10,10 L190,10 100,90z" clip-rule="evenodd"/></clipPath>` +
			`<g clip-path="url(#c)"><rect width="200" height="100" fill="tomato"/><circle r="60" fill="gold"/></g>`,
		"text": `<text x="10" y="40" font-family="'DejaVu Sans', sans-serif" font-size="24" text-anchor="start">A &amp; B ` +
			`<tspan fill="red" dy="10">red</tspan></text><path id="p" d="M10 80 Q100 40 190 80" fill="none"/>` +
			`<text font-size="12"><textPath href="#p" startOffset="10%">along a path</textPath></text>` +
			`<text xml:space="preserve" x="10" y="95">two  spaces</text>`,
		"pattern": `<pattern id="p" width="20" height="20" patternUnits="userSpaceOnUse" patternTransform="rotate(30)">` +
			`<rect width="10" height="10" fill="#06c"/><circle cx="15" cy="15" r="4"/></pattern>` +
			`<rect width="200" height="100" fill="url(#p)"/>`,
		"symbols": `<symbol id="s" viewBox="0 0 10 10"><path d="M0 0h10v10z"/></symbol><use xlink:href="#s" width="50" height="50"/>` +
			`<use href="#s" x="100" width="80" height="80" fill="green" opacity=".5"/>`,
		"filters": `<filter id="f" x="-20%" width="140%"><feGaussianBlur in="SourceAlpha" stdDeviation="3" result="b"/>` +
			`<feOffset dx="4" dy="4"/><feComponentTransfer><feFuncA type="linear" slope=".6"/></feComponentTransfer>` +
			`<feMerge><feMergeNode/><feMergeNode in="SourceGraphic"/></feMerge></filter><filter id="c">` +
			`<feColorMatrix type="matrix" values="0 1 0 0 0 1 0 0 0 0 0 0 1 0 0 0 0 0 1 0"/></filter>` +
			`<rect x="20" y="20" width="60" height="60" fill="#c33" filter="url(#f)"/>` +
			`<rect x="110" y="20" width="60" height="60" fill="#c33" style="filter:url(#c) blur(1px)"/>`,
		"classes": `<defs><style type="text/css"><![CDATA[ .cls-1,.cls-2{fill:none;stroke-width:3px} .cls-1 {stroke:#e66}` +
			` g > .cls-2:not(.x){stroke:rgba(0, 0, 0, .5)} #g rect:nth-child(2n+1){fill:url(#lg)} @media all{.cls-3{fill:blue}}` +
			`]]></style><linearGradient id="lg"><stop stop-color="lime"/><stop offset="1"/></linearGradient></defs>` +
			`<circle class="cls-1" cx="50" cy="50" r="30"/><g id="g"><rect width="20" height="20"/><path class="cls-2" d="M0 0L99 99"/>` +
			`<rect class="cls-3" x="120" y="9" width="20" height="20"/></g>`,
		"inkscape": `<sodipodi:namedview xmlns:sodipodi="http://sodipodi.sourceforge.net/DTD/sodipodi-0.dtd" id="b" pagecolor="#fff"/>` +
			`<metadata><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></metadata>` +
			`<g xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape" inkscape:label="Layer 1" inkscape:groupmode="layer" ` +
			`transform="translate(10,-5)"><path style="fill:#008080;fill-rule:evenodd;stroke:#000000;stroke-width:1px;` +
			`-inkscape-font-specification:Sans;enable-background:new" d="m 20,20 80,0 c 10,10 10,40 0,60 z" inkscape:connector-curvature="0"/></g>`,
		"markers": `<marker id="m" viewBox="0 0 10 10" refX="5" refY="5" markerWidth="6" markerHeight="6" orient="auto-start-reverse">` +
			`<path d="M0 0L10 5L0 10z"/></marker><polyline points="20,80 100,20 180,80" fill="none" stroke="black" ` +
			`marker-start="url(#m)" marker-mid="url(#m)" marker-end="url(#m)" stroke-dasharray="5,3"/>`,
		"embedded": `<image x="20" y="20" width="60" height="60" preserveAspectRatio="none" xlink:href="data:image/png;base64,` +
			PNG + `"/><filter id="i"><feImage href="data:image/png;base64,` + PNG + `" result="r"/><feBlend in="SourceGraphic"/></filter>` +
			`<rect x="100" width="80" height="80" filter="url(#i)"/>`,
		"switch": `<switch><foreignObject requiredExtensions="http://example.com/x" width="1" height="1"/>` +
			`<g systemLanguage="xx"><rect width="9" height="9"/></g><g><circle cx="50" cy="50" r="40" fill="purple"/></g></switch>`,
		"frozen animation": `<rect width="50" height="50"><animate attributeName="width" to="150" dur="0.01s" fill="freeze"/>` +
			`<set attributeName="fill" to="rgb(200, 0, 0)" begin="0s"/><animateTransform attributeName="transform" type="rotate" ` +
			`from="0 50 50" to="10 50 50" dur="0.01s" fill="freeze"/></rect>`,
		"blending": `<g style="isolation:isolate"><circle cx="80" cy="50" r="40" fill="cyan"/><circle cx="120" cy="50" r="40" ` +
			`fill="hsl(60, 100%, 50%)" style="mix-blend-mode:multiply;--w:4px;stroke-width:var(--w);stroke:#000"/></g>`,
	}
	files := []File{{Name: "with a document type", Body: []byte(`<?xml version="1.0" encoding="utf-8"?>
<!-- Generator: Adobe Illustrator 19.0.0, SVG Export Plug-In . SVG Version: 6.00 Build 0)  -->
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg version="1.1" id="Layer_1" xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" x="0px" y="0px"
	 width="200px" height="100px" viewBox="0 0 200 100" style="enable-background:new 0 0 200 100;" xml:space="preserve">
<style type="text/css">
	.st0{fill:#E53935;}
	.st1{fill-rule:evenodd;clip-rule:evenodd;fill:#fff;}
</style>
<g><polygon class="st0" points="0,0 200,0 100,100 "/><path class="st1" d="M90,20c0-5.5,4.5-10,10-10s10,4.5,10,10S90,25.500001,90,20z"/></g>
</svg>
`)}}
	for name, content := range all {
		files = append(files, File{Name: name, Body: []byte(head + content + `</svg>`)})
	}
	return files
}
