package delivery

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"calotype/internal/accounts"
)

// The vector was computed from Cloudflare's documentation with another tool.
const (
	vectorKey  = "Oix0bbNaT8Rge9PuyxUBrjI6zrgnsyJ5="
	vectorPath = "/" + testHash + "/bc27a117-9509-446b-8c69-c81bfeac0a01/mobile"
	vectorExp  = 1631289275
	vectorSig  = "72411885ee02134d38662f3e70ac8ff694f408e9d14b05125f6b022c3f403efa"
	foreverSig = "f650d16a54309cc5560ccf74ba805cd33c92ba5edaa7f09abeebfaf7e3f5895e"
)

var vectorKeys = []accounts.SigningKey{{Name: "other", Value: "another key"},
	{Name: "default", Value: vectorKey}}

func at(unix int64) time.Time { return time.Unix(unix, 0) }

func TestSignatureVector(t *testing.T) {
	t.Parallel()
	s, err := checkSignature(vectorPath, "exp=1631289275&sig="+vectorSig, vectorKeys, at(vectorExp))
	if err != nil || !s.expires || s.exp != vectorExp {
		t.Errorf("with expiry: %+v, %v", s, err)
	}
	s, err = checkSignature(vectorPath, "sig="+foreverSig, vectorKeys, at(1<<40))
	if err != nil || s.expires {
		t.Errorf("without expiry: %+v, %v", s, err)
	}
}

func TestSignaturesThatAreGood(t *testing.T) {
	t.Parallel()
	const now = 1_800_000_000
	for _, c := range []struct{ signed, query string }{
		{vectorPath + "?exp=1800000000", "exp=1800000000&sig=%"},
		{vectorPath + "?exp=1800000000", "sig=%&exp=1800000000"},
		{vectorPath + "?a=1&exp=1800000009&b", "a=1&exp=1800000009&sig=%&b"},
		{vectorPath + "?b&a=%C3%A9+x&b=2", "b&a=%C3%A9+x&b=2&sig=%"},
		{prefix + vectorPath + "?exp=1800000001", "exp=1800000001&sig=%"},
		{prefix + vectorPath, "sig=%"},
		{vectorPath + "?exp=9223372036854775807", "exp=9223372036854775807&sig=%"},
	} {
		query := strings.Replace(c.query, "sig=%", "sig="+sign(vectorKey, c.signed), 1)
		if _, err := checkSignature(vectorPath, query, vectorKeys, at(now)); err != nil {
			t.Errorf("%s for %s: %v", c.query, c.signed, err)
		}
	}
}

func TestSignaturesThatAreBad(t *testing.T) {
	t.Parallel()
	signed := func(query string) string { return "sig=" + sign(vectorKey, vectorPath+"?"+query) }
	with := func(query string) string { return query + "&" + signed(query) }
	for name, query := range map[string]string{
		"nothing":           "",
		"no sig":            "exp=1631289275",
		"empty sig":         "exp=1631289275&sig=",
		"no value":          "exp=1631289275&sig",
		"one digit off":     "exp=1631289275&sig=" + vectorSig[:63] + "b",
		"upper case":        "exp=1631289275&sig=" + strings.ToUpper(vectorSig),
		"cut":               "exp=1631289275&sig=" + vectorSig[:62],
		"later exp":         "exp=1631289276&sig=" + vectorSig,
		"exp left out":      "sig=" + vectorSig,
		"exp added":         "exp=1631289275&sig=" + foreverSig,
		"pair added":        "exp=1631289275&sig=" + vectorSig + "&a=1",
		"ampersand added":   "exp=1631289275&sig=" + vectorSig + "&",
		"sig twice":         "exp=1631289275&sig=" + vectorSig + "&sig=" + vectorSig,
		"sig disguised":     "exp=1631289275&%73ig=" + vectorSig,
		"both sigs":         "exp=1631289275&sig=" + vectorSig + "&s%69g=x",
		"exp twice":         with("exp=1631289275&exp=1631289275"),
		"exp disguised":     with("exp=1631289275&%65xp=1"),
		"only disguised":    with("%65xp=1"),
		"empty exp":         with("exp="),
		"bare exp":          with("exp"),
		"exp not a number":  with("exp=soon"),
		"exp signed":        with("exp=%2B1631289275"),
		"exp negative":      with("exp=-1"),
		"exp fraction":      with("exp=1631289275.5"),
		"exp hexadecimal":   with("exp=0x7fffffff"),
		"exp too large":     with("exp=9223372036854775808"),
		"key not escaped":   with("%zz=1"),
		"too long":          with("a=" + strings.Repeat("x", maxQuery)),
		"of another path":   "sig=" + sign(vectorKey, vectorPath+"x"),
		"of the name alone": "sig=" + sign(vectorKey, "mobile"),
		"of another key":    "sig=" + sign("yet another", vectorPath),
		"of a question":     "sig=" + sign(vectorKey, vectorPath+"?"),
		"of no key":         "sig=" + sign("", vectorPath),
	} {
		keys := append([]accounts.SigningKey{{Name: "empty"}}, vectorKeys...)
		if _, err := checkSignature(vectorPath, query, keys, at(0)); !errors.Is(err, errSignature) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestSignaturesExpire(t *testing.T) {
	t.Parallel()
	query := "exp=1631289275&sig=" + vectorSig
	for now, want := range map[int64]error{0: nil, vectorExp: nil, vectorExp + 1: errExpired} {
		if _, err := checkSignature(vectorPath, query, vectorKeys, at(now)); !errors.Is(err, want) {
			t.Errorf("at %d: got %v, want %v", now, err, want)
		}
	}
	// A guess does not get the refusal of an expired URL.
	_, err := checkSignature(vectorPath, query[:len(query)-1]+"b", vectorKeys, at(vectorExp+1))
	if !errors.Is(err, errSignature) || errors.Is(err, errExpired) {
		t.Errorf("a guess: got %v", err)
	}
}

func TestPrivateCaching(t *testing.T) {
	t.Parallel()
	now := at(1_800_000_000)
	for want, s := range map[string]signature{
		"private, max-age=172800": {},
		"private, max-age=60":     {expires: true, exp: now.Unix() + 60},
		"private, max-age=0":      {expires: true, exp: now.Unix()},
	} {
		if got := privateCaching(48*time.Hour, s, now); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	far := signature{expires: true, exp: 1<<63 - 1}
	if got := privateCaching(48*time.Hour, far, now); got != "private, max-age=172800" {
		t.Errorf("far away: got %q", got)
	}
}

// FuzzSignature signs one URL and offers another with that signature: it is good only if what was
// signed is the same, and says one clear thing.
func FuzzSignature(f *testing.F) {
	f.Add("/h/i/v", "exp=5", "/h/i/v", "exp=5", uint8(0), int64(4))
	f.Add("/h/i/v", "", "/h/i/v", "", uint8(3), int64(4))
	f.Add("/h/i/v", "a=1&exp=5&b", "/h/i/v", "a=1&exp=6&b", uint8(1), int64(4))
	f.Add("/h/i/v", "exp=5&exp=6", prefix+"/h/i/v", "exp=5&exp=6", uint8(2), int64(9))
	f.Add("/h/i/v", "%65xp=5", "/h/i/w", "sig=5", uint8(1), int64(-9))
	f.Fuzz(func(t *testing.T, path, query, path2, query2 string, where uint8, now int64) {
		text := path
		if query != "" {
			text += "?" + query
		}
		pair := "sig=" + sign(vectorKey, text)
		var pairs []string
		if query2 != "" {
			pairs = strings.Split(query2, "&")
		}
		cut := min(int(where), len(pairs))
		offered := strings.Join(append(append(append([]string{}, pairs[:cut]...), pair),
			pairs[cut:]...), "&")
		s, err := checkSignature(path2, offered, vectorKeys, at(now))
		if err != nil {
			if !errors.Is(err, errSignature) && !errors.Is(err, errExpired) {
				t.Errorf("an unknown refusal: %v", err)
			}
			return
		}
		text2 := path2
		if len(pairs) > 0 {
			text2 += "?" + query2
		}
		if text != text2 && text != prefix+text2 {
			t.Errorf("%q was signed, %q accepted", text, text2)
		}
		// net/url is the judge of what the query says.
		values, err := url.ParseQuery(strings.ReplaceAll(offered, ";", ""))
		if err != nil {
			values = url.Values{}
			for key, value := range queryLeniently(offered) {
				values[key] = value
			}
		}
		if len(values["sig"]) != 1 || len(values["exp"]) > 1 || s.expires != values.Has("exp") {
			t.Errorf("%q was accepted as %+v", offered, s)
		}
		if s.expires {
			exp, err := strconv.ParseInt(values.Get("exp"), 10, 64)
			if err != nil || exp != s.exp || exp < now {
				t.Errorf("%q was accepted at %d as %+v", offered, now, s)
			}
		}
	})
}

// queryLeniently is url.ParseQuery for values that are not well escaped.
func queryLeniently(query string) url.Values {
	values := url.Values{}
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(key); err == nil {
			values.Add(plain, value)
		}
	}
	return values
}
