package main

import (
	"strings"
	"testing"
)

// TestFolderOfTheFirstSteps: the printed command names the data folder, also one of the environment, which another
// terminal lacks.
func TestFolderOfTheFirstSteps(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("CALOTYPE_DATA", folder)
	if flags := (StateFlags{Data: folder}).flagsAgain(); !strings.Contains(flags, " -data "+folder) {
		t.Errorf("the flags are %q", flags)
	}
}
