package main

import (
	"context"
	"net/http"

	"calotype/internal/cfapi"
	"calotype/internal/images"
	"calotype/internal/pages"
	"calotype/internal/uploadpolicy"
)

// uploadPage returns the page of one-time URLs, which the intake serves to browsers.
func uploadPage(core *images.Service, urls cfapi.URLs) http.Handler {
	link := func(ctx context.Context, ticket string) (l pages.OneTimeURL, err error) {
		img, err := core.DraftOfTicket(ctx, ticket)
		if err != nil {
			return l, err
		}
		policy, err := img.UploadPolicy()
		l = pages.OneTimeURL{
			Status: img.TicketStatus(core.Now()), Many: policy.Allowed() > 1, Redirect: policy.Redirect,
		}
		if !policy.AllowsOrigin(uploadpolicy.OriginOf(urls.Upload)) {
			l.Origins = policy.Origins
		}
		return l, err
	}
	return pages.NewUpload(pages.UploadConfig{URLs: urls, OneTimeURL: link})
}
