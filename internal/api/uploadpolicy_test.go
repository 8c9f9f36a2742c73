package api

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"calotype/internal/uploadpolicy"
)

// showsPolicy compares the policy that the API shows of a draft.
func (f *fixture) showsPolicy(id, want string) {
	f.t.Helper()
	r := f.ask("GET", "/images/v1/"+id, "", "")
	shown := ""
	if p, ok := r.image(f.t).Upload["policy"]; ok {
		text, err := json.Marshal(p)
		if err != nil {
			f.t.Fatal(err)
		}
		parsed, err := uploadpolicy.Parse(text)
		if err != nil {
			f.t.Errorf("%s: %v", text, err)
		}
		shown = parsed.Text()
	}
	if shown != want {
		f.t.Errorf("shown as %q, want %q", shown, want)
	}
}

// TestUploadPolicyIsShown: a policy with all keys is stored, and shown to the owner with the draft.
func TestUploadPolicyIsShown(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		all := `{"maxBytes":2000000,"formats":["jpeg","webp"],"minWidth":10,"minHeight":20,"maxWidth":3000,` +
			`"maxHeight":4000,"maxPixels":12000000,"aspectRatio":{"min":0.75,"max":1.7777777777777777},` +
			`"animated":false,"origins":["https://app.example.com"],"redirect":"https://app.example.com/done?a=1&b=2",` +
			`"uses":12,"audience":"app","test":"slow"}`
		for _, body := range []string{
			`{"policy":` + all + `}`,
			`{"policy":` + strings.ReplaceAll(all, ",", " , ") + `}`,
			"policy=" + url.QueryEscape(all),
		} {
			f.showsPolicy(f.ask("POST", "/images/v2/direct_upload", "", body).image(t).ID, all)
		}
		f.showsPolicy(f.draft("id", "plain").ID, "")
		f.showsPolicy(f.draft("id", "empty", "policy", "{}").ID, "")
	})
}

// TestUploadPolicyOfTheAccount: the default applies to each key that a request does not have, until it is removed.
func TestUploadPolicyOfTheAccount(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		set := func(text string) {
			t.Helper()
			p, err := uploadpolicy.ParseDefault([]byte(text))
			if err == nil {
				err = f.core.Accounts.SetUploadPolicy(t.Context(), testAccount, p)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		set(`{"maxBytes":5,"minWidth":100}`)
		f.showsPolicy(f.draft().ID, `{"maxBytes":5,"minWidth":100}`)
		f.showsPolicy(f.draft("policy.maxBytes", "7", "policy.uses", "2").ID, `{"maxBytes":7,"minWidth":100,"uses":2}`)
		f.want(f.ask("POST", "/images/v2/direct_upload", urlencoded, "policy.maxWidth=99"), 400, 5400)
		const config = "/images/v1/config"
		if got := f.ask("GET", config, "", "").body; !strings.Contains(got, `"upload_policy"`) {
			t.Errorf("the configuration is %s", got)
		}
		f.want(f.ask("PATCH", config, "", `{"upload_policy":{"maxBytes":5}}`), 400, 5400)
		f.want(f.ask("PATCH", config, urlencoded, "upload_policy.no=1"), 400, 5400)
		f.want(f.ask("PATCH", config, "", `{"upload_policy":{"minWidth":100,"maxBytes":5}}`), 200, 0)
		kept := f.draft().ID
		set(`{}`)
		f.showsPolicy(f.draft().ID, "")
		if got := f.ask("GET", config, "", "").body; strings.Contains(got, "upload_policy") {
			t.Errorf("the configuration is %s", got)
		}
		f.showsPolicy(kept, `{"maxBytes":5,"minWidth":100}`)
	})
}
