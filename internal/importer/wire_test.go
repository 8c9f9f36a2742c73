package importer

import (
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
