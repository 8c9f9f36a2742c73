package accounts

import (
	"errors"
	"fmt"
)

// AccountTables are the tables of this package with a column account, in the order of their deletion. Package
// images deletes the rows of an account from them and from the AccountTables of webhooks and images.
var AccountTables = []string{"signing_keys", "tokens"}

// DeleteRows deletes the rows of an account from the tables. The account must be locked.
func (c *Change) DeleteRows(account string, tables ...string) error {
	for _, table := range tables {
		if _, err := c.Exec(`DELETE FROM `+table+` WHERE account = ?1`, account); err != nil {
			return fmt.Errorf("deleting from %s: %w", table, err)
		}
	}
	return nil
}

// DeleteAccount deletes an account without images, with its tokens, batch tokens and signing keys. The account must
// be locked. It fails if the account has an image.
func (c *Change) DeleteAccount(id string) error {
	_, err := c.Exec(`DELETE FROM batch_tokens WHERE parent IN (
		SELECT key FROM tokens WHERE account = ?1)`, id)
	if err != nil {
		return fmt.Errorf("deleting batch tokens: %w", err)
	}
	if err := c.DeleteRows(id, AccountTables...); err != nil {
		return err
	}
	gone, err := c.Exec(`DELETE FROM accounts WHERE id = ?1
		AND NOT EXISTS (SELECT 1 FROM images WHERE account = ?1)`, id)
	if err == nil && gone == 0 {
		err = errors.New("it was deleted or has got an image concurrently")
	}
	return err
}
