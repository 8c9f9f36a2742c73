package cfapi

import (
	"net/url"
	"slices"
	"strings"
)

// URLs are the public bases of the roles, such as "https://img.example.com": without a path
// and without a trailing slash. Generated URLs come from them, never from a Host header.
type URLs struct{ API, Upload, Delivery, Batch string }

// Hosts returns the names of the hosts of the bases, without ports.
func (u URLs) Hosts() (hosts []string) {
	for _, base := range []string{u.API, u.Upload, u.Delivery, u.Batch} {
		at, err := url.Parse(base)
		if err == nil && at.Hostname() != "" && !slices.Contains(hosts, at.Hostname()) {
			hosts = append(hosts, at.Hostname())
		}
	}
	return hosts
}

// A OneTimeURL is the answer to direct_upload.
type OneTimeURL struct {
	ID        string `json:"id"`
	UploadURL string `json:"uploadURL"`
}

// OneTimeURL returns the one-time URL of a draft; hash is its account's.
func (u URLs) OneTimeURL(hash, id, ticket string) OneTimeURL {
	path := "/upload/" + hash + "/" + EscapeID(id) + "?ticket=" + url.QueryEscape(ticket)
	return OneTimeURL{ID: id, UploadURL: u.Upload + path}
}

// Variants returns the delivery URL of an image in each of the named variants; never nil.
func (u URLs) Variants(hash, id string, names []string) []string {
	all := make([]string, 0, len(names))
	base := u.Delivery + "/" + hash + "/" + EscapeID(id) + "/"
	for _, name := range names {
		all = append(all, base+url.PathEscape(name))
	}
	return all
}

// VariantsSize returns the additional bytes of Variants in an item of a Series, compared with an empty
// list. names is the number of names, namesBytes their length together.
func (u URLs) VariantsSize(hash, id string, names, namesBytes int) int64 {
	if names == 0 {
		return 0
	}
	url := len(u.Delivery) + len("/") + len(hash) + len("/") + len(EscapeID(id)) + len("/")
	line := len("\n") + len(itemIndent) + len(`    "",`)
	end := len("\n") + len(itemIndent) + len("  ") - len(",")
	return int64(names*(url+line) + namesBytes + end)
}

// EscapeID returns an image id in its form in a path. Slashes are not escaped; all other characters that
// are special in a path segment are percent-encoded, so a percent sign is %25.
func EscapeID(id string) string {
	segments := strings.Split(id, "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	return strings.Join(segments, "/")
}
