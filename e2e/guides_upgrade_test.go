package e2e

import (
	"strings"
	"testing"
)

// upgradeGuide is the guide of upgrades.
const upgradeGuide = "upgrade"

// TestUpgradeGuide runs the commands of the guide around a start of the program. There is no second release yet:
// TestNewerSchema has a program that meets a newer schema.
func TestUpgradeGuide(t *testing.T) {
	t.Parallel()
	before, after, found := strings.Cut(guideScript(t, upgradeGuide), "calotype restore")
	if !found {
		t.Fatal("the guide does not restore")
	}
	s := newServer(t)
	dir := t.TempDir()
	old := s.uploaded(photo(t, 64, 48, 1))
	runShell(t, dir, before, s.guideEnviron())
	s.stop()
	s.start()
	late := s.uploaded(photo(t, 64, 48, 2))
	s.stop()
	runShell(t, dir, "calotype restore"+after, s.guideEnviron())
	rolledBack := &server{t: t, data: s.data + ".old", log: &logBuffer{}}
	rolledBack.start()
	t.Cleanup(rolledBack.kill)
	if p, ok := rolledBack.image(old); !ok || p.Draft {
		t.Errorf("the image of the backup is %+v, %v", p, ok)
	}
	if _, ok := rolledBack.image(late); ok {
		t.Error("an image that was uploaded after the backup is in it")
	}
}
