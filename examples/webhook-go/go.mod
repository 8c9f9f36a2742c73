// An example, in a separate module: copy it into yours.
module calotype/examples/webhook-go

go 1.26.0

require github.com/standard-webhooks/standard-webhooks/libraries v0.0.1
