package api

import (
	"fmt"
	"strings"
	"testing"
)

func TestPolicies(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		to := newReceiver(t)
		hook, _ := f.hook(to, "")
		second, _ := f.hook(to, "")
		// As cloudflare-go v0 sends it.
		r := f.json("POST", policies, fmt.Sprintf(`{"id": "", "name": "uploads",
			"description": "of users", "enabled": true, "alert_type": "image_notification",
			"mechanisms": {"webhooks": [{"name": "", "id": "%s"}], "email": [], "pagerduty": null},
			"created": "0001-01-01T00:00:00Z", "modified": "0001-01-01T00:00:00Z",
			"conditions": null, "filters": null}`, hook))
		f.want(r, 200, 0)
		path := policies + "/" + result[onlyID](t, r).ID
		first := result[policy](t, f.ask("GET", path, "", ""))
		if first.Name != "uploads" || first.Description != "of users" || !first.Enabled ||
			first.AlertType != "image_notification" || first.Created != first.Modified ||
			fmt.Sprint(first.Mechanisms.Webhooks) != "[{"+hook+"}]" {
			t.Errorf("made %+v", first)
		}
		if body := compactResult(t, f.ask("GET", path, "", "")); !strings.Contains(body,
			`"filters":{},"mechanisms":{"webhooks":[{"id":"`+hook+`"}],"email":[],"pagerduty":[]}`) {
			t.Errorf("shown %s", body)
		}
		// One field changes, the rest stays.
		f.want(f.json("PUT", path, `{"enabled": false}`), 200, 0)
		now := result[policy](t, f.ask("GET", path, "", ""))
		if now.Enabled || now.Modified < first.Modified {
			t.Errorf("changed to %+v", now)
		}
		now.Enabled, now.Modified = true, first.Modified
		if fmt.Sprint(now) != fmt.Sprint(first) {
			t.Errorf("the rest changed:\n%+v\n%+v", now, first)
		}
		f.want(f.json("PUT", path, fmt.Sprintf(`{"mechanisms": {"webhooks": [{"id": "%s"}]},
			"alert_interval": "30m", "description": "", "filters": {"zones": []}}`, second)), 200, 0)
		now = result[policy](t, f.ask("GET", path, "", ""))
		if fmt.Sprint(now.Mechanisms.Webhooks) != "[{"+second+"}]" || now.AlertInterval != "30m" ||
			now.Description != "" || now.Name != "uploads" {
			t.Errorf("changed to %+v", now)
		}
		// As a form, taken apart.
		contentType, body := multi(t, "name", "formed", "alert_type", "image_notification",
			"enabled", "true", "mechanisms.webhooks.0.id", hook)
		f.want(f.ask("POST", policies, contentType, body), 200, 0)
		if all := result[[]policy](t, f.ask("GET", policies, "", "")); len(all) != 2 ||
			all[1].Name != "formed" {
			t.Errorf("there are %+v", all)
		}
		// A webhook that goes takes itself out of the policies.
		f.want(f.ask("DELETE", hooks+"/"+second, "", ""), 200, 0)
		if now = result[policy](t, f.ask("GET", path, "", "")); len(now.Mechanisms.Webhooks) != 0 {
			t.Errorf("a policy has a deleted webhook: %+v", now)
		}
		f.want(f.ask("DELETE", path, "", ""), 200, 0)
		f.want(f.ask("GET", path, "", ""), 404, 5404)
	})
}

func TestPoliciesAreRefused(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		hook, _ := f.hook(newReceiver(t), "")
		path := policies + "/" + f.policy(hook)
		whole := map[string]string{
			"name": `"x"`, "alert_type": `"image_notification"`, "enabled": "true",
			"mechanisms": `{"webhooks": [{"id": "` + hook + `"}]}`,
		}
		with := func(name, value string) string {
			var fields []string
			for n, v := range whole {
				if n != name {
					fields = append(fields, fmt.Sprintf("%q: %s", n, v))
				}
			}
			if value != "" {
				fields = append(fields, fmt.Sprintf("%q: %s", name, value))
			}
			return "{" + strings.Join(fields, ", ") + "}"
		}
		for name := range whole {
			f.refused(f.json("POST", policies, with(name, "")), 400, 5400, "`"+name+"`")
			f.refused(f.json("POST", policies, with(name, "null")), 400, 5400, "`"+name+"`")
		}
		for _, c := range []struct{ name, value, word string }{
			{"alert_type", `"universal_ssl_event_type"`, "universal_ssl_event_type"},
			{"alert_type", `"image_resizing_notification"`, "no such quota"},
			{"filters", `{"zones": ["a"]}`, "filters.zones"},
			{"filters", `{"where": {"a": 1}}`, "filters.where"},
			{"filters", `[1]`, "filters must be"},
			{"mechanisms", `{"email": [{"id": "a@example.com"}]}`, "mechanisms.email"},
			{"mechanisms", `{"pagerduty": [{"id": "x"}], "webhooks": [{"id": "` + hook + `"}]}`,
				"mechanisms.pagerduty"},
			{"mechanisms", `{"pigeons": 5}`, "mechanisms.pigeons"},
			{"mechanisms", `{"webhooks": []}`, "mechanisms.webhooks must name"},
			{"mechanisms", `{"webhooks": [{"id": "` + strings.Repeat("0", 32) + `"}]}`, "there is no"},
			{"mechanisms", `{"webhooks": [{"id": "\u0000"}]}`, "there is no"},
			{"mechanisms", `{"webhooks": ["` + hook + `"]}`, "mechanisms must be"},
			{"mechanisms", `[1]`, "mechanisms must be"},
			{"enabled", `"perhaps"`, "enabled must be"},
			{"name", `"a\u0000b"`, "name must be"},
		} {
			f.refused(f.json("POST", policies, with(c.name, c.value)), 400, 5400, c.word)
			f.refused(f.json("PUT", path, fmt.Sprintf("{%q: %s}", c.name, c.value)), 400, 5400, c.word)
		}
		if all := result[[]policy](t, f.ask("GET", policies, "", "")); len(all) != 1 ||
			all[0].Created != all[0].Modified {
			t.Errorf("what was refused left %+v", all)
		}
	})
}

func TestWhatAPolicyMayBeAbout(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		alerts := result[map[string][]alert](t, f.ask("GET", alerting+"available_alerts", "", ""))
		if len(alerts) != 1 || len(alerts["Images"]) != 1 ||
			alerts["Images"][0].Type != "image_notification" {
			t.Errorf("alerts: %+v", alerts)
		}
		ways := result[map[string][]mechanism](t, f.ask("GET", alerting+"destinations/eligible", "", ""))
		if fmt.Sprint(ways) != "map[webhooks:[{true true webhook}]]" {
			t.Errorf("mechanisms: %+v", ways)
		}
	})
}
