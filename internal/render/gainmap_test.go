package render

import (
	"testing"

	"calotype/internal/imagefile"
)

// TestGainMapOfEachOption: a rendition has a gain map unless an option draws around the picture or changes the tones to
// which the gains refer. A new option needs a row.
func TestGainMapOfEachOption(t *testing.T) {
	t.Parallel()
	keeps := map[string]string{
		"fit": "fit=cover,width=200,height=200", "width": "width=200", "height": "height=100", "metadata": "metadata=none",
		"background": "background=red", "quality": "quality=50", "anim": "anim=false", "format": "format=jpeg",
		"compression": "compression=fast", "slow-connection-quality": "slow-connection-quality=30",
		"gravity": "fit=cover,width=200,height=200,gravity=left", "flip": "flip=h", "rotate": "rotate=90",
		"trim": "trim=10;20;30;40", "dpr": "width=100,dpr=2", "sharpen": "sharpen=1",
	}
	discards := map[string]string{
		"fit": "fit=pad,width=200,height=200", "border": "border=%23ff0000;3", "blur": "blur=3",
		"brightness": "brightness=1.2", "contrast": "contrast=1.2", "gamma": "gamma=1.2", "saturation": "saturation=0.5",
	}
	for _, option := range AllOptions() {
		if keeps[option.Name] == "" && discards[option.Name] == "" {
			t.Errorf("does a rendition with the option %s have a gain map? Add it here, and to KeepsGainMap", option.Name)
		}
	}
	check := func(examples map[string]string, want bool) {
		for name, options := range examples {
			o, err := ParseOptions(options)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			job := Job{Header: imagefile.Header{Format: imagefile.JPEG, Width: 400, Height: 300}, Options: o,
				Format: imagefile.JPEG, HDR: true}
			if job.KeepsGainMap() != want {
				t.Errorf("%s: the rendition keeps its gain map: %v", options, !want)
			}
		}
	}
	check(keeps, true)
	check(discards, false)
}
