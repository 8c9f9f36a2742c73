package cdn

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"

	"calotype/internal/outbound"
	"calotype/internal/purges"
	"calotype/internal/text"
)

// cloudfrontPaths is the number of paths with a wildcard that CloudFront invalidates at once. It refuses a request
// beyond it while others are in progress, with the status 400, and the Sender retries.
const cloudfrontPaths = 15

// credentialsTime limits the first reading of the credentials.
const credentialsTime = 10 * time.Second

// The body of a request for an invalidation.
type (
	invalidationBatch struct {
		XMLName         xml.Name `xml:"http://cloudfront.amazonaws.com/doc/2020-05-31/ InvalidationBatch"`
		Paths           invalidationPaths
		CallerReference string
	}
	invalidationPaths struct {
		Quantity int
		Items    invalidationItems
	}
	invalidationItems struct{ Path []string }
)

// cloudfrontMessage is a request for an invalidation of paths, because CloudFront knows no tags.
func cloudfrontMessage(s *Sender, batch []purges.Purge) (outbound.Message, error) {
	paths := pathsOf(batch, cloudfrontPaths)
	body, err := xml.Marshal(invalidationBatch{
		Paths:           invalidationPaths{Quantity: len(paths), Items: invalidationItems{paths}},
		CallerReference: text.NewKey(),
	})
	return outbound.Message{Method: http.MethodPost, Body: append([]byte(xml.Header), body...), Header: http.Header{
		"Content-Type": {"text/xml"},
	}, Sign: s.Receiver.sign}, err
}

// newSigner returns the function that signs requests to CloudFront with the credentials of AWS, which may be renewed.
func newSigner(ctx context.Context, address string) (func(*http.Request) error, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the AWS configuration: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, credentialsTime)
	defer cancel()
	if _, err := cfg.Credentials.Retrieve(limited); err != nil {
		return nil, fmt.Errorf("no AWS credentials for -purge-form=cloudfront: set AWS_ACCESS_KEY_ID and "+
			"AWS_SECRET_ACCESS_KEY, or AWS_PROFILE with a shared credentials file: %w", err)
	}
	region, signer := regionOf(address), v4.NewSigner()
	return func(r *http.Request) error {
		credentials, err := cfg.Credentials.Retrieve(r.Context())
		if err != nil {
			return fmt.Errorf("reading the AWS credentials: %w", err)
		}
		body, err := r.GetBody()
		if err != nil {
			return fmt.Errorf("reading a message to sign it: %w", err)
		}
		hash := sha256.New()
		if _, err := io.Copy(hash, body); err != nil {
			return fmt.Errorf("reading a message to sign it: %w", err)
		}
		return signer.SignHTTP(r.Context(), credentials, r, hex.EncodeToString(hash.Sum(nil)), "cloudfront", region,
			time.Now())
	}, nil
}

// regionOf returns the region of CloudFront's API at an address: it has a single one outside of China.
func regionOf(address string) string {
	u, err := url.Parse(address)
	if err == nil && strings.HasPrefix(u.Hostname(), "cloudfront.cn-") {
		return strings.Split(u.Hostname(), ".")[1]
	}
	return "us-east-1"
}
