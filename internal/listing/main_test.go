package listing_test

import (
	"testing"

	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

func TestMain(m *testing.M) { imagestest.Main(m) }

const account = imagestest.AccountID

// upload makes an image of a draft and a small picture, as the API does.
func upload(t testing.TB, core *imagestest.Core, account string, d images.NewDraft) (images.Image, error) {
	t.Helper()
	return imagestest.Create(t, core, account, d, imagestest.JPEG(t, 1))
}
