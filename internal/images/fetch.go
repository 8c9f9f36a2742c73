package images

import (
	"context"
	"errors"
	"io"

	"calotype/internal/errs"
	"calotype/internal/outbound"
)

// FetchImage creates an image from the picture at a URL, which may hold a user and a password, under
// the rules of Create. The end of ctx ends the fetch. Errors: FetchFailed with the reason, which never
// quotes the URL; TooLarge, Busy, NoSpace, Aborted.
func (s *Service) FetchImage(
	ctx context.Context, account, address string, d NewDraft,
) (Image, error) {
	// An invalid request needs no fetch.
	if _, err := s.newDraft(account, d); err != nil {
		return Image{}, err
	}
	// A slow origin occupies its slot for up to a minute.
	lease, err := s.shares.fetches.TryAcquire(1, account)
	if err != nil {
		return Image{}, errs.AtCapacity("Too many pictures are being fetched from URLs at once", err)
	}
	defer lease.Release()
	u, err := s.BeginImage(account, -1)
	if err != nil {
		return Image{}, err
	}
	defer u.Close()
	filename, err := u.fetch(ctx, address)
	if err != nil {
		return Image{}, err
	}
	return u.Create(ctx, filename, d)
}

// fetch writes the content at a URL to the upload and returns the file name in the URL.
func (u *Upload) fetch(ctx context.Context, address string) (filename string, err error) {
	answer, err := u.s.config.Outbound.Get(ctx, address, u.s.config.MaxUploadBytes)
	if err != nil {
		return "", u.fetchError(ctx, err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(u, answer.Body); err != nil {
		return "", u.fetchError(ctx, err)
	}
	return answer.Name, nil
}

// fetchError converts an error of package outbound.
func (u *Upload) fetchError(ctx context.Context, err error) error {
	why := new(outbound.Error)
	switch {
	case ctx.Err() != nil:
		return errs.ClientAborted(nil)
	case errors.As(err, &why):
		return errs.Errorf(errs.FetchFailed, "The picture could not be fetched: %s", why.Reason)
	case errors.Is(err, outbound.ErrTooLarge):
		return u.tooLarge()
	}
	return err // of the spool
}
