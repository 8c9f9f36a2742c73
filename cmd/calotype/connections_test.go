package main

import "testing"

func TestConnectionsFollowTheLimitOnOpenFiles(t *testing.T) {
	t.Parallel()
	for files, want := range map[uint64]int{
		256: 64, 512: 128, 1024: 512, 4096: 3584, 1 << 20: maxConnections, 1<<64 - 1: maxConnections,
	} {
		if got := connectionsFor(files); got != want {
			t.Errorf("of %d files %d are for connections, want %d", files, got, want)
		}
	}
	got, err := connectionsAllowed()
	if err != nil || got < 1 || got > maxConnections {
		t.Errorf("%d connections are allowed here, %v", got, err)
	}
}
