// Package v4 is the wire of Cloudflare's v4 API as far as two surfaces speak it: the envelope, the
// Image object and the public URLs, for the API and for the one-time upload URL.
//
// Every answer is one JSON object, the envelope, pretty-printed as the service does. A surface
// calls Prepare once a request, and then one of WriteResult and WriteError. What goes wrong is an
// Error; refusals.go is the one table from the core's kinds of refusal.
package v4
