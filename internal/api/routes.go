package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/fields"
)

// A route is one line of the API. In a pattern, {account} and {name} stand for one path segment and
// {id...} for one or more: ids may hold slashes. A GET route also answers HEAD.
type route struct {
	method  string
	pattern string // below Prefix
	scope   accounts.Scope
	handler func(*call) (any, error) // with an error the result is ignored
}

// ofToken reports whether the route's path has no account: it uses the token's.
func (r route) ofToken() bool { return !strings.Contains(r.pattern, "{account}") }

// list is the list of all routes. The first matching pattern is used, so literal ones are first.
func (a *api) list() []route {
	const account = "accounts/{account}/"
	return append(a.alertingRoutes(), []route{
		{"POST", account + "images/v2/direct_upload", accounts.Write, a.createDraft},
		{"POST", account + "images/v1/direct_upload", accounts.Write, a.createDraft},
		{"GET", account + "images/v2", accounts.Read, a.listImages},
		{"DELETE", account + "images/v2", accounts.Write, a.eraseCreator},
		{"GET", account + "images/v2/blocked", accounts.Read, a.listBlocked},
		{"PUT", account + "images/v2/blocked/{name}", accounts.Write, a.blockPicture},
		{"DELETE", account + "images/v2/blocked/{name}", accounts.Write, takes(a.unblockPicture)},
		{"GET", account + "images/v1", accounts.Read, a.listPage},
		{"POST", account + "images/v1", accounts.Write, a.counted(a.createImage)},
		{"GET", account + "images/v1/variants", accounts.Read, takes(a.listVariants)},
		{"POST", account + "images/v1/variants", accounts.Write, a.createVariant},
		{"GET", account + "images/v1/variants/{name}", accounts.Read, a.showVariant},
		{"PATCH", account + "images/v1/variants/{name}", accounts.Write, a.changeVariant},
		{"DELETE", account + "images/v1/variants/{name}", accounts.Write, takes(a.deleteVariant)},
		{"GET", account + "images/v1/config", accounts.Read, a.showConfig},
		{"PATCH", account + "images/v1/config", accounts.Write, a.changeConfig},
		{"GET", account + "images/v1/keys", accounts.Write, takes(a.listKeys)}, // the values are secrets
		{"PUT", account + "images/v1/keys/{name}", accounts.Write, a.createKey},
		{"DELETE", account + "images/v1/keys/{name}", accounts.Write, takes(a.deleteKey)},
		{"GET", account + "images/v1/stats", accounts.Read, a.stats},
		{"GET", account + "images/v1/batch_token", accounts.Read, a.createBatchToken},
		{"GET", account + "images/v1/{id...}/blob", accounts.Read, a.openBlob},
		{"GET", account + "images/v1/{id...}", accounts.Read, a.showImage},
		{"PATCH", account + "images/v1/{id...}", accounts.Write, a.editImage},
		{"DELETE", account + "images/v1/{id...}", accounts.Write, takes(a.deleteImage)},
		{"GET", account + "tokens/verify", accounts.Read, a.verifyToken},
		{"GET", "user/tokens/verify", accounts.Read, a.verifyToken},
	}...)
}

// alertingRoutes are the routes of webhooks. The history and the streams need the scope read
// only, because they hold no secrets.
func (a *api) alertingRoutes() []route {
	const (
		alerting = "accounts/{account}/alerting/v3/"
		hooks    = alerting + "destinations/webhooks"
		streams  = alerting + "streams"
	)
	return []route{
		{"GET", hooks, accounts.Read, takes(a.listWebhooks)},
		{"POST", hooks, accounts.Write, a.createWebhook},
		{"GET", hooks + "/{name}", accounts.Read, a.showWebhook},
		{"PUT", hooks + "/{name}", accounts.Write, a.changeWebhook},
		{"DELETE", hooks + "/{name}", accounts.Write, takes(a.deleteWebhook)},
		{"POST", hooks + "/{name}/test", accounts.Write, a.testWebhook},
		{"POST", hooks + "/{name}/signing_secret", accounts.Write, a.rotateSigningSecret},
		{"GET", alerting + "destinations/eligible", accounts.Read, a.listMechanisms},
		{"GET", alerting + "policies", accounts.Read, takes(a.listPolicies)},
		{"POST", alerting + "policies", accounts.Write, a.createPolicy},
		{"GET", alerting + "policies/{name}", accounts.Read, a.showPolicy},
		{"PUT", alerting + "policies/{name}", accounts.Write, a.changePolicy},
		{"DELETE", alerting + "policies/{name}", accounts.Write, takes(a.deletePolicy)},
		{"GET", alerting + "available_alerts", accounts.Read, a.listAlerts},
		{"GET", alerting + "history", accounts.Read, a.listHistory},
		{"POST", alerting + "replay", accounts.Write, a.replay},
		{"GET", streams, accounts.Read, takes(a.listStreams)},
		{"PUT", streams + "/{name}", accounts.Write, a.openStream},
		{"DELETE", streams + "/{name}", accounts.Write, takes(a.deleteStream)},
		{"POST", streams + "/{name}/claim", accounts.Write, a.claimFromStream},
		{"POST", streams + "/{name}/attempts", accounts.Write, a.settleStream},
	}
}

// params are the variable parts of a path, unescaped.
type params struct {
	account string
	id      string // of an image
	name    string // of a variant, a signing key or a stream; the id of a webhook or a policy; a blocked value
}

// find returns the route of a path in its escaped form. The refusals depend only on this list: there is no such
// route, or not for this method.
func find(routes []route, method, escapedPath string) (route, params, error) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	path, below := strings.CutPrefix(escapedPath, Prefix)
	if !below {
		return route{}, params{}, errNoRoute
	}
	segments := strings.Split(path, "/")
	var pattern string // the first that fits; others of the same are for other methods
	var allowed []string
	for _, r := range routes {
		if pattern != "" && pattern != r.pattern {
			continue
		}
		p, ok := match(r.pattern, segments)
		if !ok {
			continue
		}
		if r.method == method {
			return r, p, nil
		}
		pattern = r.pattern
		allowed = append(allowed, r.method)
		if r.method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	if pattern == "" {
		return route{}, params{}, errNoRoute
	}
	return route{}, params{}, &methodError{allowed}
}

// match reads the parameters of a pattern from the segments of an escaped path. %2F never splits segments: it belongs
// to the id, as SDKs differ in which of the two they send. Literals must stand in the path as they are.
func match(pattern string, path []string) (p params, ok bool) {
	for i := 0; i < len(path); i++ {
		want, after, more := strings.Cut(pattern, "/")
		switch want {
		case "{account}":
			p.account, ok = unescape(path[i])
		case "{name}":
			p.name, ok = unescape(path[i])
		case "{id...}":
			var rest []string
			if more {
				rest = strings.Split(after, "/")
			}
			end := len(path) - len(rest)
			if end <= i || slices.Contains(fields.ReservedSegments, path[i]) || !slices.Equal(path[end:], rest) {
				return params{}, false
			}
			p.id, ok = unescape(strings.Join(path[i:end], "/"))
			return p, ok
		default:
			ok = path[i] == want
		}
		if !ok {
			return params{}, false
		}
		if !more {
			return p, len(path) == i+1
		}
		pattern = after
	}
	return params{}, false
}

// unescape undoes percent-encoding; false for what is empty or malformed.
func unescape(s string) (string, bool) {
	s, err := url.PathUnescape(s)
	return s, err == nil && s != ""
}

// observers are called for each answer. There is one for each route, and one for requests without a route:
// their names never come from clients.
type observers map[routeName]func(status int, took time.Duration)

type routeName struct{ method, pattern string }

// observe creates the observer of each route, named by its method and its path below the account; nil
// without Observe.
func observe(
	ask func(route string) func(status int, took time.Duration), routes []route,
) observers {
	if ask == nil {
		return nil
	}
	all := observers{{}: ask("none")}
	for _, r := range routes {
		name := r.method + " " + strings.TrimPrefix(r.pattern, "accounts/{account}/")
		all[routeName{r.method, r.pattern}] = ask(name)
	}
	return all
}

// call calls the observer of a request's route.
func (o observers) call(l *logLine, status int, took time.Duration) {
	if fn := o[routeName{l.verb, l.route}]; fn != nil {
		fn(status, took)
	}
}
