package images

import (
	"context"
	"time"

	"calotype/internal/render"
	"calotype/internal/uploadpolicy"
)

// A ticket whose policy has a test behaves in one way for every picture, for the tests of an app. Only the cause is
// simulated: refusals, answers and events use the code of other tickets. A test ticket accepts no picture that another
// ticket refuses.

const (
	// slowTime is the additional time until a ticket of TestSlow answers.
	slowTime = 10 * time.Second
	// expiredSince is the time since when a new ticket of TestExpired is expired. The event of its end is due at once.
	expiredSince = releaseAfter + time.Minute
)

// setTest applies the test of its policy to a new draft.
func (t *Ticket) setTest(now time.Time) {
	if t.Policy.Test == uploadpolicy.TestExpired {
		t.Expires = now.Add(-expiredSince)
	}
}

// store is Body.store, except for a ticket with a test, which refuses each picture or waits. A body that is no picture
// gets its real refusal first.
func (u *Upload) store(ctx context.Context) (*Original, error) {
	var refusal error
	switch u.draft.ticketPolicy().Test {
	case uploadpolicy.TestUndecodable:
		refusal = RenderError("testing an upload", render.ErrUndecodable)
	case uploadpolicy.TestTooLarge:
		refusal = u.body.TooLarge()
	case uploadpolicy.TestBusy:
		refusal = RenderError("testing an upload", render.ErrBusy)
	case uploadpolicy.TestSlow:
		select {
		case <-time.After(slowTime):
		case <-ctx.Done():
			return nil, RenderError("testing an upload", ctx.Err())
		}
	}
	if refusal == nil {
		return u.body.store(ctx)
	}
	if _, err := u.body.Examine(ctx); err != nil {
		return nil, err
	}
	return nil, refusal
}
