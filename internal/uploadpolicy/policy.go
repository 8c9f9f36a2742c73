// Package uploadpolicy has the policy of a one-time upload URL: which pictures it accepts, from which pages, and how
// often.
//
// The client that creates the URL gives the policy as a JSON object. Parse refuses keys that it does not know, so that
// no part of a policy is ignored. Merge adds the keys of the account's default. The policy is stored as compact JSON
// with the draft. Check compares a picture with it.
//
// Check enforces formats, dimensions, aspectRatio and animated. Of the others, images enforces maxBytes (body.go and
// partial.go), uses (link.go) and test (testticket.go), applies stripOriginal (strip.go) and signs audience
// (receipt.go); intake enforces origins and follows redirect (policy.go).
package uploadpolicy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strings"

	"calotype/internal/imagefile"
)

// A Policy is what a one-time upload URL accepts. The zero value of a field means that the policy does not have the
// key; the zero Policy accepts all that the server accepts, once.
type Policy struct {
	MaxBytes    int64              `json:"maxBytes,omitempty"`
	Formats     []imagefile.Format `json:"formats,omitempty"`
	MinWidth    int                `json:"minWidth,omitempty"` // pixels, as shown
	MinHeight   int                `json:"minHeight,omitempty"`
	MaxWidth    int                `json:"maxWidth,omitempty"`
	MaxHeight   int                `json:"maxHeight,omitempty"`
	MaxPixels   int64              `json:"maxPixels,omitempty"` // width x height of one frame, as shown
	AspectRatio *AspectRatio       `json:"aspectRatio,omitempty"`
	Animated    *bool              `json:"animated,omitempty"` // false refuses animations
	Origins     []string           `json:"origins,omitempty"`  // as in the header Origin; AnyOrigin for all
	Redirect    string             `json:"redirect,omitempty"` // absolute URL of http or https
	Uses        int                `json:"uses,omitempty"`     // pictures that the URL accepts
	Audience    string             `json:"audience,omitempty"` // the claim aud of receipts
	// StripOriginal is what is removed from the picture before it is stored, instead of what the account says.
	StripOriginal imagefile.Privacy `json:"stripOriginal,omitempty"`
	Test          string            `json:"test,omitempty"` // one of Tests: the URL behaves so for each picture
}

// An AspectRatio is a range of width / height, as shown. A zero bound is absent.
type AspectRatio struct {
	Min float64 `json:"min,omitempty"`
	Max float64 `json:"max,omitempty"`
}

// AnyOrigin is the only value of Origins with which every origin is accepted. A URL has it if its account has a
// default for Origins that must not apply.
const AnyOrigin = "*"

// The values of Policy.Test.
const (
	TestExpired      = "expired"       // the URL has expired
	TestUsed         = "used"          // the URL is used
	TestSlow         = "slow"          // the picture is accepted, ten seconds later
	TestUndecodable  = "undecodable"   // the picture cannot be decoded
	TestTooLarge     = "too_large"     // the file is too large for the server
	TestBusy         = "busy"          // the server is at capacity
	TestWebhookTwice = "webhook_twice" // the picture is accepted, and its event is delivered twice
)

// Tests are all values of Policy.Test.
var Tests = []string{TestExpired, TestUsed, TestSlow, TestUndecodable, TestTooLarge, TestBusy, TestWebhookTwice}

// Formats are the values of Policy.Formats.
var Formats = []imagefile.Format{
	imagefile.JPEG, imagefile.PNG, imagefile.WebP, imagefile.GIF, imagefile.AVIF, imagefile.HEIC, imagefile.SVG,
}

// IsZero reports whether the policy has no key.
func (p Policy) IsZero() bool { return reflect.ValueOf(p).IsZero() }

// Allowed returns the number of pictures that the URL accepts, at least 1.
func (p Policy) Allowed() int { return max(p.Uses, 1) }

// RedirectTo returns Redirect with the id of an image and the status of an upload in its query, before its fragment.
func (p Policy) RedirectTo(id, status string) string {
	address, fragment, hasFragment := strings.Cut(p.Redirect, "#")
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	address += separator + url.Values{"id": {id}, "status": {status}}.Encode()
	if hasFragment {
		address += "#" + fragment
	}
	return address
}

// Text returns the policy as compact JSON with its keys in a fixed order, "" for the zero Policy.
func (p Policy) Text() string {
	if p.IsZero() {
		return ""
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // an address has ampersands
	if err := enc.Encode(p); err != nil {
		panic(fmt.Sprintf("a policy is no JSON: %v", err)) // only a ratio that is not finite; Parse refuses it
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// Stored returns the policy of a text that Text returned. It ignores keys that only a later release knows.
func Stored(text string) (p Policy, err error) {
	if text == "" {
		return p, nil
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return p, fmt.Errorf("a stored upload policy is not valid: %w", err)
	}
	return p, nil
}

// Merge returns the policy p with the keys of def that p lacks. It returns an error if the result accepts no picture.
func (p Policy) Merge(def Policy) (Policy, error) {
	merged, from := reflect.ValueOf(&p).Elem(), reflect.ValueOf(def)
	for i := range merged.NumField() {
		if merged.Field(i).IsZero() {
			merged.Field(i).Set(from.Field(i))
		}
	}
	if err := p.possible(); err != nil {
		return Policy{}, fmt.Errorf("%w, together with the account's default", err)
	}
	return p, nil
}
