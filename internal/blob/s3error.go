package blob

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// An s3Refusal is the error of a request to an S3 service with a text for operators, instead of the SDK's.
type s3Refusal struct {
	text string
	err  error // of the SDK
}

func (e *s3Refusal) Error() string { return e.text }
func (e *s3Refusal) Unwrap() error { return e.err }

// s3Reasons are the codes of answers that an operator can do something about, and what that is. %s is the bucket.
var s3Reasons = map[string]string{
	"NoSuchBucket": "the S3 service has no bucket %s: create it, or correct the s3:// address",
	"InvalidAccessKeyId": "the S3 service does not know the access key for the bucket %s: check " +
		"AWS_ACCESS_KEY_ID, and the endpoint in the s3:// address",
	"SignatureDoesNotMatch": "the S3 service refuses the signature of a request to the bucket %s: check " +
		"AWS_SECRET_ACCESS_KEY",
	"ExpiredToken": "the session of the credentials for the bucket %s has expired: renew AWS_SESSION_TOKEN",
	"AccessDenied": "the credentials have too few rights in the bucket %s: a store needs s3:GetObject, " +
		"s3:PutObject, s3:DeleteObject and s3:ListBucket; an import needs s3:GetObject and s3:ListBucket",
	"RequestTimeTooSkewed": "the clock of this machine differs too much from that of the S3 service of the " +
		"bucket %s: set the clock",
}

// s3WrongRegion are the codes of answers to a request that was sent to a wrong region.
var s3WrongRegion = []string{"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException",
	"TemporaryRedirect", "MovedPermanently"}

// explain returns the error of a request about a bucket with a text that says what to change; nil stays nil. An error
// that it does not know has the code and message of the service, or the error of the connection.
func explain(bucket string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, ErrReplaced) {
		return err
	}
	var answer smithy.APIError
	var response *awshttp.ResponseError
	var connection *net.OpError
	text := ""
	switch {
	case errors.As(err, &answer):
		text = s3Reason(bucket, answer, errorHeader(err))
	case errors.As(err, &response):
		text = fmt.Sprintf("the S3 service of the bucket %s answered %d", bucket, response.HTTPStatusCode())
	case errors.As(err, &connection):
		text = fmt.Sprintf("the S3 service of the bucket %s cannot be reached: %v", bucket, connection)
	default:
		return err
	}
	if errors.As(err, &response) && response.RequestID != "" {
		text += " (request " + response.RequestID + ")"
	}
	return &s3Refusal{text, err}
}

// s3Reason returns the text of an answer.
func s3Reason(bucket string, answer smithy.APIError, header http.Header) string {
	code := answer.ErrorCode()
	wrong := slices.Contains(s3WrongRegion, code)
	// The answer to HEAD has no body, so its code is that of the status.
	if region := header.Get("X-Amz-Bucket-Region"); region != "" && (wrong || code == "BadRequest") {
		return fmt.Sprintf("the bucket %s is in the region %s: set region=%s in the s3:// address", bucket,
			region, region)
	}
	if wrong {
		return fmt.Sprintf("the S3 service does not have the bucket %s in this region: correct region=... or "+
			"endpoint=... in the s3:// address, or AWS_REGION: %s", bucket, answer.ErrorMessage())
	}
	if code == "Forbidden" { // the answer to HEAD has no body
		code = "AccessDenied"
	}
	if reason, ok := s3Reasons[code]; ok {
		return fmt.Sprintf(reason, bucket)
	}
	return strings.TrimSuffix(fmt.Sprintf("the S3 service of the bucket %s answered %s: %s", bucket, code,
		answer.ErrorMessage()), ": ")
}

// errorHeader returns the header of the answer that an error is about; empty without an answer.
func errorHeader(err error) http.Header {
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.HTTPResponse() != nil {
		return response.HTTPResponse().Header
	}
	return http.Header{}
}
