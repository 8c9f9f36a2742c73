package images

import (
	"context"
	"fmt"

	"calotype/internal/render"
	"calotype/internal/sqldb"
)

// A Variant is a named recipe.
type Variant struct {
	ID                     string
	Options                render.Options
	NeverRequireSignedURLs bool // anyone may see a private image in this variant
}

// defaultVariant is what a new account of Cloudflare's has, as recorded.
var defaultVariant = Variant{ID: "public", Options: render.Options{
	Fit: render.ScaleDown, Width: 1366, Height: 768, Metadata: render.MetadataNone,
}}

// VariantNames returns the names of the account's variants in alphabetical order.
func (s *Service) VariantNames(ctx context.Context, account string) ([]string, error) {
	rows, err := s.DB.Query(ctx, `SELECT id FROM variants WHERE account = ?1 ORDER BY id`, account)
	if err != nil {
		return nil, fmt.Errorf("reading the variants: %w", err)
	}
	return collect(rows, func(r row) (name string, err error) {
		err = r.Scan(&name)
		return name, err
	})
}

func insertVariant(tx *sqldb.Tx, account string, v Variant) error {
	_, err := tx.Exec(`INSERT INTO variants (account, id, options, never_signed)
		VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING`,
		account, v.ID, v.Options.String(), flag(v.NeverRequireSignedURLs))
	return err
}

const selectVariant = `SELECT id, options, never_signed FROM variants`

func scanVariant(r row) (v Variant, err error) {
	var options string
	if err := r.Scan(&v.ID, &options, &v.NeverRequireSignedURLs); err != nil {
		return v, err
	}
	v.Options, err = render.ParseOptions(options)
	return v, err
}
