package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

// A Bucket lists and reads the objects of a bucket of another program, whose keys may be any text. It writes nothing,
// and needs the rights s3:ListBucket and s3:GetObject.
type Bucket struct {
	client *s3.Client
	name   string
	prefix string // "" or ends with a slash
}

// An Object is an object of a Bucket. Its key is without the prefix of the Bucket.
type Object struct {
	Key      string
	Size     int64 // bytes
	Modified time.Time
	ETag     string // changes when the object is replaced
}

// ErrReplaced says that an object was replaced or deleted after it was listed.
var ErrReplaced = errors.New("blob: the object was replaced or deleted after it was listed")

// OpenBucket opens the objects below the prefix of an s3:// address, as Open does.
func OpenBucket(ctx context.Context, uri string) (*Bucket, error) {
	if remote, err := isS3(uri); err != nil || !remote {
		return nil, errors.Join(errors.New("the address of a bucket must be like "+
			"s3://bucket/prefix?endpoint=https://s3.example.com&region=eu-central-1"), err)
	}
	c, err := parseS3(uri)
	if err != nil {
		return nil, err
	}
	prefix := c.Prefix
	c.Prefix = "" // that of a store has fewer characters
	store, err := OpenS3(ctx, c)
	if err != nil {
		return nil, err
	}
	b := &Bucket{client: store.client, name: c.Bucket}
	if prefix != "" {
		b.prefix = prefix + "/"
	}
	return b, nil
}

// Each calls fn with each object below the prefix, in the order of the service, and returns fn's first error. Objects
// that stand for a folder are left out: their keys end with a slash.
func (b *Bucket) Each(ctx context.Context, fn func(Object) error) error {
	in := &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &b.prefix, MaxKeys: aws.Int32(PageSize)}
	for {
		out, err := b.list(ctx, in)
		if err != nil {
			return fmt.Errorf("listing the bucket %s: %w", b.name, err)
		}
		for _, o := range out.Contents {
			object, err := b.object(o)
			if err != nil {
				return fmt.Errorf("listing the bucket %s: %w", b.name, err)
			}
			if strings.HasSuffix(object.Key, "/") || object.Key == "" {
				continue
			}
			if err := fn(object); err != nil {
				return err
			}
		}
		next := aws.ToString(out.NextContinuationToken)
		if !aws.ToBool(out.IsTruncated) {
			return nil
		}
		if next == "" || next == aws.ToString(in.ContinuationToken) {
			return fmt.Errorf("listing the bucket %s: the service sends the same page repeatedly", b.name)
		}
		in.ContinuationToken = &next
	}
}

func (b *Bucket) list(ctx context.Context, in *s3.ListObjectsV2Input) (*s3.ListObjectsV2Output, error) {
	ctx, cancel := context.WithTimeout(ctx, s3RequestTimeout)
	defer cancel()
	out, err := b.client.ListObjectsV2(ctx, in)
	return out, explain(b.name, err)
}

// object returns an object of a list.
func (b *Bucket) object(o types.Object) (Object, error) {
	key, ours := strings.CutPrefix(aws.ToString(o.Key), b.prefix)
	if !ours || o.Size == nil || o.LastModified == nil {
		return Object{}, fmt.Errorf("the service sends %q without its size or age, or outside of the prefix",
			aws.ToString(o.Key))
	}
	return Object{Key: key, Size: *o.Size, Modified: *o.LastModified, ETag: aws.ToString(o.ETag)}, nil
}

// Open opens the bytes of an object, which the caller closes; only the first head bytes if head is not 0. The reader
// gives up on a read that stalls for a minute. Error: ErrReplaced.
func (b *Bucket) Open(ctx context.Context, o Object, head int64) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	get := &s3.GetObjectInput{Bucket: &b.name, Key: aws.String(b.prefix + o.Key)}
	if head > 0 && head < o.Size {
		get.Range = aws.String(fmt.Sprintf("bytes=0-%d", head-1))
	}
	out, err := b.client.GetObject(ctx, get)
	var answer smithy.APIError
	switch {
	case errors.As(err, &answer) && answer.ErrorCode() == "NoSuchKey":
		err = ErrReplaced
	case err == nil && o.ETag != "" && out.ETag != nil && *out.ETag != o.ETag:
		err = errors.Join(ErrReplaced, out.Body.Close())
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("reading the object %q: %w", o.Key, explain(b.name, err))
	}
	return &s3Reader{key: o.Key, body: out.Body, cancel: cancel, stall: s3StallTimeout}, nil
}
