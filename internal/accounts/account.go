package accounts

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"time"

	"calotype/internal/errs"
	"calotype/internal/sqldb"
	"calotype/internal/text"
	"calotype/internal/uploadpolicy"
)

// An Account owns images, variants, keys and tokens.
type Account struct {
	ID        string // 32 hex digits; in API paths
	Hash      string // 22 base64url characters; in delivery and upload URLs
	Created   time.Time
	Settings  Settings
	Suspended bool // all its requests are refused
	Used      Usage
	Limits    Limits

	UploadPolicy uploadpolicy.Policy // of each new one-time URL, for the keys that the request does not have
}

// Owner returns what the draft of a one-time URL needs of the account.
func (a Account) Owner() Owner { return Owner{id: a.ID, hash: a.Hash, policy: a.UploadPolicy.Text()} }

// An Owner is what a new draft needs of its Account, as it was when the Owner was read. Authenticate reads it together
// with the token, so that the draft of a one-time URL needs no further query.
type Owner struct {
	id, hash string
	policy   string // JSON; "" for none
}

// ID returns the id of the account.
func (o Owner) ID() string { return o.id }

// Hash returns the hash of the account, which is in public URLs.
func (o Owner) Hash() string { return o.hash }

// UploadPolicy returns the UploadPolicy of the account.
func (o Owner) UploadPolicy() (uploadpolicy.Policy, error) { return uploadpolicy.Stored(o.policy) }

var (
	accountID   = regexp.MustCompile(`^[0-9a-f]{32}$`)
	accountHash = regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`)
)

// IsHash reports whether s has the form of an account's hash.
func IsHash(s string) bool { return accountHash.MatchString(s) }

// Setup is the account in the flags of a server. An empty field means that the flag was not given.
type Setup struct {
	ID, Hash, Token string
	// Store writes the secret of a new token to a file before the token is valid, because the database has
	// only its hash. Nil: the secret is only returned.
	Store func(secret string) error
}

// SetUp returns the account of this installation, and creates it at the first start. newToken is
// the secret of its new token, "" if the account has a token or setup gives one. Nodes that start concurrently
// create one account and one token. Its errors have no Kind, except Exists for a hash of another account.
func (s *Service) SetUp(
	ctx context.Context, setup Setup,
) (a Account, newToken string, err error) {
	if err := CheckNames(setup.ID, setup.Hash); err != nil {
		return a, "", err
	}
	secret, stored := "calo_"+rand.Text(), false
	err = s.Change(ctx, func(tx *Change) error {
		if a.ID, err = s.installationAccount(tx, setup.ID); err != nil {
			return err
		}
		if a, _, err = s.insertAccount(tx, a.ID, setup.Hash); err != nil {
			return err
		}
		newToken = ""
		if setup.Token != "" {
			return s.replaceToken(tx, a.ID, envToken, Admin, setup.Token)
		}
		made, err := s.insertFirstToken(tx, a.ID, secret)
		if err == nil && made {
			newToken = secret
			if setup.Store != nil {
				stored, err = true, setup.Store(secret)
			}
		}
		return err
	})
	if err != nil {
		return Account{}, "", fmt.Errorf("setting up the account: %w", err)
	}
	if stored && newToken == "" { // the transaction was retried, and another node had made a token
		return Account{}, "", errors.New("setting up the account: another node made its first token; " +
			"the stored one is not valid")
	}
	if err := checkHash(a, setup.Hash); err != nil {
		return Account{}, "", err
	}
	return a, newToken, nil
}

// CheckSetUp returns the error with which SetUp would refuse setup, without a write. a is the account of the
// installation as it is, without an ID if SetUp would create one; a.Hash is then "" too.
func (s *Service) CheckSetUp(ctx context.Context, setup Setup) (a Account, err error) {
	if err := CheckNames(setup.ID, setup.Hash); err != nil {
		return a, err
	}
	id := setup.ID
	if id == "" {
		err := s.db.QueryRow(ctx, `SELECT account FROM installation`).Scan(&id)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return a, fmt.Errorf("reading the account of the installation: %w", err)
		}
	}
	a, err = scanAccount(s.db.QueryRow(ctx, selectAccount+` WHERE id = ?1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return Account{}, s.checkNewAccount(ctx, setup)
	}
	if err != nil {
		return Account{}, fmt.Errorf("reading the account of the installation: %w", err)
	}
	if err := checkHash(a, setup.Hash); err != nil || setup.Token == "" {
		return a, err
	}
	there, err := scanToken(s.db.QueryRow(ctx, selectToken+` WHERE sha256 = ?1`, text.Hash(setup.Token)))
	if errors.Is(err, sql.ErrNoRows) {
		return a, nil
	}
	if err != nil {
		return a, fmt.Errorf("reading the tokens: %w", err)
	}
	return a, checkReplacement(there, a.ID, Admin)
}

// checkNewAccount returns the error with which SetUp would refuse to create an account. Its token is checked by
// SetUp only.
func (s *Service) checkNewAccount(ctx context.Context, setup Setup) error {
	if setup.Hash == "" {
		return nil
	}
	var taken bool
	err := s.db.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM accounts WHERE hash = ?1)`, setup.Hash).Scan(&taken)
	if err != nil {
		return fmt.Errorf("reading the hashes of the accounts: %w", err)
	}
	if taken {
		return errHashTaken(setup.Hash)
	}
	return nil
}

// errHashTaken is the error of a hash that another account has.
func errHashTaken(hash string) error {
	return errs.Errorf(errs.Exists, "another account has the hash %s already", hash)
}

// checkHash returns an error if given, "" for none, is not the hash of an account.
func checkHash(a Account, given string) error {
	if given != "" && given != a.Hash {
		return fmt.Errorf("the account %s has the hash %s, which is in URLs already given out; "+
			"-account-hash cannot change it to %s", a.ID, a.Hash, given)
	}
	return nil
}

// CheckNames returns an error if the ID or the hash of an account has the wrong form. Either may be "".
func CheckNames(id, hash string) error {
	if id != "" && !accountID.MatchString(id) {
		return errors.New("the account id is not valid: it must be 32 lower-case hex digits")
	}
	if hash != "" && !IsHash(hash) {
		return errors.New("the account hash is not valid: it must be 22 characters of base64url")
	}
	return nil
}

// insertAccount inserts an account with its first signing key, and runs Hooks.Created. If the id exists, it
// only reads the account, and made is false. Error: Exists if another account has the hash.
func (s *Service) insertAccount(tx *Change, id, hash string) (a Account, made bool, err error) {
	if hash == "" {
		sum := sha256.Sum256([]byte(id))
		hash = base64.RawURLEncoding.EncodeToString(sum[:])[:22]
	}
	inserted, err := tx.Exec(`INSERT INTO accounts (id, hash, created, suspended, used_images,
		used_bytes, used_drafts, minted, mint_minute, max_images, max_bytes, max_drafts, max_mints,
		kept_counted, max_kept, max_edits)
		VALUES (?1, ?2, ?3, 0, 0, 0, 0, 0, 0, -1, -1, ?4, -1, ?3, ?5, ?6)
		ON CONFLICT DO NOTHING`, id, hash, sqldb.Micros(s.now()), defaultMaxDrafts, defaultMaxKept,
		defaultMaxEdits)
	if err != nil {
		return a, false, err
	}
	if inserted > 0 {
		if err := s.hooks.Created(tx, id); err != nil {
			return a, false, err
		}
		if err := s.insertSigningKey(tx, id, defaultSigningKey); err != nil {
			return a, false, err
		}
	}
	a, err = scanAccount(tx.QueryRow(selectAccount+` WHERE id = ?1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return a, false, errHashTaken(hash)
	}
	return a, inserted > 0, err
}

// ByID returns the account with an ID. Error: AccountUnknown.
func (s *Service) ByID(ctx context.Context, id string) (Account, error) {
	return s.one(ctx, `id`, id)
}

// Create creates a further account. An empty id means a random one, an empty hash the one that is computed from
// the ID. Errors: Invalid, Exists.
func (s *Service) Create(ctx context.Context, id, hash string) (a Account, err error) {
	if err := CheckNames(id, hash); err != nil {
		return a, errs.Errorf(errs.Invalid, "%v", err)
	}
	id = cmp.Or(id, text.NewHexID())
	err = s.Change(ctx, func(tx *Change) error {
		var made bool
		a, made, err = s.insertAccount(tx, id, hash)
		if err == nil && !made {
			err = errs.Errorf(errs.Exists, "there is an account of this id already")
		}
		return err
	})
	if err != nil {
		return Account{}, fmt.Errorf("making an account: %w", err)
	}
	return a, nil
}

// All returns all accounts, oldest first.
func (s *Service) All(ctx context.Context) ([]Account, error) {
	all, err := sqldb.Select(s.db.Reader(ctx), scanAccount, selectAccount+` ORDER BY created, id`)
	if err != nil {
		return nil, fmt.Errorf("reading the accounts: %w", err)
	}
	return all, nil
}

// Suspend suspends an account, or resumes it if suspended is false. It deletes no data. Error: AccountUnknown.
func (s *Service) Suspend(ctx context.Context, id string, suspended bool) error {
	return s.set(ctx, id, `suspended`, int64(sqldb.BoolInt(suspended)), accountStale(id))
}

// limitColumns are the limits of an account by the names that operators use.
var limitColumns = map[string]string{
	"images": `max_images`, "bytes": `max_bytes`, "drafts": `max_drafts`, "upload-urls": `max_mints`,
	"kept": `max_kept`, "edits": `max_edits`,
}

// SetLimit sets a limit of an account, "images", "bytes", "drafts", "upload-urls", "kept" or "edits", to a
// number or to NoLimit. It deletes no rows of an account that is over the new limit. Errors: AccountUnknown,
// Invalid.
func (s *Service) SetLimit(ctx context.Context, id, limit string, n int64) error {
	column, ok := limitColumns[limit]
	if !ok || n < NoLimit {
		return errs.Errorf(errs.Invalid, "the limit %s=%d is not valid: it is a number of images, bytes, "+
			"drafts, one-time URLs, kept bytes or edits, or %d for none", limit, n, NoLimit)
	}
	return s.set(ctx, id, column, n, nil)
}

// SetUploadPolicy sets the default policy of new one-time URLs of an account; a zero policy removes it. Error:
// AccountUnknown.
func (s *Service) SetUploadPolicy(ctx context.Context, id string, p uploadpolicy.Policy) error {
	return s.set(ctx, id, `upload_policy`, sqldb.NullText(p.Text()), nil)
}

func (s *Service) set(ctx context.Context, id, column string, value any, stale []Stale) error {
	err := s.ChangeInReserve(ctx, func(tx *Change) error {
		tx.Invalidate(stale)
		changed, err := tx.Exec(`UPDATE accounts SET `+column+` = ?2 WHERE id = ?1`, id, value)
		if err == nil && changed == 0 {
			err = ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("changing an account: %w", err)
	}
	return nil
}

// First returns the account that the first start created. Error: AccountUnknown before the first start.
func (s *Service) First(ctx context.Context) (Account, error) {
	a, err := scanAccount(s.db.QueryRow(ctx,
		selectAccount+` WHERE id = (SELECT account FROM installation)`))
	return a, sqldb.RowError("reading the first account", err, errNoAccount)
}

// ByHash returns the account with a hash in its public URLs. Error: AccountUnknown.
func (s *Service) ByHash(ctx context.Context, hash string) (Account, error) {
	return s.one(ctx, `hash`, hash)
}

// errNoAccount says that the installation has no account.
var errNoAccount = errs.Errorf(errs.AccountUnknown, "there is no account yet: the first start makes one")

// ErrSeveralAccounts says that the caller must name an account, because the installation has several.
var ErrSeveralAccounts = errors.New("accounts: there are several accounts")

// Only returns the account of an installation with one account. Errors: ErrSeveralAccounts; AccountUnknown before
// the first start.
func (s *Service) Only(ctx context.Context) (Account, error) {
	all, err := sqldb.Select(s.db.Reader(ctx), scanAccount, selectAccount+` LIMIT 2`)
	switch {
	case err != nil:
		return Account{}, fmt.Errorf("reading accounts: %w", err)
	case len(all) > 1:
		return Account{}, ErrSeveralAccounts
	case len(all) == 0:
		return Account{}, errNoAccount
	}
	return all[0], nil
}

func (s *Service) one(ctx context.Context, column, value string) (Account, error) {
	a, err := scanAccount(s.db.QueryRow(ctx, selectAccount+` WHERE `+column+` = ?1`, value))
	return a, sqldb.RowError("reading an account", err, ErrNotFound)
}

// OrUnknown returns AccountUnknown instead of an internal error of a write if the account was deleted since its
// authentication: a foreign key refuses the row of the write. It returns other errors as they are.
func (s *Service) OrUnknown(ctx context.Context, id string, err error) error {
	if errs.AsError(err).Kind != errs.Internal {
		return err
	}
	if _, unknown := s.ByID(ctx, id); errors.Is(unknown, ErrNotFound) {
		return unknown
	}
	return err
}

const selectAccount = `SELECT id, hash, created, flexible_variants, private_options, private_custom_ids,
	lenient_options, browser_ttl, strip_originals, auto_quality, suspended, used_images, used_bytes, used_drafts,
	kept_bytes, max_images, max_bytes, max_drafts, max_mints, max_kept, max_edits, upload_policy FROM accounts`

func scanAccount(r sqldb.Row) (a Account, err error) {
	var created, ttl int64
	var policy sql.NullString
	set := &a.Settings
	err = r.Scan(&a.ID, &a.Hash, &created, &set.FlexibleVariants, &set.PrivateOptions, &set.PrivateCustomIDs,
		&set.LenientOptions, &ttl, &set.StripOriginals, &set.AutoQuality, &a.Suspended,
		&a.Used.Images, &a.Used.Bytes, &a.Used.Drafts, &a.Used.Kept,
		&a.Limits.Images, &a.Limits.Bytes, &a.Limits.Drafts, &a.Limits.UploadURLs,
		&a.Limits.Kept, &a.Limits.Edits, &policy)
	if err != nil {
		return a, err
	}
	a.UploadPolicy, err = uploadpolicy.Stored(policy.String)
	a.Created, a.Settings.BrowserTTL = sqldb.FromMicros(created), accountTTL(ttl)
	return a, err
}
