// Package seccomp restricts the system calls of this process (seccomp(2)). A Policy is a list of rules, one for each
// system call. Load compiles it for the kernel and puts it in force.
//
// It is for Linux on the architectures that the server supports, amd64 and arm64.
package seccomp

import (
	"fmt"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
)

// A Policy decides about each system call of a process.
type Policy struct {
	Default Action // of system calls without a rule, and of those whose rule does not apply
	Rules   []Rule
}

// A Rule decides about one system call.
type Rule struct {
	Call   string // its name; Load ignores the rule if the architecture does not have it
	Action Action
	When   []All // the rule applies if one of them does; without any it always applies
}

// All are conditions that must all be met.
type All []Condition

// A Condition is a comparison with one argument of a system call.
type Condition struct {
	Argument int // from 0 to 5
	Is       Comparison
	Value    uint64
}

// A Comparison is how an argument is compared with a value.
type Comparison int

// The comparisons.
const (
	Equal  Comparison = iota // the argument is the value
	AnyBit                   // the argument has one of the bits of the value, or more
	NoBit                    // the argument has none of the bits of the value
)

// Equals is a condition on one argument.
func Equals(argument int, v uint64) Condition { return Condition{argument, Equal, v} }

// HasAny is a condition on one argument.
func HasAny(argument int, bits uint64) Condition { return Condition{argument, AnyBit, bits} }

// HasNone is a condition on one argument.
func HasNone(argument int, bits uint64) Condition { return Condition{argument, NoBit, bits} }

// Always returns a rule without conditions for each of the system calls.
func Always(a Action, calls ...string) []Rule {
	rules := make([]Rule, len(calls))
	for i, call := range calls {
		rules[i] = Rule{Call: call, Action: a}
	}
	return rules
}

// The offsets in struct seccomp_data, in bytes, and the sizes of its fields. An argument has a low word and a high
// word; both architectures are little-endian.
const (
	numberOffset   = 0
	archOffset     = 4
	argumentOffset = 16
	argumentSize   = 8
	wordSize       = 4
	arguments      = 6
)

// maxSkip is the greatest distance of a conditional jump.
const maxSkip = 255

// x32 is the bit of the numbers of amd64's second interface, which no rule is about.
const x32 = 0x40000000

// program compiles p. A system call of another architecture or of x32 is refused whatever the default is: its numbers
// mean other calls.
//
// After the conditions of a rule the program returns; it never continues with the next rule. Only while no condition
// has been read does the register hold the number of the system call, so a later comparison would take a word of an
// argument for it.
func (p Policy) program() ([]bpf.Instruction, error) {
	info, err := arch.GetInfo("")
	if err != nil {
		return nil, fmt.Errorf("the numbers of system calls: %w", err)
	}
	refuse := bpf.RetConstant{Val: uint32(Refuse)}
	out := []bpf.Instruction{
		bpf.LoadAbsolute{Off: archOffset, Size: wordSize},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(info.ID), SkipTrue: 1},
		refuse,
		bpf.LoadAbsolute{Off: numberOffset, Size: wordSize},
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: x32, SkipFalse: 1},
		refuse,
	}
	seen := map[string]bool{}
	for _, r := range p.Rules {
		if seen[r.Call] {
			return nil, fmt.Errorf("%s has two rules", r.Call)
		}
		seen[r.Call] = true
		number, ok := info.SyscallNames[r.Call]
		if !ok {
			continue
		}
		body, err := r.body(p.Default)
		if err != nil {
			return nil, err
		}
		out = append(out, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(number), SkipFalse: uint8(len(body))})
		out = append(out, body...)
	}
	return append(out, bpf.RetConstant{Val: uint32(p.Default)}), nil
}

// body returns the instructions for the rule's system call. They end with a return on every path.
func (r Rule) body(otherwise Action) ([]bpf.Instruction, error) {
	if len(r.When) == 0 {
		return []bpf.Instruction{bpf.RetConstant{Val: uint32(r.Action)}}, nil
	}
	var out []bpf.Instruction
	for _, all := range r.When {
		one := []bpf.Instruction{bpf.RetConstant{Val: uint32(r.Action)}}
		for i := len(all) - 1; i >= 0; i-- {
			test, err := all[i].test(len(one))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.Call, err)
			}
			one = append(test, one...)
		}
		out = append(out, one...)
	}
	out = append(out, bpf.RetConstant{Val: uint32(otherwise)})
	if len(out) > maxSkip {
		return nil, fmt.Errorf("%s has too many conditions", r.Call)
	}
	return out, nil
}

// test returns instructions that continue after themselves if the condition is met, and skip the next n otherwise.
func (c Condition) test(n int) ([]bpf.Instruction, error) {
	if c.Argument < 0 || c.Argument >= arguments {
		return nil, fmt.Errorf("a system call has no argument %d", c.Argument)
	}
	if n+2 > maxSkip {
		return nil, fmt.Errorf("too many conditions")
	}
	low := bpf.LoadAbsolute{Off: argumentOffset + argumentSize*uint32(c.Argument), Size: wordSize}
	high := low
	high.Off += wordSize
	lowBits, highBits, skip := uint32(c.Value), uint32(c.Value>>32), uint8(n)
	switch c.Is {
	case Equal:
		return []bpf.Instruction{
			high, bpf.JumpIf{Cond: bpf.JumpEqual, Val: highBits, SkipFalse: skip + 2},
			low, bpf.JumpIf{Cond: bpf.JumpEqual, Val: lowBits, SkipFalse: skip},
		}, nil
	case AnyBit:
		return []bpf.Instruction{
			high, bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: highBits, SkipTrue: 2},
			low, bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: lowBits, SkipFalse: skip},
		}, nil
	case NoBit:
		return []bpf.Instruction{
			high, bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: highBits, SkipTrue: skip + 2},
			low, bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: lowBits, SkipTrue: skip},
		}, nil
	}
	return nil, fmt.Errorf("unknown comparison %d", c.Is)
}
