package main

import (
	"context"
	"net/http"

	"calotype/internal/cfapi"
	"calotype/internal/images"
	"calotype/internal/intake"
	"calotype/internal/pages"
)

// uploadPage returns the page of one-time URLs, which the intake serves to browsers.
func uploadPage(core *images.Service, urls cfapi.URLs) http.Handler {
	return pages.NewUpload(pages.UploadConfig{URLs: urls, Link: func(ctx context.Context, ticket string) (pages.Link, error) {
		img, err := core.DraftOfTicket(ctx, ticket)
		if err != nil {
			return pages.Link{}, err
		}
		return pages.Link{Status: intake.Status(img, core.Now())}, nil
	}})
}
