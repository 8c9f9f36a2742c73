package images

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"

	"calotype/internal/render"
	"calotype/internal/sqldb"
)

// Refuse counts err as a refusal of the ticket if it is about the content of a body, and returns
// err. The tenth kills the ticket. A body that was also the last refused one is not counted again:
// several upload widgets repeat by themselves whatever is refused.
func (u *Upload) Refuse(ctx context.Context, err error) error {
	e := AsError(err)
	switch e.Kind {
	case Unsupported, Undecodable, OverLimits, TooLarge:
	default:
		return err
	}
	var sum any = hex.EncodeToString(u.sum.Sum(nil))
	if errors.Is(err, render.ErrWorker) {
		sum = nil // it took too long, or too much memory: the next try may do better
	}
	counting := u.s.DB.Tx(context.WithoutCancel(ctx), func(tx *sqldb.Tx) error {
		return u.countRefusal(tx, e, sum)
	})
	if counting != nil {
		u.s.Log.Error("a refusal was not counted", "image", u.draft.Key, "err", counting)
	}
	u.s.outbox.nudge()
	return err
}

// countRefusal counts a refusal of the ticket, and has webhooks told. sum is the body's SHA-256, nil
// for one that may be tried again.
func (u *Upload) countRefusal(tx *sqldb.Tx, e *Error, sum any) error {
	draft, err := scanImage(tx.QueryRow(`UPDATE images
		SET refusals = refusals + 1, last_kind = ?2, last_message = ?3,
			refused_sha256 = CAST(?4 AS TEXT)
		WHERE key = ?1 AND draft = 1
			AND (refused_sha256 IS NULL OR refused_sha256 <> COALESCE(CAST(?4 AS TEXT), ''))
		RETURNING `+imageColumns, u.draft.Key, e.Kind.String(), e.Msg, sum))
	if errors.Is(err, sql.ErrNoRows) {
		return nil // it was counted before, another body was taken, or the draft was cancelled
	}
	n := 0
	if err == nil {
		n = draft.Ticket.Refusals
	}
	if err != nil || n > maxRefusals { // bodies that came at once with the last one
		return err
	}
	return u.s.record(tx, draft.Account, Event{Type: UploadFailed, Image: draft,
		Failure: &UploadFail{Kind: e.Kind, Message: e.Msg, Attempt: n, Final: n == maxRefusals}})
}

// refusedBefore answers a repeat of the last refused body as that was answered. It costs no decoding:
// what is not counted would else bound nothing.
func (u *Upload) refusedBefore(sum string) error {
	t := u.draft.Ticket
	if t == nil || t.refused != sum || t.LastKind == TooLarge { // of that only the beginning is known
		return nil
	}
	return &Error{Kind: t.LastKind, Msg: t.LastMessage}
}
