package images

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/fields"
	"calotype/internal/imagefile"
	"calotype/internal/text"
	"calotype/internal/uploadpolicy"
)

// The policy of a one-time URL is in the row of the draft. A Body checks its bytes with it, so that it holds for every
// way in; the surface checks the origin of each request.

// setPolicy sets the policy of a draft: the given one, nil for none, with the default of its owner for the keys that
// it lacks. Errors: Invalid, InvalidID.
func setPolicy(draft *Image, given json.RawMessage, owner accounts.Owner) error {
	defaults, err := owner.UploadPolicy()
	if err != nil {
		return err
	}
	policy := defaults
	if given != nil {
		if policy, err = uploadpolicy.Parse(given); err == nil {
			policy, err = policy.Merge(defaults)
		}
		if err != nil {
			return errs.Errorf(errs.Invalid, "%v", err)
		}
	}
	draft.Ticket.Policy, draft.Ticket.Uses, draft.policy = policy, policy.Allowed(), policy.Text()
	draft.Ticket.setTest(draft.Created)
	if draft.isLink() {
		return fields.CheckLinkID(draft.ID)
	}
	return nil
}

// UploadPolicy returns the policy of the one-time URL of a draft, or of the draft that has become the image.
func (img Image) UploadPolicy() (uploadpolicy.Policy, error) { return uploadpolicy.Stored(img.policy) }

// ticketPolicy returns the policy of a draft; none for an image, whose ticket accepts no further one.
func (img Image) ticketPolicy() uploadpolicy.Policy {
	if img.Ticket == nil {
		return uploadpolicy.Policy{}
	}
	return img.Ticket.Policy
}

// CheckOrigin refuses a request on a one-time URL whose header Origin, "" for none, is not among those of the policy,
// also after the ticket is used. Errors: OriginRefused in a DraftError. An unknown ticket refuses no origin.
func (s *Service) CheckOrigin(ctx context.Context, ticket, origin string) error {
	if ticket == "" || origin == "" {
		return nil
	}
	img, err := ScanImage(s.db.QueryRow(ctx, SelectImage+` WHERE ticket = ?1`, text.Hash(ticket)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the policy of a ticket: %w", err)
	}
	return img.CheckOrigin(origin)
}

// CheckPartialOrigin is CheckOrigin for the secret of a resumable upload.
func (s *Service) CheckPartialOrigin(ctx context.Context, secret, origin string) error {
	row, err := s.Partials.BySecret(ctx, secret)
	if err != nil {
		return err
	}
	img, err := s.imageOfKey(ctx, row.Image)
	if errors.Is(err, sql.ErrNoRows) {
		return errCancelled()
	}
	if err != nil {
		return fmt.Errorf("reading the policy of a resumable upload: %w", err)
	}
	return img.CheckOrigin(origin)
}

// CheckOrigin returns OriginRefused, in a DraftError, if the policy of the draft's one-time URL refuses an origin.
func (img Image) CheckOrigin(origin string) error {
	p, err := img.UploadPolicy()
	if err != nil || p.AllowsOrigin(origin) {
		return err
	}
	return &DraftError{img, errs.Errorf(errs.OriginRefused,
		"This upload URL cannot be used by pages of the origin %.100q", origin)}
}

// maxBytes returns the largest size of a file under a policy, in bytes.
func (s *Service) maxBytes(p uploadpolicy.Policy) int64 {
	if p.MaxBytes > 0 {
		return min(p.MaxBytes, s.config.MaxUploadBytes)
	}
	return s.config.MaxUploadBytes
}

// tooLarge returns the refusal of a file that is larger than maxBytes, which names the smaller limit. size is its size
// in bytes, 0 if not known. Errors: TooLarge, PolicyRefused.
func (s *Service) tooLarge(p uploadpolicy.Policy, size int64) error {
	if s.maxBytes(p) < s.config.MaxUploadBytes {
		return errs.Errorf(errs.PolicyRefused, "%v", p.Oversize(size))
	}
	return FileTooLarge(s.config.MaxUploadBytes)
}

// checkPolicy returns an *uploadpolicy.Refusal if a policy refuses the picture of a header. A worker must find the
// same size and frames, else it refuses the picture; so the pixels need not be decoded for it.
func checkPolicy(p uploadpolicy.Policy, h imagefile.Header) error {
	width, height := h.Shown()
	return p.Check(uploadpolicy.Picture{Format: h.Format, Width: width, Height: height, Frames: h.Frames})
}
