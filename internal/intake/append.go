package intake

import (
	"errors"
	"net/http"
	"strconv"

	"calotype/internal/cfapi"
	"calotype/internal/errs"
	"calotype/internal/images"
)

// appendBody appends the body of the request to a resumable upload. The body of a connection that breaks is stored
// as far as it came. progress gets the offset after each stored part; nil for none.
func (c *call) appendBody(secret string, r images.AppendRequest, progress func(offset int64)) (images.Partial, error) {
	ctx := c.r.Context()
	r.Size = c.r.ContentLength
	a, err := c.Core.BeginAppend(ctx, secret, r)
	if err != nil {
		return images.Partial{}, c.inconsistent(err)
	}
	c.line.image = a.Draft()
	if progress != nil {
		a.OnStored(progress)
	}
	if err := copyBody(a, c.body); err != nil {
		storing := a.Interrupt(ctx)
		if storing != nil && cfapi.Refusal(storing).Status >= http.StatusInternalServerError {
			c.w.Note(storing)
		}
		return images.Partial{}, c.excess(secret, err)
	}
	p, err := a.Finish(ctx)
	switch errs.AsError(err).Kind {
	case errs.Invalid:
		if r.Complete {
			err = c.inconsistent(err)
		}
	case errs.Aborted, errs.PartialBusy:
	default:
		c.transmitted = err != nil
	}
	return p, err
}

// excess returns the error of a body. More bytes than the length of an upload end it, as the IETF's draft demands.
func (c *call) excess(secret string, err error) error {
	if c.protocol != ietf || errs.AsError(err).Kind != errs.Invalid {
		return err
	}
	if deleting := c.Core.DeletePartial(c.r.Context(), secret); deleting != nil {
		c.w.Note(deleting)
	}
	return c.inconsistent(err)
}

// inconsistent marks an error about the length of an upload for the IETF's clients.
func (c *call) inconsistent(err error) error {
	if errs.AsError(err).Kind == errs.Invalid {
		return errors.Join(err, errInconsistent)
	}
	return err
}

// newPartial returns the fields of a resumable upload that all protocols have in common.
func (c *call) newPartial(length int64, filename string) images.NewPartial {
	return images.NewPartial{
		Ticket: ticketOf(c.r), IdempotencyKey: c.r.Header.Get("Idempotency-Key"),
		Filename: filename, Length: length,
	}
}

// location returns the URL of the upload resource with a secret.
func (c *call) location(secret string) string { return c.URLs.Upload + c.protocol.prefix + secret }

// partial returns the state of a resumable upload. The error may be its refusal.
func (c *call) partial(secret string) (images.Partial, error) {
	p, err := c.Core.Partial(c.r.Context(), secret)
	c.line.image = p.Draft
	if err == nil && p.Refused != nil {
		c.transmitted, err = true, p.Refused
	}
	return p, err
}

// outcome answers with the image of an accepted upload, and nothing else.
func (c *call) outcome(secret string) error {
	p, err := c.Core.PartialOutcome(c.r.Context(), secret)
	c.line.image = p.Draft
	switch {
	case err != nil:
		return err
	case p.Refused != nil:
		return p.Refused
	case p.Image == nil:
		return errNotComplete
	}
	return c.accepted(*p.Image, http.StatusOK)
}

var errNotComplete error = errs.Errorf(errs.ImageNotFound, "There is no image yet: the upload is not complete; HEAD "+
	"returns its offset")

// discard deletes a resumable upload.
func (c *call) discard(secret string) error {
	if err := c.Core.DeletePartial(c.r.Context(), secret); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// complete returns the image of an upload that accepts no bytes because it is complete. Errors: why if it is not
// complete; OffsetMismatch if the request is not at its end.
func (c *call) complete(secret string, offset int64, why error) (images.Partial, error) {
	if errs.AsError(why).Kind != errs.TicketUsed {
		return images.Partial{}, why
	}
	p, err := c.partial(secret)
	switch {
	case err != nil:
		return p, err
	case p.Image == nil:
		return p, why
	case p.Offset != offset:
		return p, &errs.Error{Kind: errs.OffsetMismatch, Err: &images.OffsetError{Offset: p.Offset},
			Msg: "The upload is complete: GET returns its answer"}
	}
	return p, nil
}

// setOffset sets the header with the offset of an upload.
func setOffset(h http.Header, offset int64) { h.Set("Upload-Offset", strconv.FormatInt(offset, 10)) }

func invalid(status int, message string) error {
	return &cfapi.Error{Status: status, Code: 5400, Final: true, Message: "Bad request: " + message}
}
