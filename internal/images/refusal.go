package images

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"calotype/internal/render"
	"calotype/internal/sqldb"
)

// renderError turns an error of package render into one of ours.
func renderError(doing string, err error) error {
	overLimit := new(render.LimitError)
	kind, msg := Internal, ""
	switch {
	// First: a job that was out of time by the wall clock alone says nothing of the picture.
	case errors.Is(err, render.ErrBusy), errors.Is(err, render.ErrNoWorker),
		errors.Is(err, context.DeadlineExceeded):
		return full("The server is busy with other pictures", err)
	case errors.As(err, &overLimit):
		kind, msg = OverLimits, "The picture is over a limit: "+overLimit.Error()
	case errors.Is(err, render.ErrUnsupported):
		kind, msg = Unsupported, "Uploaded image must have image/jpeg, image/png, image/webp, "+
			"image/gif, image/avif or image/heic content"
	case errors.Is(err, render.ErrMalformed), errors.Is(err, render.ErrUndecodable):
		kind, msg = Undecodable, "error during decoding: the file may be incomplete or damaged"
	case errors.Is(err, render.ErrWorker):
		kind, msg = Undecodable, "error during decoding: it took too much time or memory"
	case errors.Is(err, render.ErrEncode):
		kind, msg = RenditionFailed, "the picture was decoded, but could not be encoded"
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
	return &Error{Kind: kind, Msg: msg, Err: fmt.Errorf("%s: %w", doing, err)}
}

// Refuse counts err as a refusal of the ticket if it is about the content of a body, and
// returns err. The tenth kills the ticket.
func (u *Upload) Refuse(ctx context.Context, err error) error {
	e := AsError(err)
	switch e.Kind {
	case Unsupported, Undecodable, OverLimits, TooLarge:
	default:
		return err
	}
	n := 0
	counting := u.s.DB.Tx(context.WithoutCancel(ctx), func(tx *sqldb.Tx) (err error) {
		n, err = u.countRefusal(tx, e)
		return err
	})
	if counting != nil {
		n = 0
		u.s.Log.Error("a refusal was not counted", "image", u.draft.Key, "err", counting)
	}
	if n > 0 || counting != nil {
		u.pass.refuse(n)
	}
	u.s.outbox.nudge()
	return err
}

// countRefusal counts a refusal of the ticket, in an event too, and returns how many there were; 0
// when another body was taken, or the draft was deleted.
func (u *Upload) countRefusal(tx *sqldb.Tx, e *Error) (n int, err error) {
	draft, err := scanImage(tx.QueryRow(`UPDATE images
		SET refusals = refusals + 1, last_kind = ?2, last_message = ?3
		WHERE key = ?1 AND draft = 1 RETURNING `+imageColumns, u.draft.Key, e.Kind.String(), e.Msg))
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n = draft.Ticket.Refusals
	if n > maxRefusals { // bodies of other nodes that came at once with the last one
		return n, nil
	}
	return n, u.s.record(tx, draft.Account, Event{Type: UploadFailed, Image: draft,
		Failure: &UploadFail{Kind: e.Kind, Message: e.Msg, Attempt: n, Final: n == maxRefusals}})
}
