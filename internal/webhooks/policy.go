package webhooks

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// A Policy subscribes webhooks to events.
type Policy struct {
	ID            string // 32 hex digits
	Account       string
	Name          string
	Description   string
	Enabled       bool
	AlertInterval string   // stored for the client only
	Webhooks      []string // IDs in their order, without deleted webhooks
	Created       time.Time
	Modified      time.Time
}

// MaxPolicies bounds the policies of an account, and the webhooks of a policy.
const MaxPolicies = 100

const maxDescription = 1024 // characters

var errNoPolicy = errs.Errorf(errs.PolicyNotFound, "Notification policy not found")

// A PolicyChange has a client's fields of a new or changed policy. A nil field was not given.
type PolicyChange struct {
	Name, Description, AlertInterval *string
	Enabled                          *bool
	Webhooks                         *[]string
}

// CreatePolicy adds a policy. Errors: Invalid, LimitReached, NoSpace, AccountUnknown.
func (s *Service) CreatePolicy(
	ctx context.Context, account string, c PolicyChange,
) (Policy, error) {
	now := sqldb.FromMicros(sqldb.Micros(s.now()))
	p := Policy{ID: text.NewHexID(), Account: account, Created: now, Modified: now}
	if err := p.change(c); err != nil {
		return Policy{}, err
	}
	if err := s.accounts.CheckSpace(); err != nil {
		return Policy{}, err
	}
	err := s.accounts.Change(ctx, func(tx *accounts.Change) error {
		if err := tx.Lock(account); err != nil {
			return err
		}
		return p.insert(tx)
	})
	if err != nil {
		return Policy{}, fmt.Errorf("making a notification policy: %w", err)
	}
	return p, nil
}

// insert inserts a policy with its webhooks. The account must be locked. Errors: LimitReached at MaxPolicies;
// Invalid if a webhook does not exist.
func (p *Policy) insert(tx *accounts.Change) error {
	made, err := tx.Exec(`INSERT INTO notification_policies (id, account, name, description,
		enabled, alert_interval, created, modified)
		SELECT CAST(?1 AS TEXT), CAST(?2 AS TEXT), CAST(?3 AS TEXT), CAST(?4 AS TEXT),
			CAST(?5 AS SMALLINT), CAST(?6 AS TEXT), CAST(?7 AS BIGINT), CAST(?7 AS BIGINT)
		WHERE (SELECT count(*) FROM notification_policies WHERE account = ?2)
			< CAST(?8 AS BIGINT)`,
		p.ID, p.Account, p.Name, p.Description, sqldb.BoolInt(p.Enabled), p.AlertInterval,
		sqldb.Micros(p.Created), MaxPolicies)
	if err == nil && made == 0 {
		err = errs.Errorf(errs.LimitReached, "The account has %d notification policies already, which is "+
			"the limit: delete one first", MaxPolicies)
	}
	if err != nil {
		return err
	}
	return p.writeTargets(tx)
}

// change applies the given fields and checks the result. Error: Invalid.
func (p *Policy) change(c PolicyChange) error {
	set(&p.Name, c.Name)
	set(&p.Description, c.Description)
	set(&p.AlertInterval, c.AlertInterval)
	set(&p.Enabled, c.Enabled)
	set(&p.Webhooks, c.Webhooks)
	switch {
	case p.Name == "" || utf8.RuneCountInString(p.Name) > maxWebhookName || !text.IsPlain(p.Name):
		return errs.Errorf(errs.Invalid, "name must be 1 to %d characters of plain text", maxWebhookName)
	case utf8.RuneCountInString(p.Description) > maxDescription || !text.IsPlainLines(p.Description):
		return errs.Errorf(errs.Invalid, "description must be at most %d characters of plain text",
			maxDescription)
	case len(p.AlertInterval) > 20 || !text.IsPlain(p.AlertInterval):
		return errs.Errorf(errs.Invalid, "alert_interval must be like 30m")
	case len(p.Webhooks) == 0:
		return errs.Errorf(errs.Invalid, "mechanisms.webhooks must name one webhook destination or more")
	case len(p.Webhooks) > MaxPolicies:
		return errs.Errorf(errs.Invalid, "mechanisms.webhooks must name at most %d destinations",
			MaxPolicies)
	}
	return nil
}

// writeTargets replaces the rows of the policy's webhooks. The account must be locked. Error: Invalid if a webhook
// does not exist.
func (p *Policy) writeTargets(tx *accounts.Change) error {
	_, err := tx.Exec(`DELETE FROM notification_targets WHERE policy = ?1`, p.ID)
	if err != nil {
		return err
	}
	for _, webhook := range p.Webhooks {
		exists := text.IsPlain(webhook)
		if exists {
			exists, err = sqldb.Exists(tx, `webhooks WHERE account = ?1 AND id = ?2 AND kind = 'webhook'`,
				p.Account, webhook)
		}
		if err == nil && !exists {
			err = errs.Errorf(errs.Invalid, "mechanisms.webhooks: there is no webhook destination of the id "+
				"%.80q", webhook)
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO notification_targets (policy, webhook, account)
			VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING`, p.ID, webhook, p.Account)
		if err != nil {
			return err
		}
	}
	return nil
}

// UpdatePolicy changes a policy and returns it. Errors: PolicyNotFound, Invalid, AccountUnknown.
func (s *Service) UpdatePolicy(
	ctx context.Context, account, id string, c PolicyChange,
) (p Policy, err error) {
	if !text.IsPlain(id) {
		return p, errNoPolicy
	}
	err = s.accounts.Change(ctx, func(tx *accounts.Change) error {
		if err := tx.Lock(account); err != nil {
			return err
		}
		p, err = scanPolicy(tx.QueryRow(selectPolicy+` WHERE account = ?1 AND id = ?2`, account, id))
		if err = sqldb.RowError("reading a notification policy", err, errNoPolicy); err != nil {
			return err
		}
		if p.Webhooks, err = policyTargets(tx, id); err != nil {
			return err
		}
		// If all webhooks of the policy were deleted, a change of other fields need not name one.
		targets := c.Webhooks != nil || len(p.Webhooks) > 0
		if !targets {
			p.Webhooks = []string{""}
		}
		if err := p.change(c); err != nil {
			return err
		}
		p.Modified = sqldb.FromMicros(sqldb.Micros(s.now()))
		_, err = tx.Exec(`UPDATE notification_policies SET name = ?2, description = ?3, enabled = ?4,
			alert_interval = ?5, modified = ?6 WHERE id = ?1`,
			id, p.Name, p.Description, sqldb.BoolInt(p.Enabled), p.AlertInterval, sqldb.Micros(p.Modified))
		if !targets {
			p.Webhooks = nil
		}
		if err != nil || c.Webhooks == nil {
			return err
		}
		return p.writeTargets(tx)
	})
	if err != nil {
		return Policy{}, fmt.Errorf("changing a notification policy: %w", err)
	}
	return p, nil
}

// policyTargets returns the IDs of a policy's webhooks in their order.
func policyTargets(tx *accounts.Change, policy string) ([]string, error) {
	return sqldb.Select(tx, sqldb.ScanOne[string],
		`SELECT webhook FROM notification_targets WHERE policy = ?1 ORDER BY webhook`, policy)
}

// DeletePolicy deletes a policy. The pending deliveries of earlier events are still sent. Errors: PolicyNotFound,
// AccountUnknown.
func (s *Service) DeletePolicy(ctx context.Context, account, id string) error {
	if !text.IsPlain(id) {
		return errNoPolicy
	}
	err := s.accounts.ChangeInReserve(ctx, func(tx *accounts.Change) error {
		if err := tx.Lock(account); err != nil {
			return err
		}
		gone, err := tx.Exec(`DELETE FROM notification_policies WHERE account = ?1 AND id = ?2`,
			account, id)
		if err == nil && gone == 0 {
			err = errNoPolicy
		}
		if err == nil {
			_, err = tx.Exec(`DELETE FROM notification_targets WHERE policy = ?1`, id)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting a notification policy: %w", err)
	}
	return nil
}

// Policy returns the policy with an ID. Error: PolicyNotFound.
func (s *Service) Policy(
	ctx context.Context, account, id string,
) (Policy, error) {
	if !text.IsPlain(id) {
		return Policy{}, errNoPolicy
	}
	found, err := s.policies(ctx, ` WHERE account = ?1 AND id = ?2`, account, id)
	if err == nil && len(found) == 0 {
		err = errNoPolicy
	}
	if err != nil {
		return Policy{}, err
	}
	return found[0], nil
}

// Policies returns the policies of an account, oldest first.
func (s *Service) Policies(
	ctx context.Context, account string,
) ([]Policy, error) {
	return s.policies(ctx, ` WHERE account = ?1 ORDER BY created, id`, account)
}

// policies returns the policies of one account that meet a condition, with their webhooks.
func (s *Service) policies(
	ctx context.Context, where string, args ...any,
) ([]Policy, error) {
	all, err := sqldb.Select(s.db.Reader(ctx), scanPolicy, selectPolicy+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading notification policies: %w", err)
	}
	if len(all) == 0 {
		return nil, nil
	}
	targets := map[string][]string{}
	_, err = sqldb.Select(s.db.Reader(ctx), func(r sqldb.Row) (policy string, err error) {
		var webhook string
		err = r.Scan(&policy, &webhook)
		targets[policy] = append(targets[policy], webhook)
		return policy, err
	}, `SELECT policy, webhook FROM notification_targets WHERE account = ?1 ORDER BY policy, webhook`, all[0].Account)
	if err != nil {
		return nil, fmt.Errorf("reading the targets of notification policies: %w", err)
	}
	for i := range all {
		all[i].Webhooks = targets[all[i].ID]
	}
	return all, nil
}

const selectPolicy = `SELECT id, account, name, description, enabled, alert_interval, created,
	modified FROM notification_policies`

func scanPolicy(r sqldb.Row) (p Policy, err error) {
	var created, modified int64
	err = r.Scan(&p.ID, &p.Account, &p.Name, &p.Description, &p.Enabled, &p.AlertInterval,
		&created, &modified)
	p.Created, p.Modified = sqldb.FromMicros(created), sqldb.FromMicros(modified)
	return p, err
}
