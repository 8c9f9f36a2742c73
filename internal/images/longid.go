package images

import (
	"database/sql"
	"errors"
	"fmt"

	"calotype/internal/errs"
)

// An image is told with a URL for each variant, and each URL holds its id and the variant's name.
// The bytes of these together are bounded where an id or a variant is written, so that an image, an
// event and a webhook's message have a bound. Any id of 200 characters is within it in 100 variants,
// and any id of 1024 letters and digits.

const (
	// maxURLBytes bounds the ids and names in the URLs of one image.
	maxURLBytes = 256 << 10
	// longID is how many bytes an id may have in a URL to be within the bound in any variants.
	longID = (maxURLBytes - MaxVariants*maxVariantName) / MaxVariants
)

// longIDBytes returns the bytes of an id in a URL where the bound may be passed, else 0.
func longIDBytes(id string) int {
	if n := EscapedBytes(id); n > longID {
		return n
	}
	return 0
}

// checkURLs refuses an image, whose row was just written, when its URLs pass the bound: InvalidID. The
// transaction must hold the account: then each sees what the other has written, of this and of a
// transaction that adds a variant.
func checkURLs(tx *Change, account, id string) error {
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
		return refusedID(fmt.Sprintf("it takes %d bytes in a URL, and in the URLs of the account's %d "+
			"variants the ids and names would have %d bytes together, of which %d are allowed: choose a "+
			"shorter id, or delete variants", long, variants, bytes, maxURLBytes))
	}
	return nil
}

// urlsWithinBound is a condition on a variant that is to be inserted, with the parameters account,
// name and maxURLBytes: the URLs of the account's longest id stay within the bound.
const urlsWithinBound = `(SELECT COALESCE(MAX(long_id), 0) FROM images
		WHERE account = ?1 AND long_id > 0) * (SELECT count(*) + 1 FROM variants WHERE account = ?1)
	+ (SELECT COALESCE(SUM(LENGTH(id)), 0) FROM variants WHERE account = ?1)
	+ LENGTH(CAST(?2 AS TEXT)) <= CAST(?7 AS BIGINT)`

// tooLongFor says which image's URLs another variant would bring over the bound; nil when there is
// none with a long id.
func tooLongFor(tx *Change, account string) error {
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
		"images with ids that long", id, maxURLBytes, EscapedBytes(id))
}
