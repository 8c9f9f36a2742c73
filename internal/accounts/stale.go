package accounts

// A Stale names deliveries that a Change makes out of date: those of an account, or of one image or one variant of it,
// or its private ones. Caches in front of the server may hold them: package purges has them purged.
type Stale struct {
	Account string // its ID
	Hash    string // of the account, if the Change deletes it
	Key, ID string // internal key and id of an image; "" for another kind
	Variant string // name of a variant; "" for another kind
	Private bool   // the deliveries that need a signature
}

// accountStale names all deliveries of an account.
func accountStale(account string) []Stale { return []Stale{{Account: account}} }

// VariantStale names the deliveries in a variant.
func VariantStale(account, variant string) []Stale {
	return []Stale{{Account: account, Variant: variant}}
}

// privateStale names the deliveries of private images.
func privateStale(account string) []Stale { return []Stale{{Account: account, Private: true}} }
