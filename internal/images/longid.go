package images

import (
	"database/sql"
	"errors"
	"fmt"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/fields"
)

// An Image object has a URL for each variant, and each URL holds its id and the variant's name.
// The bytes of these together are limited when an id or a variant is written, so that an image, an
// event and a webhook's message are limited. Any id of 200 characters is within it in 100 variants,
// and any id of 1024 letters and digits.

const (
	// maxURLBytes limits the ids and names in the URLs of one image.
	maxURLBytes = 256 << 10
	// longID is the number of bytes of an id in a URL up to which any variants are within the limit.
	longID = (maxURLBytes - MaxVariants*maxVariantName) / MaxVariants
)

// longIDBytes returns the bytes of an id in a URL if they may exceed the limit, else 0.
func longIDBytes(id string) int {
	if n := fields.EscapedBytes(id); n > longID {
		return n
	}
	return 0
}

// checkURLs returns InvalidID if the URLs of an image, whose row was just written, exceed the limit.
// The transaction must have locked the account, so that this one and one that adds a variant see each
// other's rows.
func checkURLs(tx *accounts.Change, account, id string) error {
	long := longIDBytes(id)
	if long == 0 {
		return nil
	}
	var variants, bytes int
	err := tx.QueryRow(`SELECT count(*), COALESCE(SUM(LENGTH(id)), 0) FROM variants WHERE account = ?1`,
		account).Scan(&variants, &bytes)
	if err != nil {
		return fmt.Errorf("measuring the URLs of an image: %w", err)
	}
	if bytes += variants * long; bytes > maxURLBytes {
		return fields.RefusedID(fmt.Sprintf("it takes %d bytes in a URL, and in the URLs of the account's %d "+
			"variants the ids and names would have %d bytes together, of which %d are allowed: choose a "+
			"shorter id, or delete variants", long, variants, bytes, maxURLBytes))
	}
	return nil
}

// urlsWithinBound is the condition that a new variant, with the parameters account, name and
// maxURLBytes, keeps the URLs of the account's longest id within the limit.
const urlsWithinBound = `(SELECT COALESCE(MAX(long_id), 0) FROM images
		WHERE account = ?1 AND long_id > 0) * (SELECT count(*) + 1 FROM variants WHERE account = ?1)
	+ (SELECT COALESCE(SUM(LENGTH(id)), 0) FROM variants WHERE account = ?1)
	+ LENGTH(CAST(?2 AS TEXT)) <= CAST(?7 AS BIGINT)`

// tooLongFor returns an error that names an image whose URLs would exceed the limit with another variant; nil
// if no image has a long id.
func tooLongFor(tx *accounts.Change, account string) error {
	var id string
	err := tx.QueryRow(`SELECT id FROM images WHERE account = ?1 AND long_id > 0
		ORDER BY long_id DESC LIMIT 1`, account).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for long ids: %w", err)
	}
	return errs.Errorf(errs.LimitReached, "With one more variant the ids and names in the URLs of the image "+
		"%.60q... would have more than %d bytes together: its id takes %d in each. Delete a variant, or "+
		"images with ids that long", id, maxURLBytes, fields.EscapedBytes(id))
}
