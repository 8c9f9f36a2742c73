package render

import (
	"testing"

	"calotype/internal/imagefile"
)

// TestMissesMore: a worker with a decoder more, or with another reason for the same format, is used; one with a decoder
// less is not.
func TestMissesMore(t *testing.T) {
	t.Parallel()
	heic := map[imagefile.Format]string{imagefile.HEIC: "no libheif"}
	other := map[imagefile.Format]string{imagefile.HEIC: "no decoder of HEVC"}
	avif := map[imagefile.Format]string{imagefile.AVIF: "no AV1"}
	for _, c := range []struct {
		worker, first map[imagefile.Format]string
		more          bool
	}{{nil, nil, false}, {nil, heic, false}, {other, heic, false}, {heic, nil, true}, {avif, heic, true}} {
		if got := missesMore(c.worker, c.first); got != c.more {
			t.Errorf("%v after %v: %v", c.worker, c.first, got)
		}
	}
}
