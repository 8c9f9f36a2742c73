package receipts

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// The forms follow from RFC 8785; the numbers are of its appendix B, the names of its section 3.2.3.
func TestCanonical(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		`{}`:                                    `{}`,
		` { "b" : [ ] , "a" : null } `:          `{"a":null,"b":[]}`,
		`{"a":{"d":[true,false,1,"x"],"c":{}}}`: `{"a":{"c":{},"d":[true,false,1,"x"]}}`,
		`{"10":1,"9":2,"1":3}`:                  `{"1":3,"10":1,"9":2}`,
		`{"a":1,"a":2}`:                         `{"a":2}`,
		`["\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/"]`: `["€$\u000f\nA'B\"\\\\\"/"]`,
		`["\b\f\n\r\t\u0000\u001f\u007f\u2028<&>é"]`:        "[\"\\b\\f\\n\\r\\t\\u0000\\u001f\u007f\u2028<&>é\"]",
		`{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}`: "{\"\\r\":2,\"1\":4,\"\u0080\":6," +
			"\"ö\":7,\"€\":1,\"😀\":5,\"\ufb33\":3}",
		`[0,-0,1.0,1e0,4.50,2e-3,0.000000000000000000000000001]`: `[0,0,1,1,4.5,0.002,1e-27]`,
		`[333333333.33333329,1E30,9007199254740993,-9007199254740992]`: `[333333333.3333333,1e+30,9007199254740992,` +
			`-9007199254740992]`,
		`[1e21,1e20,999999999999999900000,0.000001,1e-7,5e-324,1.7976931348623157e308]`: `[1e+21,100000000000000000000,` +
			`999999999999999900000,0.000001,1e-7,5e-324,1.7976931348623157e+308]`,
	} {
		got, err := canonical(json.RawMessage(given))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v\nwant %s", given, got, err, want)
		}
	}
	if _, err := canonical(json.RawMessage(`[1e400]`)); err == nil {
		t.Error("a number that no double holds has a form")
	}
}

func TestMetadataHash(t *testing.T) {
	t.Parallel()
	// printf '{"order":17,"who":"Zoë"}' | sha256sum
	const want = "f81fe1838abe1e0fe376792a3f3f517b22f98eeec4fea1309676e8d35ebbdcc9"
	got, err := MetadataHash(json.RawMessage(`{"who":"Zo\u00eb", "order":17.0}`))
	if err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := MetadataHash(nil); got != "" || err != nil {
		t.Errorf("without metadata: %q, %v", got, err)
	}
}

// FuzzCanonical: the form is the same value, and the form of a form is the form.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{`{"a":[1,-0.5e3,"\u2028"],"":null}`, `{"\ud83d\ude00":true}`, `"\ud800"`, `[1e400]`, `]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, given []byte) {
		form, err := canonical(given)
		var value, same any
		if json.Unmarshal(given, &value) != nil {
			if err == nil {
				t.Fatalf("%q has the form %q", given, form)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(form, &same); err != nil || !reflect.DeepEqual(value, same) {
			t.Fatalf("%q has the form %q, %v", given, form, err)
		}
		again, err := canonical(form)
		if err != nil || !bytes.Equal(again, form) {
			t.Fatalf("%q has the form %q, %v", form, again, err)
		}
		if strings.ContainsAny(string(form), "\n\t") {
			t.Fatalf("%q is not compact", form)
		}
	})
}
