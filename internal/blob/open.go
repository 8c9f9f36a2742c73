package blob

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Open returns the store at an address: s3://bucket/prefix with the optional query keys endpoint
// (http or https URL of an S3-compatible service), region and path_style (true or false), or else
// the path of a directory. The address holds no secret; see OpenS3 for the credentials.
func Open(ctx context.Context, uri string) (Store, error) {
	remote, err := isS3(uri)
	if err != nil {
		return nil, err
	}
	if !remote {
		return OpenDir(uri)
	}
	c, err := parseS3(uri)
	if err != nil {
		return nil, err
	}
	return OpenS3(ctx, c)
}

// isS3 reports whether an address is that of a bucket, not of a directory.
func isS3(uri string) (bool, error) {
	switch scheme, _, ok := strings.Cut(uri, "://"); {
	case uri == "":
		return false, errors.New("blob: no address; give a directory or s3://bucket/prefix")
	case !ok && strings.HasPrefix(strings.ToLower(uri), "s3:"):
		return false, errors.New("blob: an address that begins with s3: must be like s3://bucket/prefix; " +
			"./s3:name is a directory of such a name")
	case !ok:
		return false, nil
	case scheme != "s3":
		return false, fmt.Errorf("blob: unknown kind of address %q; give s3://bucket/prefix "+
			"or the plain path of a directory", scheme+"://")
	}
	return true, nil
}

// CheckAddress returns nil if Open accepts the form of the address, otherwise the error of Open. It opens nothing.
func CheckAddress(uri string) error {
	remote, err := isS3(uri)
	if err != nil || !remote {
		return err
	}
	c, err := parseS3(uri)
	if err != nil {
		return err
	}
	return c.check()
}

// OpenToRead is Open for a caller that does not write: it neither creates nor changes a directory.
func OpenToRead(ctx context.Context, uri string) (Store, error) {
	if remote, err := isS3(uri); remote || err != nil {
		return Open(ctx, uri)
	}
	return OpenDirToRead(uri)
}

// parseS3 reads an s3:// address. Its errors do not repeat the address: someone may have written
// a secret into it.
func parseS3(uri string) (S3Config, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return S3Config{}, fmt.Errorf("blob: the s3:// address cannot be read: %w",
			withoutURL(err))
	}
	if u.User != nil {
		return S3Config{}, errors.New("blob: the s3:// address holds credentials; set " +
			"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead")
	}
	if u.Fragment != "" {
		return S3Config{}, errors.New("blob: the s3:// address holds a '#'; its form is " +
			"s3://bucket/prefix?endpoint=...&region=...&path_style=true")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return S3Config{}, errors.New("blob: the query of the s3:// address is not in " +
			"the form key=value&key=value")
	}
	c := S3Config{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	return c, c.setQuery(query)
}

// setQuery sets the fields that the query of an s3:// address names.
func (c *S3Config) setQuery(query url.Values) (err error) {
	for key, values := range query {
		switch key {
		case "endpoint":
			c.Endpoint = values[0]
		case "region":
			c.Region = values[0]
		case "path_style":
			if c.PathStyle, err = strconv.ParseBool(values[0]); err != nil {
				return errors.New("blob: path_style in the s3:// address is true or false")
			}
		default:
			return fmt.Errorf("blob: unknown key %q in the s3:// address; known are endpoint, path_style, region", key)
		}
		if len(values) != 1 {
			return fmt.Errorf("blob: %s stands twice in the s3:// address", key)
		}
	}
	return nil
}

// withoutURL takes the address out of an error of package url.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
