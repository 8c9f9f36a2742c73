package api

import (
	"strings"
	"time"
)

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
