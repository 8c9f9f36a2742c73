package delivery

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"calotype/internal/render"
)

// This file reads client hints: headers with properties of the client. A page must ask a browser for most of them by
// its own Accept-CH: that of a picture has no effect. A header that is malformed, or has several lines, is absent.

// The headers of a slow connection, and the bounds that Cloudflare documents.
var slowHeaders = []string{"Downlink", "Ect", "Rtt", "Save-Data"}

const (
	slowRTT      = 150 // milliseconds; a connection with a longer round trip is slow
	slowDownlink = 5   // Mbit/s; a connection with less is slow
)

// slowTypes are the values of ECT of a slow connection.
var slowTypes = []string{"slow-2g", "2g", "3g"}

// isSlow reports whether one of the headers says that the connection is slow.
func isSlow(h http.Header) bool {
	if rtt, ok := decimal(hint(h, "Rtt")); ok && rtt > slowRTT {
		return true
	}
	if rate, ok := decimal(hint(h, "Downlink")); ok && rate < slowDownlink {
		return true
	}
	return slices.Contains(slowTypes, hint(h, "Ect")) || strings.EqualFold(hint(h, "Save-Data"), "on")
}

// widthHeaders are the headers of autoWidth.
var widthHeaders = []string{"Sec-Ch-Dpr", "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform", "Sec-Ch-Viewport-Width",
	"Sec-Ch-Width", "User-Agent"}

// The widths of width=auto, as Cloudflare documents them.
const (
	widthPhone   = 320
	widthTablet  = 768
	widthDesktop = 960
	widthLarge   = 1200
)

var autoWidths = []int{widthPhone, widthTablet, widthDesktop, widthLarge}

// maxHintDensity bounds the pixels of the screen for one of the page. More are not visible in a photograph.
const maxHintDensity = 2

// autoWidth returns the width for a client, one of autoWidths: the smallest one that has the pixels of the picture on
// the page (Sec-CH-Width), else those of the window; else one for the kind of device.
func autoWidth(h http.Header) int {
	if pixels, ok := decimal(hint(h, "Sec-Ch-Width")); ok && pixels > 0 {
		return atLeast(pixels)
	}
	if points, ok := decimal(hint(h, "Sec-Ch-Viewport-Width")); ok && points > 0 {
		density, ok := decimal(hint(h, "Sec-Ch-Dpr"))
		if !ok || density <= 0 {
			density = 1
		}
		return atLeast(points * min(density, maxHintDensity))
	}
	return deviceWidth(h)
}

// atLeast returns the smallest of autoWidths with a number of pixels, else the largest.
func atLeast(pixels float64) int {
	for _, width := range autoWidths {
		if float64(width) >= pixels {
			return width
		}
	}
	return widthLarge
}

// deviceWidth returns the width for the device that the headers of all requests describe.
func deviceWidth(h http.Header) int {
	agent := hint(h, "User-Agent")
	android := strings.Contains(agent, "Android") || hint(h, "Sec-Ch-Ua-Platform") == `"Android"`
	mobile := hint(h, "Sec-Ch-Ua-Mobile")
	switch {
	case strings.Contains(agent, "iPad"), strings.Contains(agent, "Tablet"):
		return widthTablet
	case mobile == "?1", mobile != "?0" && strings.Contains(agent, "Mobile"), strings.Contains(agent, "iPhone"):
		return widthPhone
	case android: // a phone says Mobile
		return widthTablet
	}
	return widthDesktop
}

// maxHint bounds the value of a header with a hint, in bytes.
const maxHint = 1024

// hint returns the value of a header with one line, else "".
func hint(h http.Header, name string) string {
	lines := h[name]
	if len(lines) != 1 || len(lines[0]) > maxHint {
		return ""
	}
	return strings.TrimSpace(lines[0])
}

// maxDecimal bounds the text of a number, in bytes: it is exact in a float64.
const maxDecimal = 15

// decimal parses a number without sign and exponent.
func decimal(text string) (float64, bool) {
	whole, fraction, _ := strings.Cut(text, ".")
	if whole == "" || len(text) > maxDecimal || strings.Trim(whole+fraction, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil
}

// withHints returns the options for a client with the headers h, in which values replace width=auto and
// slow-connection-quality, and the names of the headers that may decide. h is nil if nothing may be known of the
// client.
func withHints(o render.Options, h http.Header) (resolved render.Options, vary []string) {
	if o.Width == render.AutoWidth {
		o.Width = widthLarge
		if h != nil {
			o.Width = autoWidth(h)
			vary = append(vary, widthHeaders...)
		}
	}
	if o.SlowQuality != 0 && h != nil {
		if isSlow(h) {
			o.Quality = o.SlowQuality
		}
		vary = append(vary, slowHeaders...)
	}
	o.SlowQuality = 0
	return o, vary
}
