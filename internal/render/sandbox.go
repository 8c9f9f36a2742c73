package render

// A SandboxState is what a worker says of its own confinement.
type SandboxState struct {
	Complete bool   `json:"complete"` // every part is in force
	Detail   string `json:"detail"`   // the parts, such as "limits, landlock 7, seccomp"
}

// maxData is the most writable memory that a worker may ever have, in bytes.
const maxData = 1 << 30
