package images

import "calotype/internal/receipts"

// draftFacts are the facts of a draft that the receipt of its upload states. An edit does not change them.
type draftFacts struct {
	id         string
	metaSHA256 string // of the metadata at the creation: receipts.MetadataHash
	audience   string // "" for none
}

// facts returns the facts of the draft with this ticket.
func (t Ticket) facts(draft Image) draftFacts {
	return draftFacts{id: draft.ID, metaSHA256: t.metaSHA256}
}

// receipt returns the receipt of an upload that has made the draft an image. It cannot fail.
func (d draftFacts) receipt(by *receipts.Signer, img Image) string {
	o := img.Original
	return by.Sign(receipts.Claims{
		Image: img.ID, Draft: d.id, Audience: d.audience, MetadataSHA256: d.metaSHA256, SHA256: o.SHA256,
		Bytes: o.Size, Format: string(o.Header.Format), Width: o.Width, Height: o.Height,
	}, img.Uploaded)
}
