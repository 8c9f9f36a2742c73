package main

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"calotype/internal/accounts"
	"calotype/internal/images"
)

type imageCommands struct {
	List   imageList   `cmd:"" help:"List the images, the newest first."`
	Show   imageShow   `cmd:"" help:"Show what the server knows of an image or draft."`
	Get    imageGet    `cmd:"" help:"Download the original of an image."`
	Upload imageUpload `cmd:"" help:"Upload pictures, and folders of pictures."`
	Delete imageDelete `cmd:"" help:"Delete images, or erase an image or a creator with a receipt."`
}

// accountOf returns the named account, or the only one. It never guesses: a wrong account would lose
// images, or have none to erase.
func accountOf(ctx context.Context, core *images.Service, given string) (accounts.Account, error) {
	if given != "" {
		return core.Accounts.ByID(ctx, given)
	}
	of, err := core.Accounts.Only(ctx)
	if errors.Is(err, accounts.ErrSeveralAccounts) {
		err = errors.New("there are several accounts: name one with --account-id")
	}
	return of, err
}

// imageOfURL returns the hash of the account and the id of the image that a public URL names: of a
// variant, or the one-time URL of an upload.
func imageOfURL(text string) (hash, id string, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "", "", errors.New("--url must be like https://host/hash/id/variant")
	}
	path, upload := strings.CutPrefix(u.EscapedPath(), "/upload/")
	path = strings.TrimPrefix(strings.TrimPrefix(path, "/cdn-cgi/imagedelivery"), "/")
	hash, id, _ = strings.Cut(path, "/")
	if !upload {
		id = id[:max(0, strings.LastIndexByte(id, '/'))]
	}
	if id, err = url.PathUnescape(id); err != nil || hash == "" || id == "" {
		return "", "", errors.New("--url must be like https://host/hash/id/variant")
	}
	return hash, id, nil
}
