package intake

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"calotype/internal/cfapi"
	"calotype/internal/imagefile"
	"calotype/internal/images"
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
	ID           string          `json:"id"`
	Status       string          `json:"status"`
	Expires      string          `json:"expires,omitempty"`      // absent once it is used
	AttemptsLeft *int            `json:"attemptsLeft,omitempty"` // absent once it is used
	LastError    *cfapi.Reason   `json:"lastError,omitempty"`
	Policy       json.RawMessage `json:"policy,omitempty"`
	Limits       *uploadLimits   `json:"limits,omitempty"` // of an open ticket, like Resumable
	Uses         uploadUses      `json:"uses"`
	Resumable    *resumableWays  `json:"resumable,omitempty"`
}

// uploadLimits are the limits of the server and of the policy together.
type uploadLimits struct {
	MaxBytes  int64    `json:"maxBytes"`
	Formats   []string `json:"formats"`
	MaxSide   int      `json:"maxSide"`
	MaxPixels int64    `json:"maxPixels"`
	MaxFrames int      `json:"maxFrames"`
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

// formats are the names of the accepted formats in policies.
var formats = []imagefile.Format{imagefile.JPEG, imagefile.PNG, imagefile.GIF, imagefile.WebP, imagefile.AVIF,
	imagefile.HEIC, imagefile.SVG}

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
	c.w.Note(cfapi.WriteResult(c.w, newState(img, c.Core.Now(), c.Core.MaxUploadBytes())))
	return nil
}

// newState returns the state of the ticket of img at a time.
func newState(img images.Image, now time.Time, maxBytes int64) uploadState {
	s := uploadState{ID: img.ID, Status: statusUsed, Uses: uploadUses{Allowed: 1}}
	if !img.Draft {
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
	s.Status = statusOpen
	limits := imagefile.DefaultLimits
	s.Limits = &uploadLimits{MaxBytes: maxBytes, MaxSide: limits.Side, MaxPixels: limits.Pixels,
		MaxFrames: limits.Frames}
	for _, f := range formats {
		s.Limits.Formats = append(s.Limits.Formats, string(f))
	}
	s.Resumable = &resumableWays{TUS: true, IETF: true, Chunk: chunk}
	return s
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
