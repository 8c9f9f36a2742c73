package receipts

import (
	"errors"

	"github.com/go-jose/go-jose/v4"
)

// Forget has the service read the keys again.
func (s *Service) Forget() { s.keys.Store(nil) }

type brokenSigner struct{ jose.Signer }

func (brokenSigner) Sign([]byte) (*jose.JSONWebSignature, error) { return nil, errors.New("broken") }

// BreakSigners has all signers fail.
func (s *Service) BreakSigners() {
	set := *s.keys.Load()
	for i := range set.keys {
		set.keys[i].signer = brokenSigner{}
	}
	s.keys.Store(&set)
}
