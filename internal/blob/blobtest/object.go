package blobtest

import (
	"bytes"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// PutObject stores an object under any key, as another program does.
func (g Gateway) PutObject(ctx context.Context, key string, content []byte) error {
	client := s3.New(s3.Options{
		BaseEndpoint: &g.Endpoint, Region: g.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(g.AccessKey, g.SecretKey, ""),
	})
	_, err := client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &g.Bucket, Key: aws.String(key), Body: bytes.NewReader(content),
	})
	if err != nil {
		return fmt.Errorf("storing the object %q: %w", key, err)
	}
	return nil
}
