package importer

import (
	"encoding/json"
	"testing"
)

func TestRefusal(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ body, want string }{
		{"ERROR 5404: Image not found\n", "the source answered 404/5404: Image not found"},
		{`{"result":null,"success":false,"errors":[{"code":5404,"message":"x"}]}`,
			"the source answered 404/5404: x"},
		{"<html>", "the source answered 404"}, {"", "the source answered 404"},
		{"ERROR x: y", "the source answered 404"}, {`{"errors":[]}`, "the source answered 404"},
	} {
		if got := refusal(404, []byte(test.body)).Error(); got != test.want {
			t.Errorf("%s: got %q, want %q", test.body, got, test.want)
		}
	}
}

// TestSourceVariant holds how a source's options are read: their canonical string, or the error.
func TestSourceVariant(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		`{}`: "",
		`{"fit":"scale-down","width":1366,"height":768,"metadata":"none","browser_ttl":3600}`: "height=768,metadata=none,width=1366",
		`{"width":64.0,"height":"50","fit":"cover","metadata":"keep","browser_ttl":null}`:     "fit=cover,height=50,metadata=keep,width=64",
		`{"width":4e2,"quality":"high","anim":false,"background":"#FFF","blur":null}`:         "anim=false,background=%23ffffff,quality=90,width=400",
		`{"width":" 5 ","height":"","anim":"true","quality":85}`:                              "quality=85,width=5",
		`{"width":0.2}`:             "error: options.width: width must be a whole number from 1 to 12000, or auto",
		`{"width":1e300}`:           "error: options.width: width must be a whole number from 1 to 12000, or auto",
		`{"width":true}`:            "error: options.width: width must be a whole number from 1 to 12000, or auto",
		`{"width":1,"trim.left":2}`: "trim=0;0;0;2,width=1",
		`{"width":1.5,"height":700,"fit":"crop","gravity":{"x":0.2,"y":1},"rotate":90,"flip":"hv","dpr":2}`: "dpr=2,fit=crop,flip=hv,gravity=0.2x1,height=700,rotate=90,width=2",
		`{"width":9,"trim":{"left":1,"top":2,"width":30},"border":{"color":"#123456","width":4}}`:           "border=%23123456;4,trim=2;0;0;1;30;0,width=9",
		`{"width":9,"trim":{"border":true},"border":{"color":"#123","left":4},"zoom":0}`:                    "border=%23112233;0;0;0;4,trim=border,width=9",
		`{"width":9,"border":{"width":8,"left":4,"color":"#123","bottom":0}}`:                               "border=%23112233;8;8;0;4,width=9",
		`{"width":9,"trim":{"border":{"color":"#fff","keep":2}},"upscale":"interpolate","rotate":360}`:      "trim=border;%23ffffff;0;2,width=9",
		`{"width":9,"zoom":0.5,"gravity":"face"}`:                                                           "error: options.zoom is not supported here: leave it out",
		`{"width":1,"blur":20,"background":"rgba(0,0,0,.5)","brightness":"0.5","sharpen":1e0}`:              "background=%2300000080,blur=20,brightness=0.5,sharpen=1,width=1",
		`{"width":1,"blur":300}`:      "error: options.blur: blur must be a number from 0 to 250",
		`{"width":1,"draw":"x"}`:      "error: options.draw: draw is not supported here: leave it out",
		`{"anim":"no","quality":101}`: "error: options.anim: anim must be true or false",
		`{"quality":101}`:             "quality=100",
	} {
		var v sourceVariant
		if err := json.Unmarshal([]byte(`{"options":`+given+`}`), &v); err != nil {
			t.Fatal(err)
		}
		read, err := v.variant("a")
		got := read.Options.String()
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", given, got, want)
		}
	}
}

// FuzzAnswer: whatever a source answers, nothing of it brings us down or gets past the core's rules.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"success":true,"result":{"images":[{"id":"a","uploaded":"2023-02-03T04:05:06.789Z",` +
			`"meta":{"a":1},"variants":["https://x/cheeW4oKsx5ljh8e8BoL2A/a/public"]}]}}`,
		`{"success":true,"result":{"variants":{"a":{"options":{"width":1e2,"fit":"pad"}}}}}`,
		`{"success":true,"result":{"keys":[{"name":"a","value":"b"}],"browser_ttl":1e300}}`,
		`{"success":false,"errors":[{"code":1,"message":"x"}]}`, "ERROR 5404: Image not found",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		_ = refusal(404, body).Error()
		var p page
		if decodeResult(body, &p) == nil {
			for _, i := range p.Images {
				if h := i.hash(); h != "" && len(h) != 22 {
					t.Errorf("the hash is %q", h)
				}
				adapted, _, err := i.imported().Adapted()
				if err != nil {
					continue
				}
				again, lost, err := adapted.Adapted()
				if err != nil || len(lost) != 0 || string(again.Meta) != string(adapted.Meta) {
					t.Errorf("adapted twice: %+v, %v, %v", again, lost, err)
				}
			}
		}
		var v sourceVariants
		if decodeResult(body, &v) == nil {
			for id, one := range v.Variants {
				if got, err := one.variant(id); err == nil && got.ID != id {
					t.Errorf("variant %q became %+v", id, got)
				}
			}
		}
		_ = decodeResult(body, &sourceKeys{})
		_ = decodeResult(body, &sourceConfig{})
	})
}
