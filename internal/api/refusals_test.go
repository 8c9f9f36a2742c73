package api

import (
	"cmp"
	"net/http"
	"strings"
	"testing"

	"calotype/internal/accounts"
)

// A bodyKind is what a route reads of a body, and so how it refuses one.
type bodyKind int

const (
	noBody      bodyKind = iota
	formBody             // fields, in any encoding
	pictureBody          // a multipart form with a picture in it
)

// A routeCase says of a route what its refusals depend on.
type routeCase struct {
	body bodyKind
	// What is answered to who may ask, without a query and a body; the id is unknown.
	status, code int
	// In the path, instead of an unknown name.
	name string
}

// unknown is the name or id of nothing.
const unknown = "no-such-image"

// path is where to ask for it.
func (c routeCase) path(r route, account string) string {
	return fill(r.pattern, account, cmp.Or(c.name, unknown))
}

// routeCases has a line for each route: TestRefusalsOfAllRoutes fails without it.
var routeCases = map[string]routeCase{
	"POST accounts/{account}/images/v2/direct_upload":     {formBody, 200, 0, ""},
	"POST accounts/{account}/images/v1/direct_upload":     {formBody, 200, 0, ""},
	"GET accounts/{account}/images/v2":                    {noBody, 200, 0, ""},
	"DELETE accounts/{account}/images/v2":                 {noBody, 400, 5400, ""},
	"GET accounts/{account}/images/v2/blocked":            {noBody, 200, 0, ""},
	"PUT accounts/{account}/images/v2/blocked/{name}":     {formBody, 400, 5400, ""},
	"DELETE accounts/{account}/images/v2/blocked/{name}":  {noBody, 404, 5404, ""},
	"GET accounts/{account}/images/v1":                    {noBody, 200, 0, ""},
	"POST accounts/{account}/images/v1":                   {pictureBody, 415, 5415, ""},
	"GET accounts/{account}/images/v1/{id...}/blob":       {noBody, 404, 5404, ""},
	"GET accounts/{account}/images/v1/{id...}":            {noBody, 404, 5404, ""},
	"DELETE accounts/{account}/images/v1/{id...}":         {noBody, 404, 5404, ""},
	"PATCH accounts/{account}/images/v1/{id...}":          {formBody, 404, 5404, ""},
	"GET accounts/{account}/images/v1/variants":           {noBody, 200, 0, ""},
	"POST accounts/{account}/images/v1/variants":          {formBody, 400, 5400, ""},
	"GET accounts/{account}/images/v1/variants/{name}":    {noBody, 404, 5401, ""},
	"PATCH accounts/{account}/images/v1/variants/{name}":  {formBody, 400, 5400, ""},
	"DELETE accounts/{account}/images/v1/variants/{name}": {noBody, 404, 5401, ""},
	"GET accounts/{account}/images/v1/config":             {noBody, 200, 0, ""},
	"PATCH accounts/{account}/images/v1/config":           {formBody, 200, 0, ""},
	"GET accounts/{account}/images/v1/keys":               {noBody, 200, 0, ""},
	"PUT accounts/{account}/images/v1/keys/{name}":        {noBody, 409, 5409, "default"},
	"DELETE accounts/{account}/images/v1/keys/{name}":     {noBody, 404, 5404, ""},
	"GET accounts/{account}/images/v1/stats":              {noBody, 200, 0, ""},
	"GET accounts/{account}/images/v1/batch_token":        {noBody, 200, 0, ""},
	"GET accounts/{account}/tokens/verify":                {noBody, 200, 0, ""},
	"GET user/tokens/verify":                              {noBody, 200, 0, ""},

	"GET accounts/{account}/alerting/v3/destinations/webhooks":                        {noBody, 200, 0, ""},
	"POST accounts/{account}/alerting/v3/destinations/webhooks":                       {formBody, 400, 5400, ""},
	"GET accounts/{account}/alerting/v3/destinations/webhooks/{name}":                 {noBody, 404, 5404, ""},
	"PUT accounts/{account}/alerting/v3/destinations/webhooks/{name}":                 {formBody, 404, 5404, ""},
	"DELETE accounts/{account}/alerting/v3/destinations/webhooks/{name}":              {noBody, 404, 5404, ""},
	"POST accounts/{account}/alerting/v3/destinations/webhooks/{name}/test":           {noBody, 404, 5404, ""},
	"POST accounts/{account}/alerting/v3/destinations/webhooks/{name}/signing_secret": {noBody, 404, 5404, ""},
	"GET accounts/{account}/alerting/v3/destinations/eligible":                        {noBody, 200, 0, ""},
	"GET accounts/{account}/alerting/v3/policies":                                     {noBody, 200, 0, ""},
	"POST accounts/{account}/alerting/v3/policies":                                    {formBody, 400, 5400, ""},
	"GET accounts/{account}/alerting/v3/policies/{name}":                              {noBody, 404, 5404, ""},
	"PUT accounts/{account}/alerting/v3/policies/{name}":                              {formBody, 404, 5404, ""},
	"DELETE accounts/{account}/alerting/v3/policies/{name}":                           {noBody, 404, 5404, ""},
	"GET accounts/{account}/alerting/v3/available_alerts":                             {noBody, 200, 0, ""},
	"GET accounts/{account}/alerting/v3/history":                                      {noBody, 200, 0, ""},
	"POST accounts/{account}/alerting/v3/replay":                                      {formBody, 400, 5400, ""},
	"GET accounts/{account}/alerting/v3/streams":                                      {noBody, 200, 0, ""},
	"PUT accounts/{account}/alerting/v3/streams/{name}":                               {formBody, 200, 0, ""},
	"DELETE accounts/{account}/alerting/v3/streams/{name}":                            {noBody, 404, 5404, "never-opened"},
	"POST accounts/{account}/alerting/v3/streams/{name}/claim":                        {formBody, 404, 5404, "never-opened"},
	"POST accounts/{account}/alerting/v3/streams/{name}/attempts":                     {formBody, 400, 5400, "never-opened"},
}

// malformedIDs are no ids of ours, as they stand in a path.
var malformedIDs = []string{
	"%00", "%FF%FE", "a%0Ab", "..%2F..%2Fetc", "%2F", "a//b", "%25zz", "'%22%3B--",
	strings.Repeat("x", 5000),
}

// fill writes a route's pattern as a path.
func fill(pattern, account, id string) string {
	segments := strings.Split(pattern, "/")
	for i, s := range segments {
		switch {
		case s == "{account}":
			segments[i] = account
		case strings.HasPrefix(s, "{"):
			segments[i] = id
		}
	}
	return Prefix + strings.Join(segments, "/")
}

// TestRefusalsOfAllRoutes asks each route what it must refuse: status, code and type of the answer.
func TestRefusalsOfAllRoutes(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		reader, err := f.core.Accounts.CreateToken(t.Context(), testAccount,
			accounts.NewToken{Name: "reader", Scope: accounts.Read})
		if err != nil {
			t.Fatal(err)
		}
		left := map[string]bool{}
		for name := range routeCases {
			left[name] = true
		}
		for _, r := range (&api{}).list() {
			name := r.method + " " + r.pattern
			c, ok := routeCases[name]
			if !ok {
				t.Errorf("%s has no line in routeCases: add one", name)
				continue
			}
			delete(left, name)
			t.Run(strings.ReplaceAll(name, "/", "|"), func(t *testing.T) {
				asked := *f
				asked.t = t
				refusesStrangers(&asked, r, c, reader)
				refusesIDs(&asked, r)
				refusesBodies(&asked, r, c)
			})
		}
		for name := range left {
			t.Errorf("%s stands in routeCases and is no route", name)
		}
	})
}

// try asks a route, and compares the answer.
func (f *fixture) try(r route, what, path, token string, content [2]string, status, code int) {
	f.t.Helper()
	var header []string
	if token != "" {
		header = []string{"Authorization", "Bearer " + token}
	}
	got := f.send(r.method, path, content[0], content[1], header...)
	if got.status != status || got.code() != code ||
		got.header.Get("Content-Type") != "application/json; charset=UTF-8" ||
		got.Success != (code == 0) || code != 0 && string(got.Result) != "null" {
		f.t.Errorf("%s: %d %s %.600s\nwant %d with code %d",
			what, got.status, got.header.Get("Content-Type"), got.body, status, code)
	}
}

// refusesStrangers tries who may not ask, and who may.
func refusesStrangers(f *fixture, r route, c routeCase, reader string) {
	f.t.Helper()
	path, none := c.path(r, testAccount), [2]string{}
	f.try(r, "no token", path, "", none, http.StatusBadRequest, 9106)
	f.try(r, "an unknown token", path, "unknown", none, http.StatusUnauthorized, 10000)
	f.try(r, "an impossible token", path, "\xff\x80", none, http.StatusUnauthorized, 10000)
	if strings.Contains(r.pattern, "{account}") {
		for _, other := range []string{
			strings.Repeat("0", 32), testAccount[1:], strings.ToUpper(testAccount), "%00", "%FF",
		} {
			f.try(r, "the account "+other, c.path(r, other), testToken, none,
				http.StatusForbidden, 10000)
		}
	}
	if r.scope == accounts.Read {
		f.try(r, "a read token", path, reader, none, c.status, c.code)
	} else {
		f.try(r, "a read token", path, reader, none, http.StatusForbidden, 10000)
	}
	f.try(r, "a valid token", path, testToken, none, c.status, c.code)
	f.try(route{method: "PROPFIND"}, "another method", path, testToken, none,
		http.StatusMethodNotAllowed, codeMethod)
}

// refusesIDs tries ids that no image has, which must not reach further than a lookup.
func refusesIDs(f *fixture, r route) {
	f.t.Helper()
	if !strings.Contains(r.pattern, "{id...}") {
		return
	}
	for _, id := range malformedIDs {
		f.try(r, "the id "+id[:min(len(id), 20)], fill(r.pattern, testAccount, id), testToken,
			[2]string{}, http.StatusNotFound, 5404)
	}
}

// refusesBodies tries bodies that are too large, and of a type that is not supported.
func refusesBodies(f *fixture, r route, c routeCase) {
	f.t.Helper()
	path, large := c.path(r, testAccount), strings.Repeat("x", maxBody+1)
	multipart, field := multi(f.t, "creator", large)
	switch c.body {
	case noBody: // which is not read
		f.try(r, "a body", path, testToken, [2]string{urlencoded, large}, c.status, c.code)
	case formBody:
		for _, body := range [][2]string{
			{urlencoded, "creator=" + large}, {"application/json", `{"creator":"` + large + `"}`},
			{multipart, field},
		} {
			f.try(r, "too large, as "+body[0], path, testToken, body,
				http.StatusRequestEntityTooLarge, codeTooLarge)
		}
		f.try(r, "XML", path, testToken, [2]string{"application/xml", "<creator/>"},
			http.StatusUnsupportedMediaType, 5415)
	case pictureBody:
		f.try(r, "too large a field", path, testToken, [2]string{multipart, field},
			http.StatusRequestEntityTooLarge, 5413)
		f.try(r, "no JSON", path, testToken, [2]string{"application/json", "x"},
			http.StatusBadRequest, 5400)
		for _, kind := range []string{"application/xml", "image/jpeg", ""} {
			f.try(r, "the type "+kind, path, testToken, [2]string{kind, "x"},
				http.StatusUnsupportedMediaType, 5415)
		}
	}
}
