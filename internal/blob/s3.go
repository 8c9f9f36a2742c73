package blob

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// Bounds of the requests to an S3 service.
const (
	s3Attempts       = 5                // in all, of one request
	s3Backoff        = 2 * time.Second  // the longest pause between two tries
	s3DialTimeout    = 10 * time.Second // also of the TLS handshake
	s3HeaderTimeout  = 30 * time.Second // from the end of a request to its answer
	s3StallTimeout   = 60 * time.Second // one read of an object's bytes
	s3RequestTimeout = 2 * time.Minute  // all tries of a request, without its body
	s3SlowestUpload  = 64 << 10         // bytes a second; slower than this is given up
)

// s3Conflicts are the codes of answers 409 to a request that met a concurrent one, and that may be
// retried. The second one is versitygw's on a file system, if a Delete removes the folder of a Put.
var s3Conflicts = []string{"OperationAborted", "ExistingObjectIsDirectory"}

// S3Config has the location of an S3 store.
type S3Config struct {
	Bucket    string
	Prefix    string // prefix of every key, with a slash between; "" for no prefix
	Endpoint  string // http or https URL; "" for AWS, or for AWS_ENDPOINT_URL_S3
	Region    string // "" for AWS_REGION or the profile, us-east-1 with an Endpoint
	PathStyle bool   // the bucket is in the path, not in the host name
}

// An S3 is a Store in a bucket. An object is written by one PutObject of known size, which S3
// services make visible completely or not at all, and only when it is durable. It needs the rights
// s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket; without the last one S3 does
// not report that an object is absent.
type S3 struct {
	client *s3.Client
	bucket string
	prefix string // "" or ends with a slash
}

// OpenS3 returns the store in a bucket, which must exist. The credentials come from the
// sources of AWS's tools: the AWS_* variables, the shared files, a container's or a web
// identity's provider if the environment names one. The metadata service of EC2 is asked only
// if AWS_EC2_METADATA_DISABLED is set to false: outside of EC2 the request would go to an unknown host.
// OpenS3 sends nothing to the bucket.
func OpenS3(ctx context.Context, c S3Config) (*S3, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	cfg, err := config.LoadDefaultConfig(ctx, c.options()...)
	if err != nil {
		return nil, fmt.Errorf("reading the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return nil, errors.New("blob: no S3 region: add region=... to the s3:// address or " +
			"set AWS_REGION")
	}
	ctx, cancel := context.WithTimeout(ctx, s3HeaderTimeout)
	defer cancel()
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return nil, fmt.Errorf("blob: no S3 credentials: set AWS_ACCESS_KEY_ID and "+
			"AWS_SECRET_ACCESS_KEY, or AWS_PROFILE with a shared credentials file; to use "+
			"the role of an EC2 instance set AWS_EC2_METADATA_DISABLED=false: %w", err)
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = c.PathStyle
		if c.Endpoint != "" {
			o.BaseEndpoint = aws.String(c.Endpoint)
		}
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	s := &S3{client: client, bucket: c.Bucket}
	if c.Prefix != "" {
		s.prefix = c.Prefix + "/"
	}
	return s, nil
}

// check returns an error if c is not valid. The error does not quote the endpoint, which may contain a
// secret by mistake.
func (c S3Config) check() error {
	if c.Bucket == "" {
		return errors.New("blob: no bucket; the address is s3://bucket/prefix")
	}
	if c.Prefix != "" {
		if err := checkKey(c.Prefix); err != nil {
			return fmt.Errorf("the prefix of the s3:// address: %w", err)
		}
	}
	if c.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil {
		return fmt.Errorf("blob: the S3 endpoint cannot be read: %w", withoutURL(err))
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "" {
		return errors.New("blob: the S3 endpoint must be like https://s3.example.com:9000, " +
			"without user, query or fragment")
	}
	return nil
}

// options returns the options that differ from the SDK's defaults.
func (c S3Config) options() []func(*config.LoadOptions) error {
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(s3HTTPClient()),
		config.WithRetryer(func() aws.Retryer {
			standard := retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts = s3Attempts
				o.MaxBackoff = s3Backoff
			})
			return retry.AddWithErrorCodes(standard, s3Conflicts...)
		}),
		// The SDK would send its checksum as a trailer of a chunked body, which many
		// S3-compatible services refuse. Put sends a Content-MD5, which they all know.
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if !strings.EqualFold(os.Getenv("AWS_EC2_METADATA_DISABLED"), "false") {
		options = append(options, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	}
	if c.Region != "" {
		options = append(options, config.WithRegion(c.Region))
	} else if c.Endpoint != "" {
		options = append(options, config.WithDefaultRegion("us-east-1"))
	}
	return options
}

// s3HTTPClient returns a client without a limit on the whole of a request: objects are read at
// their reader's pace. It is of the SDK's type, which AWS_CA_BUNDLE needs.
func s3HTTPClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = s3DialTimeout }).
		WithTransportOptions(func(t *http.Transport) {
			t.TLSHandshakeTimeout = s3DialTimeout
			t.ResponseHeaderTimeout = s3HeaderTimeout
		})
}

// Put implements Store.
func (s *S3) Put(ctx context.Context, key string, f *os.File, size int64) error {
	if err := checkKey(key); err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && (size < 0 || info.Size() < size) {
		err = fmt.Errorf("the file has %d bytes, not %d", info.Size(), size)
	}
	if err != nil {
		return fmt.Errorf("storing blob %s: %w", key, err)
	}
	if err := s.put(ctx, key, io.NewSectionReader(f, 0, size)); err != nil {
		return fmt.Errorf("storing blob %s: %w", key, explain(s.bucket, err))
	}
	return nil
}

// put sends an object. body can be read again for each retry.
func (s *S3) put(ctx context.Context, key string, body *io.SectionReader) error {
	sum := md5.New() // against transmission errors, not against attackers
	if _, err := io.Copy(sum, ctxReader{ctx, body}); err != nil {
		return err
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sending := time.Duration(body.Size()/s3SlowestUpload) * time.Second
	ctx, cancel := context.WithTimeout(ctx, s3RequestTimeout+sending)
	defer cancel()
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket:        &s.bucket,
		Key:           aws.String(s.prefix + key),
		Body:          body,
		ContentLength: aws.Int64(body.Size()),
		ContentMD5:    aws.String(base64.StdEncoding.EncodeToString(sum.Sum(nil))),
		ContentType:   aws.String("application/octet-stream"),
	})
	return err
}

// Open implements Store. The reader must be closed; it gives up on a read that stalls for a
// minute.
func (s *S3) Open(ctx context.Context, key string, from int64) (io.ReadCloser, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	get := &s3.GetObjectInput{Bucket: &s.bucket, Key: aws.String(s.prefix + key)}
	if from != 0 {
		get.Range = aws.String(fmt.Sprintf("bytes=%d-", from))
	}
	out, err := s.client.GetObject(ctx, get)
	if err == nil && from != 0 && aws.ToString(out.ContentRange) == "" {
		err = errors.Join(errors.New("the S3 service ignores a range"), out.Body.Close())
	}
	if err != nil {
		cancel()
		return nil, s.wrap("opening", key, err)
	}
	return &s3Reader{key: key, body: out.Body, cancel: cancel, stall: s3StallTimeout}, nil
}

// Stat implements Store.
func (s *S3) Stat(ctx context.Context, key string) (Info, error) {
	if err := checkKey(key); err != nil {
		return Info{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s3RequestTimeout)
	defer cancel()
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: &s.bucket,
		Key:    aws.String(s.prefix + key),
	})
	if err != nil {
		return Info{}, s.wrap("looking at", key, err)
	}
	return s3Info(key, out.ContentLength, out.LastModified)
}

// Delete implements Store.
func (s *S3) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s3RequestTimeout)
	defer cancel()
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{
		Bucket: &s.bucket,
		Key:    aws.String(s.prefix + key),
	})
	// S3 returns no error for an absent object, some compatible services do.
	if err = s.wrap("deleting", key, err); errors.Is(err, ErrNotExist) {
		return nil
	}
	return err
}

// s3Info returns an Info, or an error if the service has left out a field: the sweep depends on the
// age of an object.
func s3Info(key string, size *int64, modified *time.Time) (Info, error) {
	if size == nil || modified == nil {
		return Info{}, fmt.Errorf("looking at blob %s: the S3 service does not state its size "+
			"or age", key)
	}
	return Info{Key: key, Size: *size, Modified: *modified}, nil
}

// wrap wraps the error of one object; nil stays nil.
func (s *S3) wrap(doing, key string, err error) error {
	if err == nil {
		return nil
	}
	var answer smithy.APIError
	if errors.As(err, &answer) {
		switch answer.ErrorCode() {
		case "NoSuchKey", "NotFound": // the latter for HEAD, whose answer has no body
			err = ErrNotExist
		}
	}
	return fmt.Errorf("%s blob %s: %w", doing, key, explain(s.bucket, err))
}

// An s3Reader reads an object and gives up when one read takes too long.
type s3Reader struct {
	key    string
	body   io.ReadCloser
	cancel context.CancelFunc // of the request
	stall  time.Duration
}

func (r *s3Reader) Read(p []byte) (int, error) {
	timer := time.AfterFunc(r.stall, r.cancel)
	n, err := r.body.Read(p)
	stopped := timer.Stop()
	if err != nil && err != io.EOF {
		if !stopped {
			err = fmt.Errorf("no bytes came for %v: %w", r.stall, err)
		}
		err = fmt.Errorf("reading blob %s: %w", r.key, err)
	}
	return n, err
}

func (r *s3Reader) Close() error {
	defer r.cancel()
	return r.body.Close()
}
