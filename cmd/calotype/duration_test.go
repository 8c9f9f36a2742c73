package main

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestDurationFlags: every flag for a duration takes days, and an error names the flag and what is right.
func TestDurationFlags(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"token create x --life=90d", "serve --event-retention=3d", "serve --shutdown-delay=1d",
		"sign https://host/hash/id/variant --expires=2w", "import folder . --worker-timeout=1d",
	} {
		parse := func(line string) error {
			parser, err := kong.New(&commands{}, kong.Name("calotype"), durations, kong.Exit(func(int) {}))
			if err != nil {
				t.Fatal(err)
			}
			_, err = parser.Parse(strings.Fields(line))
			return err
		}
		if err := parse(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		flag, _, _ := strings.Cut(line[strings.LastIndex(line, "--"):], "=")
		err := parse(line[:strings.LastIndex(line, "=")] + "=3days")
		if err == nil || !strings.Contains(err.Error(), flag) || !strings.Contains(err.Error(), "90d, 2w") {
			t.Errorf("%s: the error is %v", flag, err)
		}
	}
}
