package outbound

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	minTTL = time.Hour // as Cloudflare documents
	maxTTL = 365 * 24 * time.Hour

	// maxStale bounds the time for which a stale answer is used, after its TTL.
	maxStale = 24 * time.Hour
)

// A Caching says how a stored answer to a GET may be used.
type Caching struct {
	TTL     time.Duration // without a revalidation
	Private bool          // caches of others must not store it

	stale  time.Duration // after TTL, if it cannot be revalidated
	errors bool          // also if the host answers with an error
}

// CachingOf returns the caching that the headers of an answer permit. As Cloudflare documents, TTL is an hour at least,
// unless the answer requires revalidation or is for one client only.
//
// A stale answer is used for a day at most, by RFC 9111, 4.2.4: if the host cannot be reached; by the directive
// stale-if-error of RFC 5861 also if it answers with an error, for the time that the directive has. Directives that
// require a revalidation prevent both.
func CachingOf(h http.Header, now time.Time) Caching {
	always, exact, private, shared := false, false, false, false
	age, stale := time.Duration(-1), time.Duration(-1)
	for _, line := range h.Values("Cache-Control") {
		for directive := range strings.SplitSeq(strings.ToLower(line), ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
			switch name {
			case "no-store", "private":
				private = true
			case "no-cache":
				always = true
			case "must-revalidate", "proxy-revalidate":
				exact = true
			case "stale-if-error":
				stale = max(stale, seconds(value))
			case "s-maxage", "max-age":
				if n := seconds(value); n >= 0 && (name == "s-maxage" || !shared) {
					age = n
				}
				shared = shared || name == "s-maxage"
			}
		}
	}
	if expires, err := http.ParseTime(h.Get("Expires")); err == nil && age < 0 {
		age = expires.Sub(now)
	}
	switch age = min(max(age, 0), maxTTL); {
	case private:
		return Caching{Private: true}
	case always:
		return Caching{}
	case exact:
		return Caching{TTL: age}
	}
	c := Caching{TTL: max(age, minTTL), stale: maxStale, errors: stale >= 0}
	if c.errors { // counted from the age that the host has given
		c.stale = min(max(age+stale-c.TTL, 0), maxStale)
	}
	if shared { // which requires a revalidation, like proxy-revalidate
		c.stale = 0
	}
	return c
}

// seconds returns the value of a directive; negative if it is not valid.
func seconds(value string) time.Duration {
	n, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 32)
	if err != nil || n < 0 {
		return -1
	}
	return time.Duration(n) * time.Second
}

// UsableAfter reports whether an answer may be used that is stale for some time and could not be revalidated, with an
// error of Fetch.
func (c Caching) UsableAfter(err error, stale time.Duration) bool {
	why := new(Error)
	if stale >= c.stale || !errors.As(err, &why) {
		return false
	}
	switch why.Cause {
	case CauseConnection, CauseName, CauseTime:
		return true
	case CauseStatus:
		return c.errors && why.Status >= http.StatusInternalServerError
	}
	return false
}

// Refuses reports whether an error of Fetch is the host's refusal: stored answers of the URL are no longer valid.
func Refuses(err error) bool {
	why := new(Error)
	return errors.As(err, &why) && why.Cause == CauseStatus && why.Status < http.StatusInternalServerError
}
