package e2e

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
)

// policyPictures are real pictures of formats that Go cannot encode, some of them turned or cropped by their file.
var policyPictures = []string{
	"heic/coil__basic.heic", "heic/coil__static.heif", "avif/linku__kimono.rotate90.avif",
	"avif/linku__kimono.crop.avif", "webp/pillow__flower.webp", "orientation/pillow__hopper_orientation_6.webp",
	"webp/image__anim.webp",
}

// TestURLPoliciesOfRealPictures: each key of a policy measures a HEIC, AVIF or WebP as it is shown. A picture inside
// all bounds and one at all bounds are accepted, and one beyond a bound is refused with the measured figure.
func TestURLPoliciesOfRealPictures(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("CALOTYPE_CORPUS")
	if dir == "" {
		t.Skip("CALOTYPE_CORPUS names no folder of pictures")
	}
	s := newServer(t)
	all := readManifest(t, dir)
	for _, path := range policyPictures {
		i := slices.IndexFunc(all, func(s specimen) bool { return s.path == path })
		if i < 0 {
			t.Fatalf("the corpus has no %s", path)
		}
		for _, w := range ways {
			if w.name == "form" || w.name == "PUT" || w.name == "tus" {
				s.realPicturePolicies(w, all[i])
			}
		}
	}
}

func (s *server) realPicturePolicies(w way, p specimen) {
	s.t.Helper()
	width, height, size, format := p.width, p.height, len(p.content), strings.ToLower(p.format)
	moving := p.frames > 1
	bounds := func(by int, formats string) string {
		return fmt.Sprintf(`{"minWidth":%d,"maxWidth":%d,"minHeight":%d,"maxHeight":%d,"maxPixels":%d,"maxBytes":%d,`+
			`"formats":[%s],"aspectRatio":["%d:%d","%d:%d"],"animated":%v}`, width-by, width+by, height-by, height+by,
			width*height+by, size+by, formats, width-by, height, width+by, height, moving)
	}
	for name, policy := range map[string]string{
		"inside": bounds(1, `"jpeg","`+format+`","png"`), "at": bounds(0, `"`+format+`"`),
	} {
		u := s.createUploadURL("policy", policy)
		a, err := w.send(s.t.Context(), u.UploadURL, "a", p.content)
		if img, ok := s.image(u.ID); err != nil || a.status != http.StatusOK || !ok || img.Draft {
			s.t.Errorf("%s, %s all bounds, by %s: %d, %v %s", p.path, name, w.name, a.status, err, a.body)
		}
	}
	beyond := map[string]string{
		fmt.Sprintf(`{"minWidth":%d}`, width+1): fmt.Sprintf("%d pixels wide; at least %d are", width, width+1),
		fmt.Sprintf(`{"maxWidth":%d}`, width-1): fmt.Sprintf("%d pixels wide; at most %d are", width, width-1),
		fmt.Sprintf(`{"minHeight":%d}`, height+1): fmt.Sprintf("%d pixels high; at least %d are", height,
			height+1),
		fmt.Sprintf(`{"maxHeight":%d}`, height-1): fmt.Sprintf("%d pixels high; at most %d are", height, height-1),
		fmt.Sprintf(`{"maxPixels":%d}`, width*height-1): fmt.Sprintf("has %d pixels (%d x %d); at most %d are",
			width*height, width, height, width*height-1),
		fmt.Sprintf(`{"maxBytes":%d}`, size-1): fmt.Sprintf("%d bytes", size-1),
		`{"formats":["jpeg","png"]}`:           p.format + " is not accepted here; JPEG or PNG are",
		fmt.Sprintf(`{"aspectRatio":{"min":"%d:%d"}}`, width+1, height): fmt.Sprintf(
			"The picture is %d x %d pixels: its width / height is", width, height),
		fmt.Sprintf(`{"aspectRatio":{"max":"%d:%d"}}`, width-1, height): fmt.Sprintf(
			"The picture is %d x %d pixels: its width / height is", width, height),
	}
	if moving {
		beyond[`{"animated":false}`] = fmt.Sprintf("an animation of %d frames; only still", p.frames)
	}
	for policy, says := range beyond {
		says = strings.ReplaceAll(says, "WEBP", "WebP")
		s.refusedByPolicy(w, s.createUploadURL("policy", policy), policy, refusedPicture{p.content, says}, 1)
	}
}
