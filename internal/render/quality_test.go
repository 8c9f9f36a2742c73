package render

import (
	"testing"

	"calotype/internal/imagefile"
)

// TestQualityClass: the size and options that do not change how well the pixels compress have one class.
func TestQualityClass(t *testing.T) {
	t.Parallel()
	classOf := func(text string) string {
		o, err := ParseOptions(text)
		if err != nil {
			t.Fatal(err)
		}
		return Job{Header: imagefile.Header{Width: 4000, Height: 3000, Frames: 1}, Options: o}.QualityClass()
	}
	usual := classOf("width=800")
	for _, same := range []string{"width=700", "width=1000", "width=800,quality=auto", "width=400,dpr=2", "height=600",
		"width=800,metadata=none", "width=800,flip=h", "width=800,rotate=90", "width=800,format=baseline-jpeg",
		"width=800,height=800,fit=contain"} {
		if got := classOf(same); got != usual {
			t.Errorf("%s has the class %s, width=800 %s", same, got, usual)
		}
	}
	seen := map[string]string{}
	for _, other := range []string{"width=800", "width=250", "width=2000", "width=800,blur=3", "width=800,blur=4",
		"width=800,sharpen=1", "width=800,height=600,fit=cover", "width=800,height=600,fit=cover,gravity=left",
		"width=800,background=red", "width=800,compression=fast", "width=800,border=red;5"} {
		class := classOf(other)
		if before, ok := seen[class]; ok {
			t.Errorf("%s and %s have the class %s", before, other, class)
		}
		seen[class] = other
	}
}

// TestSearches: what is searched, and what it costs.
func TestSearches(t *testing.T) {
	t.Parallel()
	job := func(f imagefile.Format, width, frames, quality int) Job {
		return Job{Header: imagefile.Header{Format: imagefile.JPEG, Width: width, Height: 1000, Frames: frames},
			Format: f, Options: Options{Quality: quality}}
	}
	for _, test := range []struct {
		job  Job
		want bool
	}{
		{job(imagefile.JPEG, 1000, 1, AutoQuality), true},
		{job(imagefile.WebP, 1000, 1, AutoQuality), true},
		{job(imagefile.AVIF, 1000, 1, AutoQuality), true},
		{job(imagefile.PNG, 1000, 1, AutoQuality), false},
		{job(imagefile.GIF, 1000, 3, AutoQuality), false},
		{job(imagefile.WebP, 1000, 3, AutoQuality), false},
		{job(imagefile.JPEG, 1000, 3, AutoQuality), true},
		{job(imagefile.JPEG, 1000, 1, 0), false},
		{job(imagefile.JPEG, 1000, 1, 85), false},
		{job(imagefile.JPEG, 10_000, 1, AutoQuality), true},
		{job(imagefile.JPEG, 10_001, 1, AutoQuality), false},
	} {
		if got := test.job.Searches(); got != test.want {
			t.Errorf("%+v: %v", test.job, got)
		}
		plain := test.job
		plain.Options.Quality = 0
		dearer := renderTime(test.job) > renderTime(plain) && renderCost(test.job).mapped > renderCost(plain).mapped
		if dearer != test.want {
			t.Errorf("%+v: its time or memory is not right", test.job)
		}
		_, err := checkQuality(0, test.job)
		_, over := checkQuality(101, test.job)
		if test.want != (err != nil) || test.want != (over != nil) {
			t.Errorf("%+v: %v, %v", test.job, err, over)
		}
	}
}
