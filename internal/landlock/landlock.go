// Package landlock restricts a thread, and the processes that it starts, to some files (landlock(7)). A worker has
// several threads before its main runs, so the server restricts its thread that starts workers, and every worker
// inherits the restrictions.
package landlock

// Newest is the newest version of landlock that this package uses.
const Newest = 7

// SignalScope is the first version that blocks signals to processes outside.
const SignalScope = 6
