// Package cfapi is the wire format of Cloudflare's v4 API that two surfaces share: the envelope, the
// Image object and the public URLs, for the API and for the one-time upload URL.
//
// Every answer is one JSON object, the envelope, formatted as Cloudflare formats it. A surface calls
// Prepare once for each request, and then WriteResult or WriteError. A refusal is an Error; refusals.go
// has the table from the core's kinds of errors.
package cfapi
