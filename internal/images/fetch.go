package images

import (
	"context"
	"errors"
	"io"
	"time"

	"calotype/internal/errs"
	"calotype/internal/outbound"
	"calotype/internal/trace"
)

// FetchImage creates an image from the picture at a URL, which may hold a user and a password, under
// the rules of Create. The end of ctx ends the fetch. Errors: FetchFailed with the reason, which never
// quotes the URL; TooLarge, Busy, NoSpace, Aborted.
func (s *Service) FetchImage(
	ctx context.Context, account, address string, d NewDraft,
) (UploadedImage, error) {
	// An invalid request needs no fetch.
	if _, err := s.newDraft(ctx, account, d); err != nil {
		return UploadedImage{}, err
	}
	// A slow origin occupies its slot for up to a minute.
	lease, err := s.shares.fetches.TryAcquire(1, account)
	if err != nil {
		return UploadedImage{}, errs.AtCapacity("Too many pictures are being fetched from URLs at once", err)
	}
	defer lease.Release()
	b, err := s.BeginImage(account, -1)
	if err != nil {
		return UploadedImage{}, err
	}
	defer b.Close()
	began := time.Now()
	filename, err := b.fetch(ctx, address)
	trace.Record(ctx, "fetch", began, err)
	if err != nil {
		return UploadedImage{}, err
	}
	return b.Create(ctx, filename, d)
}

// fetch writes the content at a URL to the body and returns the file name in the URL.
func (b *Body) fetch(ctx context.Context, address string) (filename string, err error) {
	answer, err := b.s.config.Outbound.Get(ctx, address, b.s.config.MaxUploadBytes)
	if err != nil {
		return "", b.fetchError(ctx, err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(b, answer.Body); err != nil {
		return "", b.fetchError(ctx, err)
	}
	return answer.Name, nil
}

// fetchError converts an error of package outbound.
func (b *Body) fetchError(ctx context.Context, err error) error {
	why := new(outbound.Error)
	switch {
	case ctx.Err() != nil:
		return errs.ClientAborted(nil)
	case errors.As(err, &why):
		return errs.Errorf(errs.FetchFailed, "The picture could not be fetched: %s", why.Reason)
	case errors.Is(err, outbound.ErrTooLarge):
		return FileTooLarge(b.s.config.MaxUploadBytes)
	}
	return err // of the spool
}
