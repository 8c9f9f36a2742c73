package api

import (
	"encoding/json"
	"maps"
	"slices"

	"calotype/internal/cfapi"
	"calotype/internal/notify"
	"calotype/internal/webhooks"
)

// policy is a notification policy in an answer.
type policy struct {
	ID            string           `json:"id"`
	Name          string           `json:"name"`
	Description   string           `json:"description"`
	AlertType     string           `json:"alert_type"`
	Enabled       bool             `json:"enabled"`
	AlertInterval string           `json:"alert_interval"`
	Filters       struct{}         `json:"filters"`
	Mechanisms    policyMechanisms `json:"mechanisms"`
	Created       string           `json:"created"`
	Modified      string           `json:"modified"`
}

// policyMechanisms are the subscribers of a policy. The last two lists are always empty.
type policyMechanisms struct {
	Webhooks  []onlyID `json:"webhooks"`
	Email     []onlyID `json:"email"`
	PagerDuty []onlyID `json:"pagerduty"`
}

func newPolicy(p webhooks.Policy) policy {
	targets := listOf(p.Webhooks, func(id string) onlyID { return onlyID{id} })
	return policy{
		ID: p.ID, Name: p.Name, Description: p.Description, AlertType: notify.AlertType,
		Enabled: p.Enabled, AlertInterval: p.AlertInterval,
		Mechanisms: policyMechanisms{targets, []onlyID{}, []onlyID{}},
		Created:    cfapi.FormatTime(p.Created), Modified: cfapi.FormatTime(p.Modified),
	}
}

// listPolicies answers with all policies.
func (a *api) listPolicies(c *call) (any, error) {
	all, err := a.Core.Webhooks.Policies(c.Context(), c.account)
	return listOf(all, newPolicy), err
}

// createPolicy adds a policy.
func (a *api) createPolicy(c *call) (any, error) {
	change, err := readForm(c, readNewPolicy)
	if err != nil {
		return nil, err
	}
	p, err := a.Core.Webhooks.CreatePolicy(c.Context(), c.account, change)
	return onlyID{p.ID}, err
}

// readNewPolicy reads the fields of a new policy.
func readNewPolicy(f form) (change webhooks.PolicyChange, err error) {
	if change, err = readPolicy(f); err != nil {
		return change, err
	}
	alertType, err := f.text("alert_type")
	switch {
	case change.Name == nil:
		return change, missing("name", "what the policy is called")
	case alertType == nil:
		return change, missing("alert_type", "here always "+notify.AlertType)
	case change.Enabled == nil:
		return change, missing("enabled", "true or false")
	case change.Webhooks == nil:
		return change, missing("mechanisms", `the webhooks to notify, such as {"webhooks":[{"id":"..."}]}`)
	}
	return change, err
}

// readPolicy reads the fields of a policy. A filter is refused: a policy with an ignored
// filter would send too much.
func readPolicy(f form) (change webhooks.PolicyChange, err error) {
	alertType, err := f.text("alert_type")
	if err != nil {
		return change, err
	}
	if alertType != nil && *alertType != notify.AlertType {
		return change, noAlertType(*alertType)
	}
	err = f.refuseFilters()
	set(&change.Name, f.text, "name", &err)
	set(&change.Description, f.textOrEmpty, "description", &err)
	set(&change.AlertInterval, f.textOrEmpty, "alert_interval", &err)
	set(&change.Enabled, f.flagIfGiven, "enabled", &err)
	set(&change.Webhooks, f.webhooks, "mechanisms", &err)
	return change, err
}

func noAlertType(name string) error {
	if name == "image_resizing_notification" {
		return invalid("alert_type image_resizing_notification is about a quota of transformations: "+
			"there is no such quota here. The one alert_type is %s.", notify.AlertType)
	}
	return invalid("alert_type %.80q does not exist here: the one there is is %s.", name,
		notify.AlertType)
}

// refuseFilters returns an error if a policy has filters.
func (f form) refuseFilters() error {
	whole, err := f.object("filters")
	if err != nil || whole == nil {
		return err
	}
	var filters map[string]json.RawMessage
	if err := json.Unmarshal(whole, &filters); err != nil {
		return invalid("filters must be a JSON object.")
	}
	for _, name := range slices.Sorted(maps.Keys(filters)) {
		if !isNullOrEmpty(filters[name]) {
			return invalid("filters.%.80s is not supported: an %s has no filters. Choose the events of "+
				"each webhook destination by its field events.", name, notify.AlertType)
		}
	}
	return nil
}

// isNullOrEmpty reports whether a JSON value is null or an empty list.
func isNullOrEmpty(value json.RawMessage) bool {
	var list []json.RawMessage
	return json.Unmarshal(value, &list) == nil && len(list) == 0
}

// webhooks returns the ids of a policy's webhooks in a field, nil if the field is absent.
func (f form) webhooks(name string) (*[]string, error) {
	whole, err := f.object(name)
	if err != nil || whole == nil {
		return nil, err
	}
	const want = `mechanisms must be an object such as {"webhooks":[{"id":"..."}]}.`
	var given map[string]json.RawMessage
	if err := json.Unmarshal(whole, &given); err != nil {
		return nil, invalid(want)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if name != "webhooks" && !isNullOrEmpty(given[name]) {
			return nil, invalid("mechanisms.%.80s is not supported: this server sends no mail and calls "+
				"no pager. Name webhook destinations in mechanisms.webhooks.", name)
		}
	}
	ids := []string{}
	if given["webhooks"] != nil {
		var targets []onlyID
		if err := json.Unmarshal(given["webhooks"], &targets); err != nil {
			return nil, invalid(want)
		}
		for _, target := range targets {
			ids = append(ids, target.ID)
		}
	}
	return &ids, nil
}

// showPolicy answers with one policy.
func (a *api) showPolicy(c *call) (any, error) {
	p, err := a.Core.Webhooks.Policy(c.Context(), c.account, c.name)
	return newPolicy(p), err
}

// changePolicy changes the given fields of a policy.
func (a *api) changePolicy(c *call) (any, error) {
	change, err := readForm(c, readPolicy)
	if err != nil {
		return nil, err
	}
	p, err := a.Core.Webhooks.UpdatePolicy(c.Context(), c.account, c.name, change)
	return onlyID{p.ID}, err
}

// deletePolicy deletes a policy. There is no result: the SDKs read the envelope.
func (a *api) deletePolicy(c *call) (any, error) {
	return nil, a.Core.Webhooks.DeletePolicy(c.Context(), c.account, c.name)
}

// alert is a type of alert for policies.
type alert struct {
	Description   string   `json:"description"`
	DisplayName   string   `json:"display_name"`
	FilterOptions []string `json:"filter_options"`
	Type          string   `json:"type"`
}

// listAlerts answers with the only type of alert.
func (a *api) listAlerts(*call) (any, error) {
	return map[string][]alert{"Images": {{
		Description: "Uploads by one-time URLs that succeed or fail, and for destinations that ask " +
			"for it expired URLs, deletions and changes of images",
		DisplayName: "Images", FilterOptions: []string{}, Type: notify.AlertType,
	}}}, nil
}
