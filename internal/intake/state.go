package intake

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"calotype/internal/cfapi"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/uploadpolicy"
)

// The values of uploadState.Status.
const (
	statusOpen    = "open"
	statusUsed    = "used"
	statusExpired = "expired"
	statusDead    = "dead" // refused too often
)

// An uploadState is what the holder of a ticket may know of it. It has neither metadata nor creator.
type uploadState struct {
	ID           string               `json:"id"`
	Status       string               `json:"status"`
	Expires      string               `json:"expires,omitempty"`      // absent once it is used
	AttemptsLeft *int                 `json:"attemptsLeft,omitempty"` // absent once it is used
	LastError    *cfapi.Reason        `json:"lastError,omitempty"`
	Policy       *uploadpolicy.Policy `json:"policy,omitempty"`
	Limits       *uploadLimits        `json:"limits,omitempty"` // of an open ticket, like Resumable
	Uses         uploadUses           `json:"uses"`
	Resumable    *resumableWays       `json:"resumable,omitempty"`
}

// uploadLimits are the limits of the server and of the policy together.
type uploadLimits struct {
	MaxBytes  int64              `json:"maxBytes"`
	Formats   []imagefile.Format `json:"formats"`
	MaxSide   int                `json:"maxSide"`
	MaxPixels int64              `json:"maxPixels"`
	MaxFrames int                `json:"maxFrames"`
}

type uploadUses struct {
	Allowed int `json:"allowed"`
	Used    int `json:"used"`
}

type resumableWays struct {
	TUS   bool  `json:"tus"`
	IETF  bool  `json:"ietf"`
	Chunk int64 `json:"chunk"` // the size of a piece that suits the server, in bytes
}

// chunk is the number of bytes after which the core stores what has come.
const chunk = 1 << 20

// state answers what a ticket accepts. A browser gets the page.
func (c *call) state() error {
	c.w.Header().Add("Vary", "Accept")
	if c.Page != nil && asksForPage(c.r.Header) {
		c.Page.ServeHTTP(c.w, c.r)
		return nil
	}
	img, err := c.Core.DraftOfTicket(c.r.Context(), ticketOf(c.r))
	c.line.image = img
	if err != nil {
		return err
	}
	policy, err := img.UploadPolicy()
	if err != nil {
		return err
	}
	c.w.Note(cfapi.WriteResult(c.w, newState(img, policy, c.Core.Now(), c.Core.MaxBytes(policy))))
	return nil
}

// newState returns the state of the ticket of img at a time. maxBytes is the limit of the server and the policy.
func newState(img images.Image, policy uploadpolicy.Policy, now time.Time, maxBytes int64) uploadState {
	s := uploadState{ID: img.ID, Status: statusUsed, Uses: uploadUses{Allowed: 1}}
	if !policy.IsZero() {
		s.Policy = &policy
	}
	if !img.Draft || policy.Test == uploadpolicy.TestUsed {
		s.Uses.Used = 1
		return s
	}
	t := *img.Ticket
	left := t.AttemptsLeft()
	s.Expires, s.AttemptsLeft, s.LastError = cfapi.FormatTime(t.Expires), &left, cfapi.LastError(t)
	switch {
	case left == 0:
		s.Status = statusDead
		return s
	case now.After(t.Expires):
		s.Status = statusExpired
		return s
	}
	s.Status, s.Limits = statusOpen, newLimits(policy, maxBytes)
	s.Resumable = &resumableWays{TUS: true, IETF: true, Chunk: chunk}
	return s
}

// newLimits returns the limits of the server and a policy together.
func newLimits(p uploadpolicy.Policy, maxBytes int64) *uploadLimits {
	server := imagefile.DefaultLimits
	l := &uploadLimits{MaxBytes: maxBytes, Formats: uploadpolicy.Formats, MaxSide: server.Side, MaxPixels: server.Pixels,
		MaxFrames: server.Frames}
	if p.Formats != nil {
		l.Formats = p.Formats
	}
	if p.MaxPixels > 0 {
		l.MaxPixels = min(l.MaxPixels, p.MaxPixels)
	}
	if p.Animated != nil && !*p.Animated {
		l.MaxFrames = 1
	}
	return l
}

// asksForPage reports whether a client prefers HTML, as browsers do for what the user opens.
func asksForPage(h http.Header) bool {
	for _, part := range strings.Split(strings.Join(h.Values("Accept"), ","), ",") {
		if mediaType(part) != "text/html" {
			continue
		}
		_, params, _ := strings.Cut(part, ";")
		for param := range strings.SplitSeq(params, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
			if q, err := strconv.ParseFloat(value, 64); strings.EqualFold(name, "q") && err == nil && q == 0 {
				return false
			}
		}
		return true
	}
	return false
}
