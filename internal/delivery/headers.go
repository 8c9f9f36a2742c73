package delivery

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"calotype/internal/purges"
	"calotype/internal/requestid"
)

// publicCaching returns the Cache-Control of public pictures, as Cloudflare documents it.
func publicCaching(ttl time.Duration) string {
	return fmt.Sprintf("public, max-age=%d, stale-while-revalidate=7200", ttl/time.Second)
}

// privateCaching returns the Cache-Control of a private picture: only the browser may cache it, and not after the
// expiry of its URL. s must be valid at now.
func privateCaching(ttl time.Duration, s signature, now time.Time) string {
	age := int64(ttl / time.Second)
	if s.expires {
		age = min(age, s.exp-now.Unix())
	}
	return fmt.Sprintf("private, max-age=%d", age)
}

// isPrivate reports whether shared caches may not store an answer with a Cache-Control of publicCaching, privateCaching
// or remoteCaching.
func isPrivate(caching string) bool { return strings.HasPrefix(caching, "private") }

// commonHeaders are the headers of every answer, including refusals: any page may read the answer, and a browser
// treats it as its Content-Type only. Names are in the canonical form of http.Header. All answers share the values,
// which must not be changed.
var commonHeaders = []struct {
	name  string
	value []string
}{
	{"Access-Control-Allow-Origin", []string{"*"}},
	{"Access-Control-Expose-Headers",
		[]string{ignoredHeader + ", Cf-Resized, Content-Range, ETag, Retry-After, " + requestid.Header}},
	{"Timing-Allow-Origin", []string{"*"}},
	{"Cross-Origin-Resource-Policy", []string{"cross-origin"}},
	{"X-Content-Type-Options", []string{"nosniff"}},
	// Browsers show a single picture in a generated page, which needs inline styles.
	{"Content-Security-Policy",
		[]string{"default-src 'none'; style-src 'unsafe-inline'; sandbox"}},
}

// vectorPolicy is the Content-Security-Policy of an SVG, which may hold pictures. It lost its scripts and references
// before; the policy is a second bar, for browsers that show it as a page.
var vectorPolicy = []string{"default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"}

func setCommonHeaders(h http.Header) {
	for _, header := range commonHeaders {
		h[header.name] = header.value
	}
}

// setPreflightHeaders permits requests of any page with any header.
func setPreflightHeaders(h http.Header) {
	h.Set("Access-Control-Allow-Methods", allowedMethods)
	// The star does not cover Authorization, which some clients send to every host.
	h.Set("Access-Control-Allow-Headers", "*, Authorization")
	h.Set("Access-Control-Max-Age", "86400")
}

// pictureHeaders are the headers of setPictureHeaders that a refusal must not have.
var pictureHeaders = []string{"CDN-Tag", "Cache-Tag", "ETag", ignoredHeader, "Surrogate-Key", "Vary"}

// setPictureHeaders sets the common headers of 200, 206 and 304. There is no Last-Modified: a rendition changes with
// its variant and the pipeline, not only at the upload, so an If-Modified-Since would keep old bytes in caches. The
// ETag identifies the bytes.
func setPictureHeaders(h http.Header, c choice, etag, caching string) {
	tags := purges.Tags(c.Account.ID, c.Image.Key, c.Variant.ID, c.Private())
	if c.Vector() {
		h["Content-Security-Policy"] = vectorPolicy
	}
	if c.vary != nil {
		h["Vary"] = c.vary
	}
	h.Set("Cache-Control", caching)
	h.Set("ETag", etag)
	h["Cf-Resized"] = resizedFine
	h.Set("Cache-Tag", strings.Join(tags, ","))
	h.Set("Surrogate-Key", strings.Join(tags, " "))
	if c.bunnyTags {
		h.Set("CDN-Tag", strings.Join(tags, ","))
	}
}

var resizedFine = []string{"internal=ok/-"}

// matchesETag reports whether the lines of an If-None-Match header name etag or are "*". By the
// header's rule a weak tag matches the strong one.
func matchesETag(lines []string, etag string) bool {
	for _, line := range lines {
		for tag := range strings.SplitSeq(line, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
				return true
			}
		}
	}
	return false
}

// ignoredHeader is the header with the names of the options that were left out for an account with lenient options.
const ignoredHeader = "Calotype-Ignored-Options"

// setIgnored sets the header of the ignored options.
func setIgnored(h http.Header, ignored []string) {
	if len(ignored) > 0 {
		h.Set(ignoredHeader, strings.Join(ignored, ", "))
	}
}
