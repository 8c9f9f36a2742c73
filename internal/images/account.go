package images

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"time"

	"calotype/internal/sqldb"
)

// An Account owns images, variants, keys and tokens.
type Account struct {
	ID      string // 32 hex digits; in API paths
	Hash    string // 22 base64url characters; in delivery and upload URLs
	Created time.Time
	Config  AccountConfig
}

// A Scope is what a Token may do.
type Scope string

// The scopes, each allowing all that the one before it allows.
const (
	Read  Scope = "read"
	Write Scope = "write"
	Admin Scope = "admin"
)

var scopeRank = map[Scope]int{Read: 1, Write: 2, Admin: 3}

// Allows reports whether a token of scope s may do what needs scope need.
func (s Scope) Allows(need Scope) bool {
	return scopeRank[s] >= scopeRank[need] && scopeRank[need] > 0
}

// A Token is the right to use the API of an Account. Only the SHA-256 of its secret is kept.
type Token struct {
	Key     string
	Account string // the account's ID
	Name    string
	Scope   Scope
	Created time.Time
}

// The token that -api-token names, and the one that the first start makes.
const (
	envToken   = "env"
	firstToken = "first"
)

var (
	accountID   = regexp.MustCompile(`^[0-9a-f]{32}$`)
	accountHash = regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`)
	tokenName   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
)

// AccountSetup says which account a server is started for. Empty fields were not given.
type AccountSetup struct {
	ID, Hash, Token string
	// Keep is given the secret of a new token before it counts, since it is kept nowhere else.
	// Nil keeps nothing.
	Keep func(secret string) error
}

// SetUpAccount returns the account of this installation, made at the first start. newToken is the
// secret of the token made with it, "" when a token was there or given. Nodes that start at once
// make one account and one token.
func (s *Service) SetUpAccount(
	ctx context.Context, setup AccountSetup,
) (a Account, newToken string, err error) {
	if setup.ID != "" && !accountID.MatchString(setup.ID) {
		return a, "", errors.New("the account id is not valid: it must be 32 lower-case hex digits")
	}
	if setup.Hash != "" && !accountHash.MatchString(setup.Hash) {
		return a, "", errors.New("the account hash is not valid: it must be 22 characters of base64url")
	}
	secret := "calo_" + rand.Text()
	err = s.DB.Tx(ctx, func(tx *sqldb.Tx) error {
		if a.ID, err = s.installationAccount(tx, setup.ID); err != nil {
			return err
		}
		if a, err = s.insertAccount(tx, a.ID, setup.Hash); err != nil {
			return err
		}
		newToken = ""
		if setup.Token != "" {
			return s.replaceToken(tx, a.ID, envToken, Admin, setup.Token)
		}
		made, err := s.insertFirstToken(tx, a.ID, secret)
		if err == nil && made {
			newToken = secret
			if setup.Keep != nil {
				err = setup.Keep(secret)
			}
		}
		return err
	})
	if err != nil {
		return Account{}, "", fmt.Errorf("setting up the account: %w", err)
	}
	if setup.Hash != "" && setup.Hash != a.Hash {
		return Account{}, "", fmt.Errorf("the account %s has the hash %s, which is in URLs already "+
			"given out; -account-hash cannot change it to %s", a.ID, a.Hash, setup.Hash)
	}
	return a, newToken, nil
}

// installationAccount returns the id of the account made at the first start, given if it is set.
func (s *Service) installationAccount(tx *sqldb.Tx, given string) (string, error) {
	first := given
	if first == "" {
		id := make([]byte, 16)
		rand.Read(id)
		first = hex.EncodeToString(id)
	}
	_, err := tx.Exec(`INSERT INTO installation (only_one, id, account, marked, created)
		VALUES (1, ?1, ?2, 0, ?3) ON CONFLICT DO NOTHING`, newKey(), first, micros(s.Now()))
	if err != nil || given != "" {
		return given, err
	}
	err = tx.QueryRow(`SELECT account FROM installation`).Scan(&first)
	return first, err
}

// insertAccount makes the account with its first variant and key, unless it is there.
func (s *Service) insertAccount(tx *sqldb.Tx, id, hash string) (Account, error) {
	if hash == "" {
		sum := sha256.Sum256([]byte(id))
		hash = base64.RawURLEncoding.EncodeToString(sum[:])[:22]
	}
	made, err := tx.Exec(`INSERT INTO accounts (id, hash, created) VALUES (?1, ?2, ?3)
		ON CONFLICT DO NOTHING`, id, hash, micros(s.Now()))
	if err != nil {
		return Account{}, err
	}
	if made > 0 {
		if err := insertVariant(tx, id, defaultVariant); err != nil {
			return Account{}, err
		}
		if err := s.insertSigningKey(tx, id, defaultSigningKey); err != nil {
			return Account{}, err
		}
	}
	a, err := scanAccount(tx.QueryRow(selectAccount+` WHERE id = ?1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return a, fmt.Errorf("another account has the hash %s already", hash)
	}
	return a, err
}

func (s *Service) replaceToken(
	tx *sqldb.Tx, account, name string, scope Scope, secret string,
) error {
	_, err := tx.Exec(`DELETE FROM tokens WHERE account = ?1 AND (name = ?2 AND sha256 <> ?3)`,
		account, name, hashHex(secret))
	if err != nil {
		return err
	}
	_, err = tx.Exec(insertToken,
		newKey(), account, name, scope, hashHex(secret), micros(s.Now()))
	if err != nil {
		return err
	}
	there, err := scanToken(tx.QueryRow(selectToken+` WHERE sha256 = ?1`, hashHex(secret)))
	if err == nil && (there.Account != account || !there.Scope.Allows(scope)) {
		err = fmt.Errorf("-api-token is the token %q already, of scope %s of the account %s: "+
			"choose another", there.Name, there.Scope, there.Account)
	}
	return err
}

// insertFirstToken makes the first token of an account that has none.
func (s *Service) insertFirstToken(tx *sqldb.Tx, account, secret string) (made bool, err error) {
	changed, err := tx.Exec(`INSERT INTO tokens (key, account, name, scope, sha256, created)
		SELECT ?1, CAST(?2 AS TEXT), ?3, ?4, ?5, CAST(?6 AS BIGINT)
		WHERE NOT EXISTS (SELECT 1 FROM tokens WHERE account = ?2)
		ON CONFLICT DO NOTHING`,
		newKey(), account, firstToken, Admin, hashHex(secret), micros(s.Now()))
	return changed > 0, err
}

// CreateToken makes a token and returns its secret, which is kept nowhere.
func (s *Service) CreateToken(
	ctx context.Context, account, name string, scope Scope,
) (secret string, err error) {
	if !tokenName.MatchString(name) {
		return "", Errorf(Invalid, "the token's name %q is not valid: it takes 1 to 64 letters, "+
			"digits, dots, dashes and underscores", name)
	}
	if scopeRank[scope] == 0 {
		return "", Errorf(Invalid, "the scope %q is not valid: it is read, write or admin", scope)
	}
	secret = "calo_" + rand.Text()
	made, err := s.DB.Exec(ctx, insertToken,
		newKey(), account, name, scope, hashHex(secret), micros(s.Now()))
	if err != nil {
		return "", fmt.Errorf("making a token: %w", err)
	}
	if made == 0 {
		return "", Errorf(Exists, "there is a token %q already", name)
	}
	return secret, nil
}

// RevokeToken deletes a token by its name.
func (s *Service) RevokeToken(ctx context.Context, account, name string) error {
	gone, err := s.DB.Exec(ctx, `DELETE FROM tokens WHERE account = ?1 AND name = ?2`, account, name)
	if err != nil {
		return fmt.Errorf("revoking a token: %w", err)
	}
	if gone == 0 {
		return Errorf(Invalid, "there is no token %q", name)
	}
	return nil
}

// Tokens returns the tokens of an account by name.
func (s *Service) Tokens(ctx context.Context, account string) ([]Token, error) {
	rows, err := s.DB.Query(ctx, selectToken+` WHERE account = ?1 ORDER BY name`, account)
	if err != nil {
		return nil, fmt.Errorf("reading the tokens: %w", err)
	}
	return collect(rows, scanToken)
}

// Authenticate returns the Token of a secret; Unauthenticated when there is none.
func (s *Service) Authenticate(ctx context.Context, secret string) (Token, error) {
	token, err := scanToken(s.DB.QueryRow(ctx, selectToken+` WHERE sha256 = ?1`, hashHex(secret)))
	if errors.Is(err, sql.ErrNoRows) {
		return token, Errorf(Unauthenticated, "Authentication error")
	}
	if err != nil {
		return token, fmt.Errorf("reading a token: %w", err)
	}
	return token, nil
}

// Account returns the account of an ID; AccountUnknown when there is none.
func (s *Service) Account(ctx context.Context, id string) (Account, error) {
	return s.oneAccount(ctx, `id`, id)
}

// FirstAccount returns the account made at the first start; AccountUnknown before it.
func (s *Service) FirstAccount(ctx context.Context) (Account, error) {
	a, err := scanAccount(s.DB.QueryRow(ctx,
		selectAccount+` WHERE id = (SELECT account FROM installation)`))
	if errors.Is(err, sql.ErrNoRows) {
		return a, Errorf(AccountUnknown, "there is no account yet: the first start makes one")
	}
	return a, err
}

func (s *Service) oneAccount(ctx context.Context, column, value string) (Account, error) {
	a, err := scanAccount(s.DB.QueryRow(ctx, selectAccount+` WHERE `+column+` = ?1`, value))
	if errors.Is(err, sql.ErrNoRows) {
		return a, Errorf(AccountUnknown, "no such account")
	}
	if err != nil {
		return a, fmt.Errorf("reading an account: %w", err)
	}
	return a, nil
}

const (
	selectAccount = `SELECT id, hash, created, flexible_variants, browser_ttl FROM accounts`
	selectToken   = `SELECT key, account, name, scope, created FROM tokens`
	insertToken   = `INSERT INTO tokens (key, account, name, scope, sha256, created)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING`
)

// row is a *sql.Row or the current one of *sql.Rows.
type row interface{ Scan(dest ...any) error }

func scanAccount(r row) (a Account, err error) {
	var created, ttl int64
	err = r.Scan(&a.ID, &a.Hash, &created, &a.Config.FlexibleVariants, &ttl)
	a.Created, a.Config.BrowserTTL = fromMicros(created), accountTTL(ttl)
	return a, err
}

func scanToken(r row) (t Token, err error) {
	var created int64
	err = r.Scan(&t.Key, &t.Account, &t.Name, &t.Scope, &created)
	t.Created = fromMicros(created)
	return t, err
}

// collect scans and closes rows.
func collect[T any](rows *sql.Rows, scan func(row) (T, error)) (all []T, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("reading a row: %w", err)
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
