package accounts

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"time"

	"calotype/internal/errs"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// A Scope is a set of rights of a Token.
type Scope string

// The scopes. Each includes the rights of the one before it.
const (
	Read  Scope = "read"
	Write Scope = "write"
	Admin Scope = "admin"
)

var scopeRank = map[Scope]int{Read: 1, Write: 2, Admin: 3}

// Allows reports whether scope s includes the rights of scope need.
func (s Scope) Allows(need Scope) bool {
	return scopeRank[s] >= scopeRank[need] && scopeRank[need] > 0
}

// A Token is the right to use the API of an Account. Its row has only the SHA-256 of its secret.
type Token struct {
	Key     string
	Account string // the account's ID
	Name    string
	Scope   Scope
	Created time.Time
	Expires time.Time // zero: never
	Used    time.Time // last use, to the hour; zero: none is known

	Owner Owner // of Account; set by Authenticate and AuthenticateBatch, not in lists of tokens
}

// Expired reports whether the token has expired at a time.
func (t Token) Expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// NewToken describes a token that CreateToken creates.
type NewToken struct {
	Name  string // unique in the account; RevokeToken takes it
	Scope Scope
	Life  time.Duration // from now, 1 s to 100 years; 0: it never expires
}

// The bounds of a token's life. The wire form of an expiry has whole seconds.
const (
	minTokenLife = time.Second
	maxTokenLife = 100 * 365 * 24 * time.Hour
)

// The names of the token that -api-token sets, and of the token that the first start creates.
const (
	envToken   = "env"
	firstToken = "first"
)

var tokenName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// replaceToken inserts a token with a given secret, and deletes the previous one of its name. It fails if the
// secret is that of another account's token, of one without the scope, or of one that expires.
func (s *Service) replaceToken(
	tx *Change, account, name string, scope Scope, secret string,
) error {
	_, err := tx.Exec(`DELETE FROM tokens WHERE account = ?1 AND (name = ?2 AND sha256 <> ?3)`,
		account, name, text.Hash(secret))
	if err != nil {
		return err
	}
	_, err = tx.Exec(insertToken,
		text.NewKey(), account, name, scope, text.Hash(secret), sqldb.Micros(s.now()), nil)
	if err != nil {
		return err
	}
	there, err := scanToken(tx.QueryRow(selectToken+` WHERE sha256 = ?1`, text.Hash(secret)))
	if err != nil {
		return err
	}
	return checkReplacement(there, account, scope)
}

// checkReplacement returns an error if a token with the secret of -api-token cannot be the token of an account.
func checkReplacement(there Token, account string, scope Scope) error {
	if !there.Expires.IsZero() {
		return fmt.Errorf("-api-token is the token %q already, which expires: choose another", there.Name)
	}
	if there.Account != account || !there.Scope.Allows(scope) {
		return fmt.Errorf("-api-token is the token %q already, of scope %s of the account %s: "+
			"choose another", there.Name, there.Scope, there.Account)
	}
	return nil
}

// insertFirstToken inserts the first token of an account, unless the account has a token; made reports which.
func (s *Service) insertFirstToken(tx *Change, account, secret string) (made bool, err error) {
	changed, err := tx.Exec(`INSERT INTO tokens (key, account, name, scope, sha256, created, batches)
		SELECT ?1, CAST(?2 AS TEXT), ?3, ?4, ?5, CAST(?6 AS BIGINT), 0
		WHERE NOT EXISTS (SELECT 1 FROM tokens WHERE account = ?2)
		ON CONFLICT DO NOTHING`,
		text.NewKey(), account, firstToken, Admin, text.Hash(secret), sqldb.Micros(s.now()))
	return changed > 0, err
}

// CreateToken creates a token and returns its secret, which is not stored. Errors: Invalid, Exists,
// AccountUnknown.
func (s *Service) CreateToken(
	ctx context.Context, account string, t NewToken,
) (secret string, err error) {
	switch {
	case !tokenName.MatchString(t.Name):
		return "", errs.Errorf(errs.Invalid, "the token's name %q is not valid: it takes 1 to 64 letters, "+
			"digits, dots, dashes and underscores", t.Name)
	case scopeRank[t.Scope] == 0:
		return "", errs.Errorf(errs.Invalid, "the scope %q is not valid: it is read, write or admin", t.Scope)
	case t.Life != 0 && (t.Life < minTokenLife || t.Life > maxTokenLife):
		return "", errs.Errorf(errs.Invalid, "the life %v is not valid: it is a second to 100 years, "+
			"0 for ever", t.Life)
	}
	if _, err := s.ByID(ctx, account); err != nil {
		return "", err // a foreign key must not fail inside the transaction
	}
	now := s.now()
	var expires any
	if t.Life != 0 {
		expires = sqldb.Micros(now.Add(t.Life))
	}
	secret = "calo_" + rand.Text()
	made, err := s.Exec(ctx, insertToken,
		text.NewKey(), account, t.Name, t.Scope, text.Hash(secret), sqldb.Micros(now), expires)
	if err != nil {
		return "", fmt.Errorf("making a token: %w", err)
	}
	if made == 0 {
		return "", errs.Errorf(errs.Exists, "there is a token %q already", t.Name)
	}
	return secret, nil
}

// RevokeToken deletes the token with a name, and its batch tokens. Error: Invalid if the account has no such token.
func (s *Service) RevokeToken(ctx context.Context, account, name string) error {
	var gone int64
	err := s.ChangeInReserve(ctx, func(tx *Change) (err error) {
		// Batch tokens are invalid without their parent: this only frees their rows.
		_, err = tx.Exec(`DELETE FROM batch_tokens WHERE parent IN (
			SELECT key FROM tokens WHERE account = ?1 AND name = ?2)`, account, name)
		if err != nil {
			return err
		}
		gone, err = tx.Exec(`DELETE FROM tokens WHERE account = ?1 AND name = ?2`, account, name)
		return err
	})
	if err != nil {
		return fmt.Errorf("revoking a token: %w", err)
	}
	if gone == 0 {
		return errs.Errorf(errs.Invalid, "there is no token %q", name)
	}
	return nil
}

// Tokens returns the tokens of an account in the order of their names.
func (s *Service) Tokens(ctx context.Context, account string) ([]Token, error) {
	all, err := sqldb.Select(s.db.Reader(ctx), scanToken, selectToken+` WHERE account = ?1 ORDER BY name`, account)
	if err != nil {
		return nil, fmt.Errorf("reading the tokens: %w", err)
	}
	return all, nil
}

// Authenticate returns the Token with a secret. Errors: Unauthenticated if the secret is unknown or the token has
// expired; AccountSuspended, together with the Token.
func (s *Service) Authenticate(ctx context.Context, secret string) (Token, error) {
	return s.authenticate(ctx, secret, ` WHERE t.sha256 = ?1`)
}

// authenticate returns the token that meets the condition where, whose parameters are the hash of a secret, ?1,
// and optionally the time, ?2.
func (s *Service) authenticate(
	ctx context.Context, secret, where string, now ...any,
) (t Token, err error) {
	var suspended bool
	var hash string
	var policy sql.NullString
	r := s.db.QueryRow(ctx, `SELECT t.key, t.account, t.name, t.scope, t.created, t.expires, t.used,
		a.hash, a.upload_policy, a.suspended FROM tokens t JOIN accounts a ON a.id = t.account`+where,
		append([]any{text.Hash(secret)}, now...)...)
	t, err = scanTokenAnd(r, &hash, &policy, &suspended)
	t.Owner = Owner{id: t.Account, hash: hash, policy: policy.String}
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return t, errs.Errorf(errs.Unauthenticated, "Authentication error")
	case err != nil:
		return t, fmt.Errorf("reading a token: %w", err)
	case t.Expired(s.now()):
		return Token{}, errs.Errorf(errs.Unauthenticated, "Authentication error: this token has expired")
	}
	s.uses.note(t.Key, t.Used, s.now())
	return t, Account{Suspended: suspended}.CheckActive()
}

const (
	selectToken = `SELECT key, account, name, scope, created, expires, used FROM tokens`
	insertToken = `INSERT INTO tokens (key, account, name, scope, sha256, created, expires, batches)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0) ON CONFLICT DO NOTHING`
)

func scanToken(r sqldb.Row) (Token, error) { return scanTokenAnd(r) }

// scanTokenAnd scans the columns of selectToken and further columns.
func scanTokenAnd(r sqldb.Row, more ...any) (t Token, err error) {
	var created int64
	var expires, used sql.NullInt64
	err = r.Scan(append([]any{&t.Key, &t.Account, &t.Name, &t.Scope, &created, &expires, &used}, more...)...)
	t.Created, t.Expires = sqldb.FromMicros(created), sqldb.OptionalTime(expires)
	t.Used = sqldb.OptionalTime(used)
	return t, err
}
