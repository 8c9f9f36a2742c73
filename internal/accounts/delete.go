package accounts

import (
	"errors"
	"fmt"
)

// AccountTables are the tables of this package with rows of accounts, in the order of their deletion.
var AccountTables = []string{"signing_keys", "tokens"}

// DeleteRows deletes the rows of an account in some tables. The account must be locked.
func (c *Change) DeleteRows(account string, tables ...string) error {
	for _, table := range tables {
		if _, err := c.Exec(`DELETE FROM `+table+` WHERE account = ?1`, account); err != nil {
			return fmt.Errorf("deleting from %s: %w", table, err)
		}
	}
	return nil
}

// DeleteAccount deletes an account that has no images, with its tokens and keys. The account must be locked.
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
