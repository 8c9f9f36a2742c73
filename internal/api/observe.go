package api

import (
	"strings"
	"time"
)

// observers are told of each answer. Their number is that of the routes and one more, for what no
// route is found for: what clients send names none.
type observers map[routeName]func(status int, took time.Duration)

type routeName struct{ method, pattern string }

// observe asks for an observer of each route, under the name of its method and its path below the
// account; nil when nobody observes.
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

// tell tells the observer of a request's route.
func (o observers) tell(l *logLine) {
	if fn := o[routeName{l.verb, l.route}]; fn != nil {
		fn(l.status, l.took)
	}
}
