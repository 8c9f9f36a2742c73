package delivery

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"calotype/internal/render"
)

// headers returns the headers of lines "Name: value".
func headers(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

func TestSlowConnection(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		slow  bool
		lines []string
	}{
		{false, nil},
		{true, []string{"RTT: 151"}}, {false, []string{"RTT: 150"}}, {true, []string{"RTT: 3000"}},
		{true, []string{"Save-Data: on"}}, {true, []string{"save-data: ON"}}, {false, []string{"Save-Data: off"}},
		{false, []string{"Save-Data: 1"}}, {false, []string{"Save-Data: "}},
		{true, []string{"ECT: slow-2g"}}, {true, []string{"ECT: 2g"}}, {true, []string{"ECT: 3g"}},
		{false, []string{"ECT: 4g"}}, {false, []string{"ECT: 5g"}},
		{true, []string{"Downlink: 4.99"}}, {false, []string{"Downlink: 5"}}, {true, []string{"Downlink: 0"}},
		{false, []string{"Downlink: 10.0"}},
		{true, []string{"RTT: 50", "ECT: 4g", "Downlink: 10", "Save-Data: on"}},
		{true, []string{"RTT: 50", "ECT: 3g", "Downlink: 10"}},
		{false, []string{"RTT: 50", "ECT: 4g", "Downlink: 10"}},
		// Malformed ones say nothing.
		{false, []string{"RTT: slow"}}, {false, []string{"RTT: -200"}}, {false, []string{"RTT: 2e3"}},
		{false, []string{"RTT: 151ms"}}, {false, []string{"RTT: NaN"}}, {false, []string{"RTT: inf"}},
		{false, []string{"RTT: 0x200"}}, {false, []string{"RTT: 1 51"}}, {false, []string{"RTT: ."}},
		{false, []string{"RTT: .5"}}, {false, []string{"RTT: 1.5.1"}}, {false, []string{"RTT: 200, 200"}},
		{false, []string{"RTT: 200", "RTT: 200"}}, {false, []string{"RTT: " + strings.Repeat("9", 400)}},
		{false, []string{"Downlink: "}}, {false, []string{"Downlink: -1"}}, {false, []string{"Downlink: 1,5"}},
		{false, []string{"ECT: 3G"}}, {false, []string{"ECT: 2g, 3g"}},
	} {
		if got := isSlow(headers(c.lines...)); got != c.slow {
			t.Errorf("%q: slow is %v", c.lines, got)
		}
	}
}

const (
	iPhone  = "User-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"
	iPad    = "User-Agent: Mozilla/5.0 (iPad; CPU OS 12_2 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"
	pixel   = "User-Agent: Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/130.0.0.0 Mobile Safari/537.36"
	galaxy  = "User-Agent: Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/130.0.0.0 Safari/537.36"
	firefox = "User-Agent: Mozilla/5.0 (Android 14; Tablet; rv:130.0) Gecko/130.0 Firefox/130.0"
	windows = "User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0.0.0 Safari/537.36"
)

func TestAutoWidth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		width int
		lines []string
	}{
		{960, nil}, {960, []string{"User-Agent: curl/8.0"}}, {960, []string{windows}},
		{320, []string{iPhone}}, {320, []string{pixel}},
		{768, []string{iPad}}, {768, []string{galaxy}}, {768, []string{firefox}},
		{320, []string{"Sec-CH-UA-Mobile: ?1"}}, {960, []string{"Sec-CH-UA-Mobile: ?0"}},
		{320, []string{windows, "Sec-CH-UA-Mobile: ?1"}},
		{768, []string{"Sec-CH-UA-Mobile: ?0", `Sec-CH-UA-Platform: "Android"`}},
		{320, []string{"Sec-CH-UA-Mobile: ?1", `Sec-CH-UA-Platform: "Android"`}},
		{960, []string{"Sec-CH-UA-Mobile: 1"}},
		{320, []string{"Sec-CH-Viewport-Width: 320"}}, {768, []string{"Sec-CH-Viewport-Width: 321"}},
		{768, []string{"Sec-CH-Viewport-Width: 768"}}, {960, []string{"Sec-CH-Viewport-Width: 769"}},
		{1200, []string{"Sec-CH-Viewport-Width: 961"}}, {1200, []string{"Sec-CH-Viewport-Width: 3840"}},
		{768, []string{"Sec-CH-Viewport-Width: 360", "Sec-CH-DPR: 2", iPhone}},
		{768, []string{"Sec-CH-Viewport-Width: 384", "Sec-CH-DPR: 3.5"}}, // more than 2 is not visible
		{320, []string{"Sec-CH-Viewport-Width: 640", "Sec-CH-DPR: 0.5"}},
		{960, []string{"Sec-CH-Viewport-Width: 900", "Sec-CH-DPR: 0"}},
		{960, []string{"Sec-CH-Viewport-Width: 900", "Sec-CH-DPR: two"}},
		{320, []string{"Sec-CH-Width: 300", "Sec-CH-Viewport-Width: 1200", "Sec-CH-DPR: 2", windows}},
		{1200, []string{"Sec-CH-Width: 99999"}},
		{960, []string{"Sec-CH-DPR: 2"}},
		// Malformed ones say nothing.
		{320, []string{"Sec-CH-Width: 0", "Sec-CH-Viewport-Width: -5", iPhone}},
		{320, []string{"Sec-CH-Width: wide", "Sec-CH-Viewport-Width: 1e4", iPhone}},
		{320, []string{"Sec-CH-Width: 900", "Sec-CH-Width: 900", iPhone}},
		{960, []string{"User-Agent: iPhone" + strings.Repeat("x", 2000)}},
	} {
		if got := autoWidth(headers(c.lines...)); got != c.width {
			t.Errorf("%.120q: got %d, want %d", c.lines, got, c.width)
		}
	}
}

// TestWithHints: options for clients of which nothing is known, and options that do not depend on the client.
func TestWithHints(t *testing.T) {
	t.Parallel()
	slow, phone := headers("ECT: 2g"), headers(iPhone)
	for _, c := range []struct {
		given  string
		h      http.Header
		want   string
		varies int
	}{
		{"width=5,quality=80", slow, "quality=80,width=5", 0},
		{"quality=80,slow-connection-quality=30", slow, "quality=30", len(slowHeaders)},
		{"quality=80,slow-connection-quality=30", phone, "quality=80", len(slowHeaders)},
		{"slow-connection-quality=30", http.Header{}, "", len(slowHeaders)},
		{"slow-connection-quality=30,quality=80", nil, "quality=80", 0},
		{"width=auto", phone, "width=320", len(widthHeaders)},
		{"width=auto", nil, "width=1200", 0},
		{"width=auto,height=9,slow-connection-quality=low", slow, "height=9,quality=35,width=960",
			len(slowHeaders) + len(widthHeaders)},
	} {
		o, err := render.ParseOptions(c.given)
		if err != nil {
			t.Fatal(err)
		}
		got, vary := withHints(o, c.h)
		if got.String() != c.want || len(vary) != c.varies {
			t.Errorf("%s: got %s, which varies by %q", c.given, got, vary)
		}
	}
}

// FuzzHints: any headers lead to one of four widths, and to quality 80 or 30.
func FuzzHints(f *testing.F) {
	f.Add("150", "10", "4g", "on", "320", "2", "1000", "?1", "Android")
	f.Add("1e9", "-1", "3g", "", "NaN", "0x1p-2", ".", "?0", "iPad; Mobile")
	f.Fuzz(func(t *testing.T, rtt, downlink, ect, save, viewport, density, width, mobile, agent string) {
		h := http.Header{"Rtt": {rtt}, "Downlink": {downlink}, "Ect": {ect}, "Save-Data": {save},
			"Sec-Ch-Viewport-Width": {viewport}, "Sec-Ch-Dpr": {density}, "Sec-Ch-Width": {width},
			"Sec-Ch-Ua-Mobile": {mobile}, "User-Agent": {agent}}
		o, vary := withHints(render.Options{Width: render.AutoWidth, Quality: 80, SlowQuality: 30}, h)
		if !slices.Contains(autoWidths, o.Width) || o.Quality != 80 && o.Quality != 30 || o.SlowQuality != 0 {
			t.Errorf("got %+v", o)
		}
		if len(vary) != len(widthHeaders)+len(slowHeaders) {
			t.Errorf("varies by %q", vary)
		}
	})
}
