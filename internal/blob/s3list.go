package blob

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// List implements Store. Foreign objects, whose keys are not valid, are left out of their page.
func (s *S3) List(ctx context.Context, prefix, cursor string) ([]Info, string, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, s3RequestTimeout)
	defer cancel()
	in := &s3.ListObjectsV2Input{
		Bucket:  &s.bucket,
		Prefix:  aws.String(s.prefix + prefix),
		MaxKeys: aws.Int32(PageSize),
	}
	if cursor != "" {
		in.StartAfter = aws.String(s.prefix + cursor)
	}
	out, err := s.client.ListObjectsV2(ctx, in)
	if err != nil {
		return nil, "", fmt.Errorf("listing blobs %q: %w", prefix, explain(s.bucket, err))
	}
	objects, last, err := s.page(out.Contents, prefix, cursor)
	if err != nil {
		return nil, "", fmt.Errorf("listing blobs %q: %w", prefix, err)
	}
	if !aws.ToBool(out.IsTruncated) {
		return objects, "", nil
	}
	if last == cursor {
		return nil, "", fmt.Errorf("listing blobs %q: the service says that there is more "+
			"after %q, but sends nothing", prefix, cursor)
	}
	return objects, last, nil
}

// Clock returns the time of the service. It requests a list of one object, so it needs only the right to list.
func (s *S3) Clock(ctx context.Context) (time.Time, error) {
	out, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket: &s.bucket, Prefix: &s.prefix, MaxKeys: aws.Int32(1),
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the clock of the S3 service: %w", explain(s.bucket, err))
	}
	now, ok := middleware.GetServerTime(out.ResultMetadata)
	if !ok {
		return time.Time{}, errors.New("the S3 service sends no Date")
	}
	return now, nil
}

// page converts the listing of a service to objects, and returns the last key of the page, foreign
// or not. It refuses keys that are out of order: paging by key would miss objects, or never end.
func (s *S3) page(
	contents []types.Object, prefix, cursor string,
) (objects []Info, last string, err error) {
	last = cursor
	for _, o := range contents {
		key, ours := strings.CutPrefix(aws.ToString(o.Key), s.prefix)
		if ours && key == "" {
			continue // an object that stands for the folder of our prefix
		}
		if !ours || !strings.HasPrefix(key, prefix) || key <= last {
			return nil, "", fmt.Errorf("the service sends %q where only keys after %q "+
				"belong; it does not list in the order of keys", aws.ToString(o.Key), last)
		}
		last = key
		if checkKey(key) != nil {
			continue
		}
		info, err := s3Info(key, o.Size, o.LastModified)
		if err != nil {
			return nil, "", err
		}
		objects = append(objects, info)
	}
	return objects, last, nil
}
