package intake

import (
	"time"

	"calotype/internal/accept"
	"calotype/internal/cfapi"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/uploadpolicy"
)

// An uploadState is what the holder of a ticket may know of it. It has neither metadata nor creator.
type uploadState struct {
	ID           string               `json:"id"`
	Status       images.TicketStatus  `json:"status"`
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
	MaxWidth  int                `json:"maxWidth"`
	MaxHeight int                `json:"maxHeight"`
	MaxPixels int64              `json:"maxPixels"`
	MaxFrames int                `json:"maxFrames"` // 1 if animations are refused
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
	if c.Page != nil && accept.Names(c.r.Header["Accept"], "text/html") {
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
	c.w.Note(cfapi.WriteResult(c.w, newState(img, policy, c.Core.Now(), c.Core.MaxUploadBytes())))
	return nil
}

// newState returns the state of the ticket of img, which has a policy, at a time. maxBytes is the limit of the server.
func newState(img images.Image, policy uploadpolicy.Policy, now time.Time, maxBytes int64) uploadState {
	s := uploadState{ID: img.ID, Status: img.TicketStatus(now), Uses: uploadUses{Allowed: policy.Allowed()}}
	if !policy.IsZero() {
		s.Policy = &policy
	}
	if !img.Draft || policy.Test == uploadpolicy.TestUsed {
		s.Uses.Used = 1
		return s
	}
	t := *img.Ticket
	s.Uses.Used = t.Used
	if s.Status == images.StatusUsed {
		return s
	}
	left := t.AttemptsLeft()
	s.Expires, s.AttemptsLeft, s.LastError = cfapi.FormatTime(t.Expires), &left, cfapi.LastError(t)
	if s.Status == images.StatusOpen {
		s.Limits = newLimits(policy, maxBytes)
		s.Resumable = &resumableWays{TUS: true, IETF: true, Chunk: chunk}
	}
	return s
}

// newLimits returns the limits of the server and of a policy together.
func newLimits(policy uploadpolicy.Policy, maxBytes int64) *uploadLimits {
	server := imagefile.DefaultLimits
	l := &uploadLimits{
		MaxBytes: lesser(policy.MaxBytes, maxBytes), Formats: policy.Formats,
		MaxWidth: lesser(policy.MaxWidth, server.Side), MaxHeight: lesser(policy.MaxHeight, server.Side),
		MaxPixels: lesser(policy.MaxPixels, server.Pixels), MaxFrames: server.Frames,
	}
	if l.Formats == nil {
		l.Formats = uploadpolicy.Formats
	}
	if policy.Animated != nil && !*policy.Animated {
		l.MaxFrames = 1
	}
	return l
}

// lesser returns the smaller of the limit of a policy, 0 for none, and the limit of the server.
func lesser[N int | int64](policy, server N) N {
	if policy == 0 {
		return server
	}
	return min(policy, server)
}

// maxBytes returns the largest size of a file for the ticket of a draft. It is the limit of the
// server if the policy cannot be read: then the upload fails too.
func (c *call) maxBytes(draft images.Image) int64 {
	policy, _ := draft.UploadPolicy()
	return lesser(policy.MaxBytes, c.Core.MaxUploadBytes())
}
