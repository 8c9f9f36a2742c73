package uploadpolicy_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"calotype/internal/uploadpolicy"
)

// TestParse has the canonical text of each accepted form.
func TestParse(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		`{}`: ``,
		` {"maxBytes" : null, "formats":"", "aspectRatio":null} `: ``,
		`{"maxBytes":1}`:                   `{"maxBytes":1}`,
		`{"maxBytes":"1e6"}`:               `{"maxBytes":1000000}`,
		`{"maxBytes":1099511627776.0}`:     `{"maxBytes":1099511627776}`,
		`{"formats":["png","jpeg","png"]}`: `{"formats":["png","jpeg"]}`,
		`{"formats":"svg"}`:                `{"formats":["svg"]}`,
		`{"formats":["jpeg","png","webp","gif","avif","heic","svg"]}`: `{"formats":["jpeg","png","webp","gif","avif",` +
			`"heic","svg"]}`,
		`{"minWidth":1,"minHeight":"2","maxWidth":1000000,"maxHeight":1000000}`: `{"minWidth":1,"minHeight":2,` +
			`"maxWidth":1000000,"maxHeight":1000000}`,
		`{"maxPixels":1000000000000}`:                         `{"maxPixels":1000000000000}`,
		`{"aspectRatio":{"min":1}}`:                           `{"aspectRatio":{"min":1}}`,
		`{"aspectRatio":{"max":"1.5","min":""}}`:              `{"aspectRatio":{"max":1.5}}`,
		`{"aspectRatio":["0.0001",10000]}`:                    `{"aspectRatio":{"min":0.0001,"max":10000}}`,
		`{"aspectRatio":["16:9","16:9"]}`:                     `{"aspectRatio":{"min":1.7777777777777777,"max":1.7777777777777777}}`,
		`{"animated":false}`:                                  `{"animated":false}`,
		`{"animated":"True"}`:                                 `{"animated":true}`,
		`{"animated":0}`:                                      `{"animated":false}`,
		`{"origins":["*"]}`:                                   `{"origins":["*"]}`,
		`{"origins":"HTTPS://App.Example.com:443/"}`:          `{"origins":["https://app.example.com"]}`,
		`{"origins":["http://[::1]:8080","http://a:443"]}`:    `{"origins":["http://[::1]:8080","http://a:443"]}`,
		`{"origins":["capacitor://localhost","http://a:80"]}`: `{"origins":["capacitor://localhost","http://a"]}`,
		`{"redirect":"https://a.example/x?y=1&z=<2>#f"}`:      `{"redirect":"https://a.example/x?y=1&z=<2>#f"}`,
		`{"uses":1000,"audience":"https://a","test":"slow"}`:  `{"uses":1000,"audience":"https://a","test":"slow"}`,
		`{"minWidth":500,"aspectRatio":[1,1],"maxHeight":500}`: `{"minWidth":500,"maxHeight":500,` +
			`"aspectRatio":{"min":1,"max":1}}`,
	} {
		p, err := uploadpolicy.Parse([]byte(given))
		if err != nil || p.Text() != want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", given, err, p.Text(), want)
		}
		checkRoundTrip(t, p)
	}
}

// TestParseRefusals has a value beyond each bound, of each wrong type, and the word that the refusal must have.
func TestParseRefusals(t *testing.T) {
	t.Parallel()
	origins := strings.TrimSuffix(strings.Repeat(`"https://a",`, 21), ",")
	wrong := map[string]string{
		``: "JSON object", `[]`: "JSON object", `1`: "JSON object", `{`: "JSON object", `{}{}`: "JSON object",
		"{\"audience\":\"\xff\"}":                                  "JSON object",
		`{"maxbytes":1}`:                                           `no key "maxbytes"`,
		`{"keepOriginal":null}`:                                    "keepOriginal",
		`{"":1}`:                                                   "no key",
		`{"maxBytes":1,"maxBytes":2}`:                              "twice",
		`{"formats":[]}`:                                           "policy.formats",
		`{"formats":["jpg"]}`:                                      "jpeg, png, webp, gif, avif, heic and svg",
		`{"formats":["jpeg",null]}`:                                "policy.formats",
		`{"formats":["JPEG"]}`:                                     "policy.formats",
		`{"formats":{"0":"jpeg"}}`:                                 "policy.formats",
		`{"formats":1}`:                                            "policy.formats",
		`{"aspectRatio":1.5}`:                                      "policy.aspectRatio",
		`{"aspectRatio":{}}`:                                       "policy.aspectRatio",
		`{"aspectRatio":[1]}`:                                      "policy.aspectRatio",
		`{"aspectRatio":[1,2,3]}`:                                  "policy.aspectRatio",
		`{"aspectRatio":[0,1]}`:                                    "policy.aspectRatio",
		`{"aspectRatio":[1,10001]}`:                                "policy.aspectRatio",
		`{"aspectRatio":[0.00009,1]}`:                              "policy.aspectRatio",
		`{"aspectRatio":["1:0",1]}`:                                "policy.aspectRatio",
		`{"aspectRatio":["0:0",1]}`:                                "policy.aspectRatio",
		`{"aspectRatio":["NaN",1]}`:                                "policy.aspectRatio",
		`{"aspectRatio":["-1:-1",-1]}`:                             "policy.aspectRatio",
		`{"aspectRatio":{"least":1}}`:                              "policy.aspectRatio",
		`{"aspectRatio":[2,1]}`:                                    "larger than its max",
		`{"animated":"no"}`:                                        "policy.animated",
		`{"animated":[]}`:                                          "policy.animated",
		`{"origins":[` + origins + `]}`:                            "1 to 20",
		`{"origins":["*","https://a"]}`:                            "not an origin",
		`{"origins":["null"]}`:                                     "not an origin",
		`{"origins":["a.example"]}`:                                "not an origin",
		`{"origins":["a.example:80"]}`:                             "not an origin",
		`{"origins":["https://"]}`:                                 "not an origin",
		`{"origins":["https://a/b"]}`:                              "not an origin",
		`{"origins":["https://a//"]}`:                              "not an origin",
		`{"origins":["https://a?b"]}`:                              "not an origin",
		`{"origins":["https://a#"]}`:                               "not an origin",
		`{"origins":["https://u@a"]}`:                              "not an origin",
		`{"origins":["https://*.a"]}`:                              "not an origin",
		`{"origins":["https://ä"]}`:                                "not an origin",
		`{"origins":["https://a:"]}`:                               "not an origin",
		`{"origins":["https://a:0"]}`:                              "not an origin",
		`{"origins":["https://a:65536"]}`:                          "not an origin",
		`{"origins":["https://` + strings.Repeat("a", 250) + `"]}`: "not an origin",
		`{"redirect":"/done"}`:                                     "policy.redirect",
		`{"redirect":"//a.example/"}`:                              "policy.redirect",
		`{"redirect":"javascript:alert(1)"}`:                       "policy.redirect",
		`{"redirect":"https:a.example"}`:                           "policy.redirect",
		`{"redirect":"https:///done"}`:                             "policy.redirect",
		`{"redirect":"ftp://a.example/"}`:                          "policy.redirect",
		`{"redirect":"https://u:p@a.example/"}`:                    "user",
		`{"redirect":"https://a.example/ b"}`:                      "policy.redirect",
		`{"redirect":"https://a.example/ä"}`:                       "policy.redirect",
		`{"redirect":"https://a.example/?id=1"}`:                   "id or status",
		`{"redirect":"https://a.example/?a&status"}`:               "id or status",
		`{"redirect":"https://a.example/?%69d=1"}`:                 "id or status",
		`{"redirect":"https://a.example/?a=%zz"}`:                  "policy.redirect",
		`{"redirect":["https://a.example/"]}`:                      "policy.redirect",
		`{"redirect":"https://a.example/` + strings.Repeat("a", 2000) + `"}`: "policy.redirect",
		`{"audience":1}`: "policy.audience",
		`{"audience":"` + strings.Repeat("a", 256) + `"}`:          "policy.audience",
		`{"audience":"a\u0000"}`:                                   "policy.audience",
		`{"test":"Slow"}`:                                          "expired, used, slow",
		`{"test":1}`:                                               "policy.test",
		`{"stripOriginal":"GPS"}`:                                  "none, gps or all",
		`{"stripOriginal":true}`:                                   "none, gps or all",
		`{"minWidth":2,"maxWidth":1}`:                              "minWidth is 2 and maxWidth 1",
		`{"minHeight":2,"maxHeight":1}`:                            "minHeight is 2 and maxHeight 1",
		`{"minWidth":10,"minHeight":10,"maxPixels":99}`:            "the smallest picture has 100",
		`{"minWidth":501,"aspectRatio":[1,1],"maxHeight":500}`:     "aspectRatio",
		`{"minHeight":501,"aspectRatio":{"min":1},"maxWidth":500}`: "aspectRatio",
	}
	for _, key := range []string{"maxBytes", "minWidth", "minHeight", "maxWidth", "maxHeight", "maxPixels", "uses"} {
		for _, v := range []string{`0`, `-1`, `1.5`, `1e20`, `"x"`, `true`, `[1]`, `{"n":1}`} {
			wrong[fmt.Sprintf(`{%q:%s}`, key, v)] = "policy." + key + " must be a whole number from 1 to "
		}
	}
	for key, beyond := range map[string]int64{"maxBytes": 1<<40 + 1, "minWidth": 1e6 + 1, "maxHeight": 1e6 + 1,
		"maxWidth": 1e6 + 1, "minHeight": 1e6 + 1, "maxPixels": 1e12 + 1, "uses": 1001} {
		wrong[fmt.Sprintf(`{%q:%d}`, key, beyond)] = fmt.Sprintf("policy.%s must be a whole number from 1 to %d", key,
			beyond-1)
	}
	for given, says := range wrong {
		p, err := uploadpolicy.Parse([]byte(given))
		if err == nil || !strings.Contains(err.Error(), says) || !p.IsZero() {
			t.Errorf("%.100s: %v says nothing of %q; %s", given, err, says, p.Text())
		}
	}
}

// TestMerge: the keys of the request win, the others are the account's.
func TestMerge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ request, account, want string }{
		{`{}`, `{"maxBytes":5,"animated":false}`, `{"maxBytes":5,"animated":false}`},
		{`{"maxBytes":9,"animated":true}`, `{"maxBytes":5,"animated":false,"uses":3}`,
			`{"maxBytes":9,"animated":true,"uses":3}`},
		{`{"aspectRatio":{"min":1}}`, `{"aspectRatio":{"max":2}}`, `{"aspectRatio":{"min":1}}`},
		{`{"origins":["*"],"formats":["gif"]}`, `{"origins":["https://a"],"formats":["jpeg","png"]}`,
			`{"formats":["gif"],"origins":["*"]}`},
		{`{"maxWidth":10}`, `{"minWidth":11}`, ``},
	} {
		request, err := uploadpolicy.Parse([]byte(c.request))
		account, err2 := uploadpolicy.ParseDefault([]byte(c.account))
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		before := account.Text()
		got, err := request.Merge(account)
		if got.Text() != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s with %s: got %s, %v; want %s", c.request, c.account, got.Text(), err, c.want)
		}
		if err != nil && !strings.Contains(err.Error(), "account's default") {
			t.Errorf("%v does not name the default", err)
		}
		if account.Text() != before {
			t.Errorf("the default has become %s", account.Text())
		}
	}
	if _, err := uploadpolicy.ParseDefault([]byte(`{"test":"used"}`)); err == nil {
		t.Error("a default has test")
	}
}

// checkRoundTrip: the text of a policy is JSON of the same policy, for Parse and for Stored.
func checkRoundTrip(t *testing.T, p uploadpolicy.Policy) {
	t.Helper()
	text := p.Text()
	stored, err := uploadpolicy.Stored(text)
	if err != nil || !reflect.DeepEqual(stored, p) || p.IsZero() != (text == "") {
		t.Fatalf("%q is stored as %+v, %v; want %+v", text, stored, err, p)
	}
	if text == "" {
		return
	}
	parsed, err := uploadpolicy.Parse([]byte(text))
	if err != nil || !reflect.DeepEqual(parsed, p) {
		t.Fatalf("%s is parsed as %+v, %v; want %+v", text, parsed, err, p)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &keys); err != nil {
		t.Fatal(err)
	}
	for key := range keys {
		if !slices.Contains(uploadpolicy.Keys(), key) {
			t.Fatalf("%s has the key %s", text, key)
		}
	}
}

// TestEachFieldIsAKey: Parse knows each field of a Policy by its name in JSON, and nothing else.
func TestEachFieldIsAKey(t *testing.T) {
	t.Parallel()
	var names []string
	for f := range reflect.TypeFor[uploadpolicy.Policy]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	if !slices.Equal(names, uploadpolicy.Keys()) {
		t.Errorf("the fields are %v, the keys %v", names, uploadpolicy.Keys())
	}
}

// FuzzParse: what Parse accepts has one canonical text, whose length is bounded; a refusal is a sentence.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"maxBytes":1,"formats":["jpeg"],"minWidth":1,"aspectRatio":{"min":"16:9"},"animated":"on"}`))
	f.Add([]byte(`{"aspectRatio":[0.5,2],"origins":["https://a.example:443/"],"redirect":"https://a.example/?b"}`))
	f.Add([]byte(`{"uses":"1e2","audience":"a","test":"slow","maxPixels":null,"maxHeight":9,"maxWidth":8}`))
	f.Add([]byte(`{"origins":["http://[::1%25eth0]:80","null","*"]}`))
	f.Fuzz(func(t *testing.T, given []byte) {
		p, err := uploadpolicy.Parse(given)
		if err != nil {
			if msg := err.Error(); !p.IsZero() || len(msg) > 500 || !strings.HasPrefix(msg, "policy") {
				t.Fatalf("%q: %s", given, msg)
			}
			return
		}
		checkRoundTrip(t, p)
		if n := len(p.Text()); n > 12_000 {
			t.Fatalf("a policy of %d bytes", n)
		}
		if merged, err := p.Merge(p); err != nil || merged.Text() != p.Text() {
			t.Fatalf("merged with itself: %s, %v", merged.Text(), err)
		}
	})
}
