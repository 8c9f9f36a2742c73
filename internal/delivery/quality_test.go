package delivery_test

import (
	"bytes"
	"fmt"
	"testing"

	"calotype/internal/accounts"
	"calotype/internal/imagefile"
	"calotype/internal/images/imagestest"
)

// TestAutoQuality: quality=auto, in the URL or by the account, is delivered as the number that was found.
func TestAutoQuality(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	h := newHost(t, core, true)
	h.set(accounts.SettingsChange{FlexibleVariants: imagestest.Ptr(true)})
	img := h.upload(imagestest.JPEG(t, 4), "", false)
	path := "/" + h.hash + "/" + img.ID + "/"
	plain := h.served(path+"w=50,f=jpeg", imagefile.JPEG)
	h.served(path+"w=50,f=png,q=auto", imagefile.PNG)
	auto := h.served(path+"w=50,f=jpeg,q=auto", imagefile.JPEG)
	all, _, err := core.Qualities.Of(t.Context(), img.Key)
	if err != nil || len(all) != 1 || all[0].Format != "jpeg" {
		t.Fatalf("the image has the qualities %v, %v", all, err)
	}
	number := h.served(fmt.Sprintf("%sw=50,f=jpeg,q=%d", path, all[0].Quality), imagefile.JPEG)
	if number.Header.Get("ETag") != auto.Header.Get("ETag") || !bytes.Equal(number.body, auto.body) {
		t.Errorf("the quality %d is another picture than auto", all[0].Quality)
	}
	if plain.Header.Get("ETag") == auto.Header.Get("ETag") {
		t.Error("auto is the picture of the default quality")
	}
	h.set(accounts.SettingsChange{AutoQuality: imagestest.Ptr(true)})
	if r := h.ask("GET", path+"w=50,f=jpeg", "If-None-Match", auto.Header.Get("ETag")); r.StatusCode != 304 {
		t.Errorf("no quality on an account with auto_quality: got %d with the tag of auto", r.StatusCode)
	}
	if r := h.ask("GET", path+"w=50,f=jpeg,q=85", "If-None-Match", plain.Header.Get("ETag")); r.StatusCode != 200 {
		t.Errorf("the quality 85 has the tag of the default: %d", r.StatusCode)
	}
}
