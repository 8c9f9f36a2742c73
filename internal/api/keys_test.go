package api

import (
	"fmt"
	"strings"
	"testing"

	"calotype/internal/accounts"
)

// keys are the names of the keys in an answer, in its order, and all values.
func keys(t *testing.T, r reply) (names string, values map[string]string) {
	t.Helper()
	values = map[string]string{}
	for _, k := range result[struct{ Keys []signingKey }](t, r).Keys {
		names += k.Name + " "
		values[k.Name] = k.Value
		if len(k.Value) != 32 {
			t.Errorf("the value of %s has %d characters", k.Name, len(k.Value))
		}
	}
	return names, values
}

func TestKeys(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		names, first := keys(t, f.ask("GET", "/images/v1/keys", "", ""))
		if names != "default " {
			t.Errorf("at first there are %s", names)
		}
		// No body, whatever is said of it.
		want := "default "
		for i, contentType := range []string{
			"", applicationJSON, "multipart/form-data", "text/plain", "application/octet-stream",
		} {
			name := fmt.Sprintf("key-_%d", i)
			want += name + " "
			names, values := keys(t, f.ask("PUT", "/images/v1/keys/"+name, contentType, "",
				"Api-Version", "2026-11-25"))
			if names != want || values["default"] != first["default"] {
				t.Errorf("after PUT with %q there are %s", contentType, names)
			}
		}
		f.want(f.ask("PUT", "/images/v1/keys/default", "", ""), 409, 5409)
		for _, name := range []string{strings.Repeat("x", 21), "a%20b", "a.b", "%00", "a%2Fb", "%C3%A4"} {
			f.want(f.ask("PUT", "/images/v1/keys/"+name, "", ""), 400, 5400)
			f.want(f.ask("DELETE", "/images/v1/keys/"+name, "", ""), 404, 5404)
		}
		f.want(f.ask("PUT", "/images/v1/keys/", "", ""), 404, 7003)
		f.want(f.ask("PUT", "/images/v1/keys/a/b", "", ""), 404, 7003)
		f.want(f.ask("DELETE", "/images/v1/keys/unknown", "", ""), 404, 5404)
		for i := range 5 {
			names, _ = keys(t, f.ask("DELETE", fmt.Sprintf("/images/v1/keys/key-_%d", i),
				applicationJSON, ""))
		}
		if names != "default " {
			t.Errorf("left are %s", names)
		}
		names, last := keys(t, f.ask("DELETE", "/images/v1/keys/default", "", ""))
		if names != "default " || last["default"] == first["default"] {
			t.Errorf("after the last one there are %s, or its value came back", names)
		}
		if log := f.log.String(); strings.Contains(log, first["default"]) ||
			strings.Contains(log, last["default"]) {
			t.Error("the log holds a key's value")
		}
	})
}

func TestKeyLimit(t *testing.T) {
	t.Parallel()
	f := newFixture(t, t.TempDir()+"/calotype.db")
	for i := range accounts.MaxSigningKeys - 1 {
		f.want(f.ask("PUT", fmt.Sprintf("/images/v1/keys/k%d", i), "", ""), 200, 0)
	}
	f.want(f.ask("PUT", "/images/v1/keys/more", "", ""), 403, 5453)
}

// TestScopes asks with a token that may only read, with one of another account, and with none.
func TestScopes(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		const other = "0123456789abcdef0123456789abcdef"
		reader, err := f.core.Accounts.CreateToken(t.Context(), testAccount,
			accounts.NewToken{Name: "reader", Scope: accounts.Read})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = f.core.Accounts.SetUp(t.Context(), accounts.Setup{ID: other, Token: "other"})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			method, path string
			reads        bool
		}{
			{"GET", "/images/v1/variants", true}, {"GET", "/images/v1/variants/public", true},
			{"POST", "/images/v1/variants", false}, {"PATCH", "/images/v1/variants/public", false},
			{"DELETE", "/images/v1/variants/public", false},
			{"GET", "/images/v1/config", true}, {"PATCH", "/images/v1/config", false},
			{"GET", "/images/v1/keys", false}, // the values are secrets
			{"PUT", "/images/v1/keys/x", false}, {"DELETE", "/images/v1/keys/default", false},
		} {
			body := `{"id":"x","options":{"width":1},"flexible_variants":true}`
			f.want(f.ask(c.method, c.path, applicationJSON, body, "Authorization", ""), 400, 9106)
			f.want(f.ask(c.method, c.path, applicationJSON, body,
				"Authorization", "Bearer other"), 403, 10000)
			r := f.ask(c.method, c.path, applicationJSON, body, "Authorization", "Bearer "+reader)
			if c.reads {
				f.want(r, 200, 0)
			} else {
				f.want(r, 403, 10000)
			}
		}
		f.refused(f.ask("PATCH", "/images/v1/config", applicationJSON,
			`{"preserve_content_credentials":true,"flexible_variants":true}`), 400, 5400, "content credentials")
		f.want(f.ask("PATCH", "/images/v1/config", applicationJSON,
			`{"preserve_content_credentials":false}`), 200, 0)
		// Nothing was changed, and the other account has its own.
		if got := compactResult(t, f.ask("GET", "/images/v1/config", "", "")); !strings.Contains(got,
			`"flexible_variants":false`) {
			t.Errorf("the configuration is %s", got)
		}
		_, mine := keys(t, f.ask("GET", "/images/v1/keys", "", ""))
		_, theirs := keys(t, f.send("GET", "/client/v4/accounts/"+other+"/images/v1/keys", "", "",
			"Authorization", "Bearer other"))
		if len(mine) != 1 || len(theirs) != 1 || mine["default"] == theirs["default"] {
			t.Error("two accounts share a key")
		}
	})
}
