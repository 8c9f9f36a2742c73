package uploadpolicy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"calotype/internal/imagefile"
	"calotype/internal/text"
)

// The bounds of values. All minima are 1.
const (
	mostBytes    = 1 << 40   // the server's limit counts too
	mostSide     = 1_000_000 // pixels; the largest side that an SVG states
	mostPixels   = mostSide * mostSide
	mostRatio    = 10_000 // the smallest ratio is its inverse
	mostUses     = 1000
	mostOrigins  = 20
	longOrigin   = 255 // bytes
	longRedirect = 2000
	longAudience = 255
)

// keys has a function for each key of a policy, which reads a value into the Policy.
var keys = []struct {
	name string
	read func(*Policy, value) error
}{
	{"maxBytes", func(p *Policy, v value) (err error) { p.MaxBytes, err = v.whole(mostBytes); return err }},
	{"formats", func(p *Policy, v value) (err error) { p.Formats, err = v.formats(); return err }},
	{"minWidth", func(p *Policy, v value) (err error) { p.MinWidth, err = v.side(); return err }},
	{"minHeight", func(p *Policy, v value) (err error) { p.MinHeight, err = v.side(); return err }},
	{"maxWidth", func(p *Policy, v value) (err error) { p.MaxWidth, err = v.side(); return err }},
	{"maxHeight", func(p *Policy, v value) (err error) { p.MaxHeight, err = v.side(); return err }},
	{"maxPixels", func(p *Policy, v value) (err error) { p.MaxPixels, err = v.whole(mostPixels); return err }},
	{"aspectRatio", func(p *Policy, v value) (err error) { p.AspectRatio, err = v.aspectRatio(); return err }},
	{"animated", func(p *Policy, v value) (err error) { p.Animated, err = v.flag(); return err }},
	{"origins", func(p *Policy, v value) (err error) { p.Origins, err = v.origins(); return err }},
	{"redirect", func(p *Policy, v value) (err error) { p.Redirect, err = v.redirect(); return err }},
	{"uses", func(p *Policy, v value) error {
		n, err := v.whole(mostUses)
		p.Uses = int(n)
		return err
	}},
	{"audience", func(p *Policy, v value) (err error) { p.Audience, err = v.audience(); return err }},
	{"stripOriginal", func(p *Policy, v value) (err error) { p.StripOriginal, err = v.privacy(); return err }},
	{"test", func(p *Policy, v value) (err error) { p.Test, err = v.test(); return err }},
}

// Keys returns the names of all keys.
func Keys() []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	return names
}

// Parse returns the policy of a JSON object. Numbers and booleans may be text, as in forms. null and "" mean that the
// key is absent, because SDKs and forms send them for absent values. An error is a sentence for the client, which names
// the key and the valid values.
func Parse(object []byte) (p Policy, err error) {
	err = members(object, "policy", func(name string, v value) error {
		for _, k := range keys {
			if k.name != name {
				continue
			}
			if v.absent() {
				return nil
			}
			if err := k.read(&p, v); err != nil {
				return fmt.Errorf("policy.%s %w", name, err)
			}
			return nil
		}
		return fmt.Errorf("policy has no key %.40q: its keys are %s", name, strings.Join(Keys(), ", "))
	})
	if err == nil {
		err = p.possible()
	}
	if err != nil {
		return Policy{}, err
	}
	return p, nil
}

// ParseDefault returns the default policy of an account. It is Parse without the keys that only a single URL can have.
func ParseDefault(object []byte) (Policy, error) {
	p, err := Parse(object)
	if err == nil && p.Test != "" {
		return Policy{}, errors.New("policy.test cannot be a default: no URL of the account would accept a picture")
	}
	return p, err
}

// members calls fn with each member of a JSON object. what names the object in errors.
func members(object []byte, what string, fn func(name string, v value) error) error {
	wrong := fmt.Errorf(`%s must be a JSON object, such as {"maxBytes":1000000}`, what)
	if !json.Valid(object) || !text.IsPlainLines(string(object)) {
		return wrong
	}
	dec := json.NewDecoder(bytes.NewReader(object))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return wrong
	}
	seen := map[string]bool{}
	for dec.More() {
		name, err := dec.Token()
		var v value
		if err = errors.Join(err, dec.Decode((*json.RawMessage)(&v))); err != nil {
			return wrong
		}
		key, _ := name.(string)
		if seen[key] {
			return fmt.Errorf("%s has the key %.40q twice", what, key)
		}
		seen[key] = true
		if err := fn(key, v); err != nil {
			return err
		}
	}
	return nil
}

// A value is JSON.
type value json.RawMessage

// absent reports whether v is null or "".
func (v value) absent() bool { return string(v) == "null" || string(v) == `""` }

// text returns the text of a JSON string; of a number or a boolean its JSON. ok is false for other values.
func (v value) text() (s string, ok bool) {
	switch v[0] {
	case '"':
		return s, json.Unmarshal(v, &s) == nil
	case '{', '[':
		return "", false
	}
	return string(v), true
}

// list returns the texts of a list; a single text is a list of one.
func (v value) list() (all []string, ok bool) {
	if v[0] == '[' {
		return all, json.Unmarshal(v, &all) == nil && len(all) > 0
	}
	s, ok := v.text()
	return []string{s}, ok && v[0] == '"'
}

// whole returns a whole number from 1 to most.
func (v value) whole(most int64) (int64, error) {
	s, _ := v.text()
	n, err := strconv.ParseInt(text.WholeNumber(s), 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("must be a whole number from 1 to %d", most)
	}
	return n, nil
}

func (v value) side() (int, error) {
	n, err := v.whole(mostSide)
	return int(n), err
}

func (v value) formats() (formats []imagefile.Format, err error) {
	names, ok := v.list()
	for _, name := range names {
		f := imagefile.Format(name)
		ok = ok && slices.Contains(Formats, f)
		if !slices.Contains(formats, f) {
			formats = append(formats, f)
		}
	}
	if !ok {
		return nil, fmt.Errorf("must be a list of one or more of %s",
			join(Formats, "and", func(f imagefile.Format) string { return string(f) }))
	}
	return formats, nil
}

// aspectRatio reads {"min":1.5,"max":"16:9"}, with one bound at least, or [1.5,"16:9"].
func (v value) aspectRatio() (*AspectRatio, error) {
	wrong := fmt.Errorf(`must be a range of width / height such as {"min":0.75,"max":"16:9"} or [0.75,1.78], `+
		`with numbers from 1/%[1]d to %[1]d`, mostRatio)
	var r AspectRatio
	switch v[0] {
	case '[':
		var bounds []json.RawMessage
		if json.Unmarshal(v, &bounds) != nil || len(bounds) != 2 {
			return nil, wrong
		}
		r.Min, r.Max = value(bounds[0]).ratio(), value(bounds[1]).ratio()
		if r.Min == 0 || r.Max == 0 {
			return nil, wrong
		}
	case '{':
		err := members(v, "policy.aspectRatio", func(name string, v value) error {
			bound, ok := map[string]*float64{"min": &r.Min, "max": &r.Max}[name]
			if !ok {
				return wrong
			}
			if !v.absent() {
				if *bound = v.ratio(); *bound == 0 {
					return wrong
				}
			}
			return nil
		})
		if err != nil || r == (AspectRatio{}) {
			return nil, wrong
		}
	default:
		return nil, wrong
	}
	if r.Max != 0 && r.Min > r.Max {
		return nil, errors.New("has a min that is larger than its max")
	}
	return &r, nil
}

// ratio returns a number, or the quotient of a text such as "16:9"; 0 if it is no ratio within the bounds.
func (v value) ratio() float64 {
	s, _ := v.text()
	before, after, isQuotient := strings.Cut(s, ":")
	r, err := strconv.ParseFloat(before, 64)
	if err == nil && isQuotient {
		var by float64
		by, err = strconv.ParseFloat(after, 64)
		r /= by
	}
	if err != nil || math.IsNaN(r) || r < 1.0/mostRatio || r > mostRatio {
		return 0
	}
	return r
}

func (v value) flag() (*bool, error) {
	s, _ := v.text()
	var b bool
	switch strings.ToLower(s) { // Python writes True
	case "true", "1", "on":
		b = true
	case "false", "0", "off":
	default:
		return nil, errors.New("must be true or false")
	}
	return &b, nil
}

func (v value) origins() (origins []string, err error) {
	given, ok := v.list()
	if !ok || len(given) > mostOrigins {
		return nil, fmt.Errorf("must be a list of 1 to %d origins such as https://app.example.com", mostOrigins)
	}
	if len(given) == 1 && given[0] == AnyOrigin {
		return given, nil
	}
	for _, s := range given {
		origin, err := parseOrigin(s)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(origins, origin) {
			origins = append(origins, origin)
		}
	}
	return origins, nil
}

// parseOrigin returns an origin as browsers send it: in lower case, without the default port and without a path.
func parseOrigin(s string) (string, error) {
	wrong := fmt.Errorf("has %.80q, which is not an origin: one is scheme://host or scheme://host:port, in ASCII, "+
		"without a path, such as https://app.example.com", s)
	u, err := url.Parse(strings.ToLower(s))
	if err != nil || len(s) > longOrigin || u.Scheme == "" || u.Hostname() == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || len(u.Path) > 1 || strings.ContainsAny(s, "?#") || !printable(s) ||
		strings.ContainsAny(u.Host, `*,;"'<>%\{}|^`+"`") || strings.HasSuffix(u.Host, ":") {
		return "", wrong
	}
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return "", wrong
		}
		u.Host = strings.TrimSuffix(u.Host, ":"+port)
		if n != defaultPorts[u.Scheme] {
			u.Host = fmt.Sprintf("%s:%d", u.Host, n)
		}
	}
	return u.Scheme + "://" + u.Host, nil
}

// OriginOf returns the origin of the pages below a base URL, as browsers send it.
func OriginOf(base string) string {
	origin, err := parseOrigin(base)
	if err != nil {
		return base
	}
	return origin
}

// defaultPorts are the ports that an origin does not show.
var defaultPorts = map[string]uint64{"http": 80, "https": 443}

// printable reports whether s has only visible characters of ASCII.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func (v value) redirect() (string, error) {
	s, _ := v.text()
	u, err := url.Parse(s)
	if err != nil || v[0] != '"' || len(s) > longRedirect || !printable(s) ||
		u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Opaque != "" {
		return "", fmt.Errorf("must be an absolute URL of http or https, in ASCII, of at most %d bytes", longRedirect)
	}
	if u.User != nil {
		return "", errors.New("must not have a user or a password")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", errors.New("has a query that is not valid: a semicolon is written %3B, a percent sign %25")
	}
	if query.Has("id") || query.Has("status") {
		return "", errors.New("must not have id or status in its query: the upload adds them")
	}
	return s, nil
}

func (v value) audience() (string, error) {
	s, ok := v.text()
	if !ok || v[0] != '"' || len(s) > longAudience || !text.IsPlain(s) {
		return "", fmt.Errorf("must be a text of at most %d bytes without control characters", longAudience)
	}
	return s, nil
}

func (v value) test() (string, error) {
	s, _ := v.text()
	if v[0] != '"' || !slices.Contains(Tests, s) {
		return "", fmt.Errorf("must be one of %s", strings.Join(Tests, ", "))
	}
	return s, nil
}

func (v value) privacy() (imagefile.Privacy, error) {
	s, _ := v.text()
	if v[0] != '"' || !slices.Contains(imagefile.Privacies, imagefile.Privacy(s)) {
		return "", errors.New("must be none, gps or all")
	}
	return imagefile.Privacy(s), nil
}

// possible returns an error if no picture has the sizes that p accepts.
func (p Policy) possible() error {
	least := AspectRatio{Min: 1.0 / mostRatio, Max: mostRatio}
	if p.AspectRatio != nil {
		least.Min, least.Max = max(least.Min, p.AspectRatio.Min), orElse(p.AspectRatio.Max, least.Max)
	}
	minWidth, minHeight := max(p.MinWidth, 1), max(p.MinHeight, 1)
	maxWidth, maxHeight := orElse(p.MaxWidth, mostSide), orElse(p.MaxHeight, mostSide)
	narrowest, widest := float64(minWidth)/float64(maxHeight), float64(maxWidth)/float64(minHeight)
	switch {
	case minWidth > maxWidth:
		return fmt.Errorf("policy accepts no picture: minWidth is %d and maxWidth %d", minWidth, maxWidth)
	case minHeight > maxHeight:
		return fmt.Errorf("policy accepts no picture: minHeight is %d and maxHeight %d", minHeight, maxHeight)
	case p.MaxPixels > 0 && int64(minWidth)*int64(minHeight) > p.MaxPixels:
		return fmt.Errorf("policy accepts no picture: maxPixels is %d, and the smallest picture has %d",
			p.MaxPixels, int64(minWidth)*int64(minHeight))
	case p.AspectRatio != nil && (widest < least.Min || narrowest > least.Max):
		return errors.New("policy accepts no picture: no width and height that it accepts have its aspectRatio")
	}
	return nil
}

// orElse returns n, or other if n is 0.
func orElse[T int | float64](n, other T) T {
	if n == 0 {
		return other
	}
	return n
}
