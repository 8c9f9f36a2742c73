// Package errs holds the errors that the core returns: an Error has a Kind, which each surface turns into
// its own status and code, and a message that clients may see.
package errs

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"calotype/internal/sqldb"
)

// A Kind is the kind of an error, without an HTTP status. Package cfapi and package delivery each have a table from
// Kinds to wire forms, and a test that reads it.
type Kind int

// The kinds.
const (
	Internal Kind = iota // unexpected error; its text is for the log only
	Unauthenticated
	Forbidden        // valid, but the account or token does not permit it
	AccountUnknown   // no account of that ID or hash
	Invalid          // a field is wrong; the text names a valid value
	InvalidID        // a custom id is wrong
	ImageNotFound    //
	VariantNotFound  //
	KeyNotFound      // no signing key of that name
	WebhookNotFound  // no webhook or stream of that id or name
	PolicyNotFound   // no notification policy of that id
	EntryNotFound    // no entry of that value in a list of the account
	WebhookRefused   // the receiver did not accept the test event; the text has its status
	Exists           // an object with this id or name exists
	TicketUnknown    // no draft has this ticket
	TicketUsed       // the draft of the ticket has become an image
	TicketInvalid    // the ticket has expired or has too many refusals
	TicketBusy       // too many concurrent bodies for one ticket
	OffsetMismatch   // an append does not begin at the offset of its upload
	PartialBusy      // another request appends to the upload
	NotForm          // the body is not multipart/form-data
	TooLarge         // more bytes than allowed
	TooSlow          // the body arrived too slowly
	Aborted          // the client disconnected
	Unsupported      // not an accepted picture format
	Undecodable      // a picture that cannot be decoded
	PolicyRefused    // the policy of the ticket does not accept the picture
	OriginRefused    // the policy of the ticket does not accept requests of this origin
	Blocked          // the picture is on the account's list of blocked pictures
	OverLimits       // too many pixels, too long a side, too large an animation
	FetchFailed      // the picture could not be fetched from the client's URL
	SignatureRefused // the delivery URL's signature is missing, wrong or expired
	RenditionFailed  // the picture was decoded, but the output could not be encoded
	LimitReached     // a limit of the account is reached
	AccountSuspended // the operator has suspended the account
	RateLimited      // too many requests; retry after RetryAfter
	Busy             // the server is at capacity; retry after RetryAfter
	NoSpace          // the disk is full
	KindCount        // the number of kinds, not a kind
)

// An Error is a refusal by the core. Msg is one sentence that may be shown to the client. Err is for the log only,
// and may be nil.
type Error struct {
	Kind       Kind
	Msg        string
	RetryAfter time.Duration // of Busy, TicketBusy, PartialBusy and RateLimited; 0 if a retry does not help
	Err        error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Msg + ": " + e.Err.Error()
	}
	return e.Msg
}

func (e *Error) Unwrap() error { return e.Err }

// Reason returns the name of the Kind, for traces.
func (e *Error) Reason() string { return e.Kind.String() }

// Errorf returns an *Error whose message may be shown to the client.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Msg: fmt.Sprintf(format, args...)}
}

// AsError returns err as an *Error. If the database cannot be reached, or the process has too many
// files open, its Kind is Busy. If a disk is full, it is NoSpace. Any other error that is not an *Error
// is Internal, without a message.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	switch {
	case exhausted(err):
		return AtCapacity("The server has too many files open now", err)
	case sqldb.IsUnavailable(err):
		return AtCapacity("The database cannot be reached now", err)
	case IsNoSpace(err):
		return OutOfSpace(err)
	}
	return &Error{Kind: Internal, Err: err}
}

// AtCapacity returns a Busy error whose message requests a retry after a few seconds; cause may be nil.
func AtCapacity(msg string, cause error) *Error {
	return &Error{Kind: Busy, Msg: msg + "; try again in a few seconds", Err: cause,
		RetryAfter: 5 * time.Second}
}

// ClientAborted returns an Aborted error; cause may be nil.
func ClientAborted(cause error) *Error {
	return &Error{Kind: Aborted, Msg: "The request was aborted by the client", Err: cause}
}

// OutOfSpace returns a NoSpace error; cause may be nil.
func OutOfSpace(cause error) *Error {
	return &Error{Kind: NoSpace, Msg: "The server is out of disk space", Err: cause}
}

// IsNoSpace reports whether err comes from a full disk, or from the full disk of the database.
func IsNoSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || sqldb.IsFull(err)
}

// exhausted reports whether the process, or the machine, cannot open further files now.
func exhausted(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// kindNames are the names that the database stores: a release may change the numbers, but not the names.
var kindNames = [KindCount]string{
	Internal: "internal", Unauthenticated: "unauthenticated", Forbidden: "forbidden",
	AccountUnknown: "account-unknown", Invalid: "invalid", InvalidID: "invalid-id",
	ImageNotFound: "image-not-found", VariantNotFound: "variant-not-found",
	KeyNotFound: "key-not-found", Exists: "exists",
	WebhookNotFound: "webhook-not-found", PolicyNotFound: "policy-not-found",
	WebhookRefused: "webhook-refused",
	TicketUnknown:  "ticket-unknown", TicketUsed: "ticket-used", TicketInvalid: "ticket-dead",
	TicketBusy: "ticket-busy", OffsetMismatch: "offset-mismatch", PartialBusy: "partial-busy",
	NotForm: "not-form", TooLarge: "too-large",
	TooSlow: "too-slow", Aborted: "aborted", Unsupported: "unsupported",
	Undecodable: "undecodable", OverLimits: "over-limits", FetchFailed: "fetch-failed",
	PolicyRefused: "policy-refused", OriginRefused: "origin-refused",
	Blocked: "blocked", EntryNotFound: "entry-not-found",
	SignatureRefused: "signature-refused", RenditionFailed: "rendition-failed",
	LimitReached: "limit-reached", AccountSuspended: "account-suspended",
	RateLimited: "rate-limited", Busy: "busy", NoSpace: "no-space",
}

// String returns the name of k, such as "ticket-used".
func (k Kind) String() string { return kindNames[k] }

// KindNamed returns the kind of a name; Internal for an unknown name.
func KindNamed(name string) Kind {
	for k, n := range kindNames {
		if n == name {
			return Kind(k)
		}
	}
	return Internal
}
