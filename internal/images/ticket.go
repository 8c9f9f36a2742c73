package images

import (
	"context"
	"time"

	"calotype/internal/errs"
	"calotype/internal/uploadpolicy"
)

// A Ticket holds the public properties of a one-time upload URL's secret.
type Ticket struct {
	Expires     time.Time
	Uses        int       // accepted uploads that it allows; more than 1 only of a link
	Used        int       // accepted uploads so far; 0 unless of a link
	Refusals    int       // complete bodies refused for their content; a repeat of the last body counts once
	LastKind    errs.Kind // of the last refusal
	LastMessage string    // "" without a refusal
	Policy      uploadpolicy.Policy
	refused     string // SHA-256 of the last refused body, hex; "" if it may be tried again
}

// maxRefusals is the number of refusals that makes a ticket invalid.
const maxRefusals = 10

// A TicketStatus says whether a ticket accepts an upload. Its text is that of the public state of a one-time URL.
type TicketStatus string

// The statuses of a ticket.
const (
	StatusOpen    TicketStatus = "open"
	StatusUsed    TicketStatus = "used"
	StatusExpired TicketStatus = "expired"
	StatusDead    TicketStatus = "dead" // refused too often
)

// TicketStatus returns the status, at a time, of the ticket of a draft, or of the image that it has become.
func (img Image) TicketStatus(at time.Time) TicketStatus {
	switch {
	case img.TicketUsed():
		return StatusUsed
	case img.Ticket.AttemptsLeft() == 0:
		return StatusDead
	case at.After(img.Ticket.Expires):
		return StatusExpired
	}
	return StatusOpen
}

// TicketUsed reports whether the ticket of a draft, or of the image that it has become, accepts no further upload
// because it was used, or because its policy simulates that.
func (img Image) TicketUsed() bool {
	return !img.Draft || img.Ticket.usedUp() || img.Ticket.Policy.Test == uploadpolicy.TestUsed
}

// usedUp reports whether the ticket accepts no upload because all of its uses are used.
func (t Ticket) usedUp() bool { return t.Used >= t.Uses }

// AttemptsLeft returns how many more bodies may be refused, the last of which makes the ticket invalid.
func (t Ticket) AttemptsLeft() int { return max(0, maxRefusals-t.Refusals) }

// DraftOfTicket returns the draft of a ticket, or the image that it has become. Errors: TicketUnknown;
// AccountSuspended with the draft.
func (s *Service) DraftOfTicket(ctx context.Context, ticket string) (Image, error) {
	u := &Upload{s: s, began: s.now()}
	err := u.loadTicket(ctx, ticket)
	if kind := errs.AsError(err).Kind; kind == errs.TicketUsed || kind == errs.TicketInvalid {
		err = nil
	}
	return u.draft, err
}

// checkTicket returns nil if the ticket of img accepts an upload, otherwise TicketUsed or TicketInvalid.
func (u *Upload) checkTicket(img Image) error {
	switch img.TicketStatus(u.began) {
	case StatusUsed:
		return errUsed()
	case StatusDead:
		return refusedTooOften()
	case StatusExpired:
		return errs.Errorf(errs.TicketInvalid, "Upload URL expired at %s",
			img.Ticket.Expires.Format(time.RFC3339))
	}
	return nil
}

func errUsed() error { return errs.Errorf(errs.TicketUsed, "Upload URL already used") }

func refusedTooOften() error {
	return errs.Errorf(errs.TicketInvalid, "Upload URL is no longer valid: it was refused %d times", maxRefusals)
}
