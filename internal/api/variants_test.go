package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"calotype/internal/images"
)

const applicationJSON = "application/json"

// result reads an answer's result into a T.
func result[T any](t *testing.T, r reply) (v T) {
	t.Helper()
	if r.status >= 300 || !r.Success {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if err := json.Unmarshal(r.Result, &v); err != nil {
		t.Fatalf("%s: %v", r.body, err)
	}
	return v
}

// compact is the result without its white space, keys in the order they came.
func compactResult(t *testing.T, r reply) string {
	t.Helper()
	if r.status != 200 || !r.Success {
		t.Fatalf("%d %s", r.status, r.body)
	}
	b, err := json.Marshal(r.Result)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestVariants(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		const public = `"public":{"id":"public","options":{"fit":"scale-down","width":1366,` +
			`"height":768,"metadata":"none"},"neverRequireSignedURLs":false}`
		if got := compactResult(t, f.ask("GET", "/images/v1/variants", "", "")); got !=
			`{"variants":{`+public+`}}` {
			t.Errorf("the recorded list is not this: %s", got)
		}
		const hero = `{"id":"hero","options":{"fit":"cover","width":100,"height":50,` +
			`"metadata":"keep","browser_ttl":3600},"neverRequireSignedURLs":true}`
		one := `{"id":"hero","variant":` + hero + `}`
		if got := compactResult(t, f.ask("POST", "/images/v1/variants", applicationJSON, hero)); got != one {
			t.Errorf("made: %s", got)
		}
		if got := compactResult(t, f.ask("GET", "/images/v1/variants/hero", "", "")); got != one {
			t.Errorf("shown: %s", got)
		}
		if got := compactResult(t, f.ask("GET", "/images/v1/variants", "", "")); got !=
			`{"variants":{"hero":`+hero+`,`+public+`}}` {
			t.Errorf("listed: %s", got)
		}
		f.want(f.ask("POST", "/images/v1/variants", applicationJSON, hero), 409, 5409)
		img := f.draft()
		base := "https://img.example/" + f.hash + "/" + img.ID + "/"
		if got := f.ask("GET", "/images/v1/"+img.ID, "", "").image(t).Variants; !slices.Equal(got,
			[]string{base + "hero", base + "public"}) {
			t.Errorf("an image has the variants %v", got)
		}
		// A change replaces the options whole.
		changed := f.ask("PATCH", "/images/v1/variants/hero", applicationJSON,
			`{"options":{"height":7,"fit":"pad","background":"rgb(255, 255, 255)","quality":80,"anim":false,`+
				`"blur":"2.50","brightness":0,"contrast":"1","gamma":0.9,"saturation":0,"sharpen":1.0}}`)
		want := `{"id":"hero","variant":{"id":"hero","options":{"fit":"pad","height":7,` +
			`"metadata":"copyright","background":"#ffffff","quality":80,"anim":false,"blur":2.5,"gamma":0.9,` +
			`"saturation":0,"sharpen":1},` +
			`"neverRequireSignedURLs":true}}`
		if got := compactResult(t, changed); got != want {
			t.Errorf("changed: %s", got)
		}
		if got := compactResult(t, f.ask("GET", "/images/v1/variants/hero", "", "")); got != want {
			t.Errorf("shown after a change: %s", got)
		}
		if got := compactResult(t, f.ask("DELETE", "/images/v1/variants/hero", applicationJSON, "")); got !=
			"{}" {
			t.Errorf("deleted: %s", got)
		}
		f.want(f.ask("DELETE", "/images/v1/variants/hero", "", ""), 404, 5401)
		f.want(f.ask("GET", "/images/v1/variants/hero", "", ""), 404, 5401)
		f.want(f.ask("GET", "/images/v1/variants/%00", "", ""), 404, 5401)
		f.want(f.ask("PATCH", "/images/v1/variants/hero", applicationJSON, hero), 404, 5401)
	})
}

// Every write request takes all encodings.
func TestVariantEncodings(t *testing.T) {
	t.Parallel()
	f := newFixture(t, t.TempDir()+"/calotype.db")
	const want = `{"fit":"crop","width":20,"metadata":"none","browser_ttl":7200}`
	const asJSON = `{"fit":"crop","width":20,"metadata":"none","browser_ttl":7200}`
	parts, partsBody := multi(t, "id", "c", "options.fit", "crop", "options.width", "20",
		"options.metadata", "none", "options.browser_ttl", "7200", "options.height", "",
		"neverRequireSignedURLs", "true")
	whole, wholeBody := multi(t, "id", "d", "options", asJSON, "neverRequireSignedURLs", "true")
	for id, c := range map[string]struct{ contentType, body string }{
		"a": {applicationJSON, `{"id":"a","options":` + asJSON + `,"neverRequireSignedURLs":true}`},
		"b": {applicationJSON, `{"id":"b","options":{"fit":"crop","width":2.0e1,"height":null,
			"metadata":"none","browser_ttl":"7200"},"neverRequireSignedURLs":"true","new":1}`},
		"c": {parts, partsBody},
		"d": {whole, wholeBody},
		"e": {"application/x-www-form-urlencoded", "id=e&options[fit]=crop&options[width]=20&" +
			"options%5Bmetadata%5D=none&options[browser_ttl]=7200&neverRequireSignedURLs=1"},
		"f": {"application/x-www-form-urlencoded",
			`{"id":"f","options":` + asJSON + `,"neverRequireSignedURLs":1}`},
	} {
		r := f.ask("POST", "/images/v1/variants", c.contentType, c.body)
		if got := compactResult(t, r); got != fmt.Sprintf(
			`{"id":"%[1]s","variant":{"id":"%[1]s","options":%[2]s,"neverRequireSignedURLs":true}}`,
			id, want) {
			t.Errorf("%s: %s", id, got)
		}
	}
	contentType, body := multi(t, "options[width]", "9", "neverRequireSignedURLs", "false")
	r := f.ask("PATCH", "/images/v1/variants/a", contentType, body)
	if got := compactResult(t, r); got != `{"id":"a","variant":{"id":"a","options":{"fit":"scale-down",`+
		`"width":9,"metadata":"copyright"},"neverRequireSignedURLs":false}}` {
		t.Errorf("PATCH as a form: %s", got)
	}
}

// TestVariantOptions holds how the options in testdata/variants.tsv are shown, byte for byte, or "refused"
// and the sentence.
func TestVariantOptions(t *testing.T) {
	t.Parallel()
	f := newFixture(t, t.TempDir()+"/calotype.db")
	text, err := os.ReadFile("testdata/variants.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		given, want, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		r := f.ask("PATCH", "/images/v1/variants/public", applicationJSON, `{"options":`+given+`}`)
		got := ""
		if r.status == http.StatusOK {
			shown := result[struct {
				Variant struct{ Options json.RawMessage }
			}](t, r)
			var b bytes.Buffer
			if err := json.Compact(&b, shown.Variant.Options); err != nil {
				t.Fatal(err)
			}
			got = b.String()
		} else {
			got = "refused\t" + r.Errors[0].Message
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", given, got, want)
		}
	}
}

// refusedVariants are options and what their refusal says.
var refusedVariants = map[string]string{
	`{}`:             "a width, a height or both",
	`{"fit":"crop"}`: "a width, a height or both",
	`{"width":0}`:    "width must be a whole number from 1 to 12000",
	`{"width":0.4}`:  "width must be", `{"width":-1}`: "width must be", `{"width":true}`: "width must be",
	`{"width":12001}`: "width must be", `{"height":1e300}`: "height must be",
	`{"width":[1]}`: "a single value", `{"width":{"a":1}}`: "a single value",
	`{"width":1,"fit":"xxx"}`:                          "fit must be one of scale-down, scale-up, contain, cover",
	`{"width":1,"fit":"stretch"}`:                      "fit must be one of",
	`{"width":1,"metadata":"all"}`:                     "metadata must be one of",
	`{"width":1,"browser_ttl":3599}`:                   "browser_ttl must be a whole number of seconds from 3600",
	`{"width":1,"browser_ttl":31536001}`:               "browser_ttl must be",
	`{"width":1,"browser_ttl":0}`:                      "browser_ttl must be",
	`{"width":1,"browser_ttl":"1h"}`:                   "browser_ttl must be",
	`{"width":1,"quality":"best"}`:                     "quality must be",
	`{"width":1,"background":"reddish"}`:               "background must be a CSS colour",
	`{"width":1,"background":"rgb(1,2)"}`:              "background must be a CSS colour",
	`{"width":1,"blur":250.5}`:                         "blur must be a number from 0 to 250",
	`{"width":1,"sharpen":-1}`:                         "sharpen must be a number from 0 to 10",
	`{"width":1,"gamma":"1e-1"}`:                       "gamma must be a number from 0 to 255",
	`{"width":1,"saturation":true}`:                    "saturation must be a number",
	`{"width":1,"brightness":[1]}`:                     "a single value",
	`{"width":1,"gravity":"middle"}`:                   "gravity must be auto, face, center",
	`{"width":1,"gravity":{"x":2}}`:                    "gravity must be",
	`{"width":1,"gravity":{"x":0,"mode":"box"}}`:       "gravity must be",
	`{"width":1,"flip":true}`:                          "flip must be h, v or hv",
	`{"width":1,"rotate":45}`:                          "rotate must be 0, 90, 180, 270 or 360",
	`{"width":1,"trim":{"middle":1}}`:                  "trim must be",
	`{"width":1,"trim":{"border":{"color":1}}}`:        "trim must be",
	`{"width":1,"trim":{"top":{"x":1}}}`:               "a single value",
	`{"width":1,"trim":[1,2,3,4]}`:                     "a single value",
	`{"width":1,"border":{"width":5}}`:                 "border must be an opaque colour and a width",
	`{"width":1,"border":{"color":"#000","width":-5}}`: "border must be",
	`{"width":1,"dpr":3.5}`:                            "dpr must be a number above 0, at most 3",
	`{"width":1,"zoom":0.5,"gravity":"face"}`:          "zoom is not supported here",
	`{"width":1,"segment":"foreground"}`:               "segment is not supported here",
	`{"width":1,"upscale":"generate"}`:                 "upscale is not supported here",
	`{"width":1,"draw":[{"url":"https://a.test"}]}`:    "draw is not supported here",
	`{"width":1,"origin-auth":"share-publicly"}`:       "origin-auth is not supported here",
	`{"width":1,"trim.width":"x"}`:                     "trim must be",
	`{"width":1,"format":"svg"}`:                       "format must be auto or one of avif, webp",
	`{"width":1,"format":["webp"]}`:                    "must be a single value",
	`{"width":"automatic"}`:                            "width must be a whole number from 1 to 12000, or auto",
	`{"width":1,"compression":"slow"}`:                 "compression must be fast",
	`{"width":1,"slow-connection-quality":"x"}`:        "slow-connection-quality must be a number",
	`{"width":1,"widht":2}`:                            "there is no option",
	`{"width":1,"fit":"pad,quality=1"}`:                "fit must be one of",
	`"width=1"`:                                        "must be a JSON object",
	`[1]`:                                              "must be a JSON object",
	`5`:                                                "must be a JSON object",
	`{"width":1,"fit":"\u0000"}`:                       "fit must be one of",
	`{"width":1,"browser_ttl":3600.5}`:                 "browser_ttl must be",
	`{"width":1,"anim":"no"}`:                          "anim must be true or false",
	`{"width":9223372036854775808}`:                    "width must be",
	`{"width":1,"` + strings.Repeat("x", 300) + `":1}`: "there is no option",
}

func TestVariantRefusals(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		for options, want := range refusedVariants {
			for method, path := range map[string]string{
				"POST": "/images/v1/variants", "PATCH": "/images/v1/variants/public",
			} {
				r := f.ask(method, path, applicationJSON, `{"id":"x","options":`+options+`}`)
				f.want(r, 400, 5400)
				if len(r.Errors) == 0 || !strings.Contains(r.Errors[0].Message, want) ||
					r.header.Get("X-Should-Retry") != "false" {
					t.Errorf("%s %.80s: %s", method, options, r.body)
				}
			}
		}
		const options = `"options":{"width":1}`
		for _, body := range []string{
			``, `{}`, `{"id":"x"}`, `{` + options + `}`,
			`{"id":"",` + options + `}`, `{"id":"a-b",` + options + `}`,
			`{"id":"a/b",` + options + `}`, `{"id":5,` + options + `}`,
			`{"id":"` + strings.Repeat("a", 100) + `",` + options + `}`,
			`{"id":"x",` + options + `,"neverRequireSignedURLs":"maybe"}`,
			`{"id":"x","id":"y",` + options + `}`, `{`,
		} {
			f.want(f.ask("POST", "/images/v1/variants", applicationJSON, body), 400, 5400)
		}
		f.want(f.ask("POST", "/images/v1/variants", "text/plain", "id=x"), 415, 5415)
		f.want(f.ask("POST", "/images/v1/variants", applicationJSON,
			`{"id":"`+strings.Repeat("a", maxBody)+`"}`), 413, 7011)
		if got := compactResult(t, f.ask("GET", "/images/v1/variants", "", "")); !strings.HasPrefix(got,
			`{"variants":{"public":`) || strings.Count(got, `"options"`) != 1 {
			t.Errorf("a refusal changed something: %s", got)
		}
	})
}

func TestVariantLimit(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		post := func(i int) reply {
			return f.ask("POST", "/images/v1/variants", applicationJSON,
				fmt.Sprintf(`{"id":"v%03d","options":{"width":%d}}`, i, i+1))
		}
		for i := range images.MaxVariants - 1 {
			f.want(post(i), 200, 0)
		}
		r := post(999)
		f.want(r, 403, 5453)
		if r.header.Get("X-Should-Retry") != "false" {
			t.Error("a client would try again")
		}
		f.want(post(0), 409, 5409)
		// All of them stand in the Image object, in an order that stays.
		id := f.draft().ID
		first := f.ask("GET", "/images/v1/"+id, "", "").image(t).Variants
		if len(first) != images.MaxVariants || !slices.IsSorted(first) {
			t.Errorf("%d variants: %v", len(first), first)
		}
		second := f.ask("GET", "/images/v1/"+id, "", "").image(t).Variants
		if !slices.Equal(first, second) {
			t.Error("the order of variants changes")
		}
	})
}

func TestConfig(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		const path = "/images/v1/config"
		const off = `,"private_options":false,"private_custom_ids":false,"lenient_options":false,` +
			`"strip_originals":"none","auto_quality":false}`
		whole := func(theirs string) string { return strings.TrimSuffix(theirs, "}") + off }
		show := func(what, want string) {
			t.Helper()
			if got := compactResult(t, f.ask("GET", path, "", "")); got != want {
				t.Errorf("%s: %s", what, got)
			}
		}
		show("at first", whole(`{"flexible_variants":false,"browser_ttl":172800}`))
		contentType, body := multi(t, "flexible_variants", "false", "browser_ttl", "31536000")
		for _, c := range []struct{ contentType, body, want string }{
			{applicationJSON, `{"flexible_variants":true}`,
				`{"flexible_variants":true,"browser_ttl":172800}`},
			{applicationJSON, `{"browser_ttl":3600}`, `{"flexible_variants":true,"browser_ttl":3600}`},
			{"", "", `{"flexible_variants":true,"browser_ttl":3600}`},
			{contentType, body, `{"flexible_variants":false,"browser_ttl":31536000}`},
			{"application/x-www-form-urlencoded", "flexible_variants=1&browser_ttl=",
				`{"flexible_variants":true,"browser_ttl":31536000}`},
		} {
			if got := compactResult(t, f.ask("PATCH", path, c.contentType, c.body)); got != whole(c.want) {
				t.Errorf("%s: %s, want %s", c.body, got, c.want)
			}
			show(c.body, whole(c.want))
		}
		for _, body := range []string{
			`{"browser_ttl":3599}`, `{"browser_ttl":31536001}`, `{"browser_ttl":"1h"}`,
			`{"browser_ttl":3600.5}`, `{"browser_ttl":{}}`, `{"browser_ttl":1e400}`,
			`{"flexible_variants":"yes"}`, `{"flexible_variants":false,"browser_ttl":1}`,
			`{"flexible_variants":[]}`, `[1]`, `{"private_options":"yes"}`, `{"private_custom_ids":2}`,
			`{"private_options":true,"lenient_options":"maybe"}`, `{"strip_originals":"exif"}`, `{"strip_originals":true}`,
			`{"auto_quality":"85"}`,
		} {
			f.want(f.ask("PATCH", path, applicationJSON, body), 400, 5400)
		}
		const theirs = `{"flexible_variants":true,"browser_ttl":31536000}`
		show("after refusals", whole(theirs))
		for _, name := range []string{"private_options", "private_custom_ids", "lenient_options", "auto_quality"} {
			want := strings.Replace(whole(theirs), `"`+name+`":false`, `"`+name+`":true`, 1)
			got := compactResult(t, f.ask("PATCH", path, applicationJSON, `{"`+name+`":true}`))
			if got != want {
				t.Errorf("%s: %s", name, got)
			}
			show(name, want)
			f.ask("PATCH", path, "application/x-www-form-urlencoded", name+"=false")
			show("no "+name, whole(theirs))
		}
		for _, p := range []string{"gps", "all", "none"} {
			f.ask("PATCH", path, applicationJSON, `{"strip_originals":"`+p+`"}`)
			show(p, strings.Replace(whole(theirs), `"none"`, `"`+p+`"`, 1))
		}
	})
}
