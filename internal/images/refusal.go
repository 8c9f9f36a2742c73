package images

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"calotype/internal/accounts"
	"calotype/internal/bodylimit"
	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/render"
	"calotype/internal/svg"
	"calotype/internal/uploadpolicy"
)

// NoPicture is the refusal of bytes of no known format.
const NoPicture = "Uploaded image must have image/jpeg, image/png, image/webp, " +
	"image/gif, image/avif, image/heic or image/svg+xml content"

// RenderError converts an error of package render to an *errs.Error, or wraps it with doing if it has no Kind.
func RenderError(doing string, err error) error {
	overLimit, noDecoder, badSVG := new(imagefile.LimitError), new(render.NoDecoderError), new(svg.Error)
	byPolicy := new(uploadpolicy.Refusal)
	kind, msg := errs.Internal, ""
	switch {
	// First: a job that was out of time by the wall clock alone says nothing of the picture.
	case errors.Is(err, render.ErrBusy), errors.Is(err, render.ErrNoWorker),
		errors.Is(err, context.DeadlineExceeded):
		return errs.AtCapacity("The server is busy with other pictures", err)
	case errors.As(err, &byPolicy):
		kind, msg = errs.PolicyRefused, byPolicy.Error()
	case errors.As(err, &overLimit):
		kind, msg = errs.OverLimits, "The picture is over a limit: "+overLimit.Error()
	case errors.As(err, &badSVG) && badSVG.Unsupported:
		kind, msg = errs.Unsupported, "The SVG "+badSVG.Reason
	case errors.Is(err, imagefile.ErrUnsupported):
		kind, msg = errs.Unsupported, NoPicture
	case errors.As(err, &noDecoder):
		kind, msg = errs.Unsupported, "This server has no decoder of "+noDecoder.Format.MIME()
	case errors.As(err, &badSVG):
		kind, msg = errs.Undecodable, "error during decoding: "+badSVG.Error()
	case errors.Is(err, imagefile.ErrMalformed), errors.Is(err, render.ErrUndecodable):
		kind, msg = errs.Undecodable, "error during decoding: the file may be incomplete or damaged"
	case errors.Is(err, render.ErrWorker):
		kind, msg = errs.Undecodable, "error during decoding: it took too much time or memory"
	case errors.Is(err, render.ErrEncode):
		kind, msg = errs.RenditionFailed, "the picture was decoded, but could not be encoded"
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
	return &errs.Error{Kind: kind, Msg: msg, Err: fmt.Errorf("%s: %w", doing, err)}
}

// Refuse counts err as a refusal of the ticket if the content of a body causes err, and returns err. The tenth
// refusal makes the ticket invalid. A body that equals the last refused one is not counted, because several upload
// widgets repeat refused uploads automatically.
func (u *Upload) Refuse(ctx context.Context, err error) error {
	e := errs.AsError(err)
	if !isRefusal(e.Kind) {
		return err
	}
	sum := u.body.sha256()
	if mayPass(err) {
		sum = ""
	}
	var refused *Ticket
	counting := u.s.Accounts.Change(context.WithoutCancel(ctx), func(tx *accounts.Change) (err error) {
		refused, err = u.countRefusal(tx, e, sum)
		return err
	})
	switch {
	case counting != nil:
		u.s.log.Error("a refusal was not counted", "image", u.draft.Key, "err", counting)
		u.admitted.Refuse(nil)
	case refused != nil:
		now := refused.refusals()
		u.admitted.Refuse(&now)
	}
	return err
}

// isRefusal reports whether errors of a kind are caused by the content of a body, and so count.
func isRefusal(kind errs.Kind) bool {
	switch kind {
	case errs.Unsupported, errs.Undecodable, errs.OverLimits, errs.PolicyRefused, errs.TooLarge, errs.Blocked:
		return true
	}
	return false
}

// mayPass reports whether a later try, or another node, may accept the same body: it took too much time or memory
// here, a decoder is missing, or the account may delete the entry that blocks it.
func mayPass(err error) bool {
	limit, noDecoder := new(imagefile.LimitError), new(render.NoDecoderError)
	return errors.Is(err, render.ErrWorker) || errors.As(err, &noDecoder) || errs.AsError(err).Kind == errs.Blocked ||
		errors.As(err, &limit) && limit.What == imagefile.LimitMemory
}

// countRefusal counts a refusal of the ticket, records its event, and returns the ticket afterwards. It returns nil
// if the refusal is already counted, the ticket is used, or the draft was deleted. sum is the body's SHA-256
// in hex, "" for a body that may be retried.
func (u *Upload) countRefusal(tx *accounts.Change, e *errs.Error, sum string) (*Ticket, error) {
	draft, err := ScanImage(tx.QueryRow(`UPDATE images
		SET refusals = refusals + 1, last_kind = ?2, last_message = ?3, refused_sha256 = ?4
		WHERE key = ?1 AND draft = 1 AND used < uses AND (COALESCE(refused_sha256, '') <> ?4 OR ?4 = '')
		RETURNING `+imageColumns, u.draft.Key, e.Kind.String(), e.Msg, sum))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t := draft.Ticket
	if t.Refusals >= maxRefusals {
		if err := u.endOtherPartials(tx); err != nil {
			return nil, err
		}
	}
	if t.Refusals > maxRefusals { // bodies of other nodes that came at once with the last one
		return t, nil
	}
	return t, u.s.Webhooks.Record(tx, failed(draft, e.Kind, e.Msg, t.Refusals == maxRefusals))
}

// refusals returns the refusals of the ticket for the limiter of its bodies.
func (t Ticket) refusals() bodylimit.Refusals {
	return bodylimit.Refusals{N: t.Refusals, Last: t.refusal}
}

// refusal returns the refusal of a body with this SHA-256 if it equals the last refused one, else nil. Only the
// beginning of a body that was too large is known.
func (t Ticket) refusal(sum string) error {
	if t.refused == "" || t.refused != sum || t.LastKind == errs.TooLarge {
		return nil
	}
	return &errs.Error{Kind: t.LastKind, Msg: t.LastMessage}
}
