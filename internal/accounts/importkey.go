package accounts

import (
	"context"
	"fmt"
	"slices"

	"calotype/internal/errs"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// maxKeyBytes limits the value of an imported signing key.
const maxKeyBytes = 1024

// ImportSigningKey adds a key with the value that it has at the source of an import, so that the URLs that it has
// signed stay valid. If the account has the value already, it adds no key, and made is false. If the account has a
// key of that name with another value, it renames that key, which still verifies; renamed is the new name, or "".
// Errors: Invalid, LimitReached, AccountUnknown.
func (s *Service) ImportSigningKey(
	ctx context.Context, account string, k SigningKey,
) (made bool, renamed string, err error) {
	if !keyName.MatchString(k.Name) || k.Value == "" || len(k.Value) > maxKeyBytes ||
		!text.IsPlain(k.Value) {
		return false, "", errs.Errorf(errs.Invalid, "a signing key has a name of 1 to 20 letters, digits, "+
			"dashes and underscores, and a value of 1 to %d bytes of text", maxKeyBytes)
	}
	err = s.Change(ctx, func(tx *Change) (err error) {
		tx.Invalidate(nil)
		made, renamed, err = s.importSigningKey(tx, account, k)
		return err
	})
	if err != nil {
		return false, "", fmt.Errorf("importing a signing key: %w", err)
	}
	return made, renamed, nil
}

func (s *Service) importSigningKey(
	tx *Change, account string, k SigningKey,
) (made bool, renamed string, err error) {
	if err := tx.Lock(account); err != nil {
		return false, "", err
	}
	there, err := signingKeys(tx, account)
	if err != nil {
		return false, "", err
	}
	has := func(name string) bool {
		return slices.ContainsFunc(there, func(t SigningKey) bool { return t.Name == name })
	}
	switch {
	case slices.ContainsFunc(there, func(t SigningKey) bool { return t.Value == k.Value }):
		return false, "", nil
	case len(there) >= MaxSigningKeys:
		return false, "", errs.Errorf(errs.LimitReached, "The account has %d signing keys already, which is "+
			"the limit: delete one first", MaxSigningKeys)
	case has(k.Name):
		renamed = freeKeyName(k.Name, has)
		_, err := tx.Exec(`UPDATE signing_keys SET name = ?3 WHERE account = ?1 AND name = ?2`,
			account, k.Name, renamed)
		if err != nil {
			return false, "", err
		}
	}
	changed, err := tx.Exec(`INSERT INTO signing_keys (account, name, value, created)
		VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING`, account, k.Name, k.Value, sqldb.Micros(s.now()))
	if err == nil && changed == 0 {
		err = fmt.Errorf("the name %q is taken in an account that is locked", k.Name)
	}
	return err == nil, renamed, err
}

// freeKeyName returns a name like name-was, or name-was2, that no key of the account has.
func freeKeyName(name string, has func(string) bool) string {
	for n := 1; ; n++ {
		suffix := "-was"
		if n > 1 {
			suffix = fmt.Sprintf("-was%d", n)
		}
		if free := name[:min(len(name), 20-len(suffix))] + suffix; !has(free) {
			return free
		}
	}
}
