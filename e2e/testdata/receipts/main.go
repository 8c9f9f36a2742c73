// Runs the verifier of the guide on cases, and prints a line for each: "accepted", or "refused: " with the reason.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/go-jose/go-jose/v4"
)

func main() {
	var jwks jose.JSONWebKeySet
	var cases []struct {
		Receipt            string
		Metadata, Expected map[string]any
	}
	read(os.Args[1], &jwks)
	read(os.Args[2], &cases)
	for _, c := range cases {
		if c.Metadata != nil {
			c.Expected["metadataSha256"] = MetadataHash(c.Metadata)
		}
		if _, err := VerifyReceipt(c.Receipt, jwks, c.Expected); err != nil {
			fmt.Printf("refused: %q\n", err)
		} else {
			fmt.Println("accepted")
		}
	}
}

func read(name string, into any) {
	content, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(content, into)
	}
	if err != nil {
		log.Fatal(err)
	}
}
