package images_test

import (
	"strings"
	"testing"

	"calotype/internal/errs"
	"calotype/internal/images/imagestest"
)

func TestMain(m *testing.M) { imagestest.Main(m) }

const account = imagestest.AccountID

// blobs returns the keys of all originals in the store.
func blobs(t *testing.T, core *imagestest.Core) (keys []string) {
	t.Helper()
	for cursor := ""; ; {
		page, next, err := core.Blobs.List(t.Context(), "", cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range page {
			if strings.Contains(info.Key, "/") {
				keys = append(keys, info.Key)
			}
		}
		if cursor = next; next == "" {
			return keys
		}
	}
}

func TestKindsHaveNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for k := range errs.KindCount {
		if k.String() == "" || seen[k.String()] {
			t.Errorf("kind %d has no unique name", k)
		}
		seen[k.String()] = true
	}
}
