package images

import (
	"context"
	"errors"
	"io"
	"sync"

	"calotype/internal/outbound"
)

const (
	fetchesAtOnce       = 32 // per node
	fetchesOfOneAccount = 16
)

// FetchImage makes an image out of the picture at a URL, which may hold a user and a password, under
// the rules of Create. The fetch ends when ctx does. FetchFailed says why there is no picture, and
// never quotes the URL; TooLarge, Busy, NoSpace, Aborted.
func (s *Service) FetchImage(
	ctx context.Context, account, address string, d NewDraft,
) (Image, error) {
	// What is refused anyway needs no fetch.
	if _, err := s.newDraft(account, d); err != nil {
		return Image{}, err
	}
	leave, err := s.fetches.enter(account)
	if err != nil {
		return Image{}, err
	}
	defer leave()
	u, err := s.BeginImage(account, s.MaxUploadBytes)
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

// fetch writes what is at a URL to the upload and returns what the URL calls it.
func (u *Upload) fetch(ctx context.Context, address string) (filename string, err error) {
	answer, err := u.s.Outbound.Get(ctx, address, u.s.MaxUploadBytes)
	if err != nil {
		return "", u.fetchError(ctx, err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(u, answer.Body); err != nil {
		return "", u.fetchError(ctx, err)
	}
	return answer.Name, nil
}

// fetchError turns an error of package outbound into one of ours.
func (u *Upload) fetchError(ctx context.Context, err error) error {
	why := new(outbound.Error)
	switch {
	case ctx.Err() != nil:
		return Errorf(Aborted, "The request was aborted by the client")
	case errors.As(err, &why):
		return Errorf(FetchFailed, "The picture could not be fetched: %s", why.Reason)
	case errors.Is(err, outbound.ErrTooLarge):
		return u.tooLarge()
	}
	return err // of the spool
}

// fetches count what is being fetched: a slow origin holds a place of the spool for its time, and
// one account must not hold all.
type fetches struct {
	mu  sync.Mutex
	all int
	of  map[string]int // by account
}

// enter takes a place. On success the caller must leave.
func (f *fetches) enter(account string) (leave func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all >= fetchesAtOnce || f.of[account] >= fetchesOfOneAccount {
		return nil, busy("Too many pictures are being fetched from URLs at once")
	}
	if f.of == nil {
		f.of = map[string]int{}
	}
	f.all++
	f.of[account]++
	return func() { f.leave(account) }, nil
}

func (f *fetches) leave(account string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all--
	if f.of[account]--; f.of[account] == 0 {
		delete(f.of, account)
	}
}
