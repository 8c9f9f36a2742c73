package seccomp

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// A call is a system call that a process makes.
type call struct {
	arch, number uint32
	arguments    [arguments]uint64
}

// decide is what a policy says, read as its documentation says.
func decide(p Policy, c call) Action {
	info, _ := arch.GetInfo("")
	if c.arch != uint32(info.ID) || c.number >= x32 {
		return Refuse
	}
	for _, r := range p.Rules {
		if number, ok := info.SyscallNames[r.Call]; !ok || uint32(number) != c.number {
			continue
		}
		if len(r.When) == 0 {
			return r.Action
		}
		for _, all := range r.When {
			if holds(all, c) {
				return r.Action
			}
		}
	}
	return p.Default
}

func holds(all All, c call) bool {
	for _, one := range all {
		v := c.arguments[one.Argument]
		switch {
		case one.Is == Equal && v != one.Value,
			one.Is == AnyBit && v&one.Value == 0,
			one.Is == NoBit && v&one.Value != 0:
			return false
		}
	}
	return true
}

// run is what the compiled policy says. The virtual machine reads words in the order of the network.
func run(t *testing.T, p Policy, c call) Action {
	t.Helper()
	program, err := p.program()
	if err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, argumentOffset+argumentSize*arguments)
	binary.BigEndian.PutUint32(data[numberOffset:], c.number)
	binary.BigEndian.PutUint32(data[archOffset:], c.arch)
	for i, v := range c.arguments {
		at := argumentOffset + argumentSize*i
		binary.BigEndian.PutUint32(data[at:], uint32(v))
		binary.BigEndian.PutUint32(data[at+wordSize:], uint32(v>>32))
	}
	n, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return Action(n)
}

// names are the calls of random policies; the last does not exist.
var names = []string{"read", "clone", "clone3", "fcntl", "prctl", "prlimit64", "mmap", "tgkill", "close", "no_such"}

// words returns values that a confused program could take for something else: numbers of system calls, and the values
// of conditions, in either half of an argument.
func words(p Policy) []uint32 {
	info, _ := arch.GetInfo("")
	out := []uint32{0, 1, 1 << 31, ^uint32(0), uint32(info.ID)}
	for _, r := range p.Rules {
		out = append(out, uint32(info.SyscallNames[r.Call]), uint32(r.Action))
		for _, all := range r.When {
			for _, c := range all {
				out = append(out, uint32(c.Value), uint32(c.Value>>32))
			}
		}
	}
	return out
}

func randomPolicy(r *rand.Rand) Policy {
	actions := []Action{Allow, Refuse, Errno(unix.ENOSYS), Ask}
	p := Policy{Default: actions[r.IntN(2)]}
	for _, i := range r.Perm(len(names)) {
		rule := Rule{Call: names[i], Action: actions[r.IntN(len(actions))]}
		for range r.IntN(4) {
			var all All
			for range 1 + r.IntN(3) {
				v := uint64(1) << r.IntN(64)
				if r.IntN(2) == 0 {
					v = uint64(r.IntN(500))
				}
				all = append(all, Condition{r.IntN(arguments), Comparison(r.IntN(3)), v})
			}
			rule.When = append(rule.When, all)
		}
		p.Rules = append(p.Rules, rule)
	}
	return p
}

func randomCall(r *rand.Rand, p Policy) call {
	from := words(p)
	word := func() uint32 { return from[r.IntN(len(from))] }
	info, _ := arch.GetInfo("")
	c := call{arch: uint32(info.ID), number: word()}
	if r.IntN(20) == 0 {
		c.arch = word()
	}
	for i := range c.arguments {
		c.arguments[i] = uint64(word())<<32 | uint64(word())
	}
	return c
}

// TestProgram compares compiled policies with what they say, on words that are numbers of other system calls.
func TestProgram(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	actions := map[Action]int{}
	for range 400 {
		p := randomPolicy(r)
		for range 100 {
			c := randomCall(r, p)
			got, want := run(t, p, c), decide(p, c)
			if got != want {
				t.Fatalf("%+v\nof %+v\nis %#x, want %#x", c, p, got, want)
			}
			actions[want]++
		}
	}
	if len(actions) != 4 {
		t.Errorf("the cases had the actions %v, want all four", actions)
	}
}

// TestArgumentIsNoNumber has a call whose conditions fail and whose argument is the number of an allowed call.
func TestArgumentIsNoNumber(t *testing.T) {
	t.Parallel()
	info, _ := arch.GetInfo("")
	p := Policy{Default: Refuse, Rules: []Rule{
		{Call: "clone", Action: Allow, When: []All{{HasAny(0, unix.CLONE_THREAD)}}},
		{Call: "fcntl", Action: Allow, When: []All{{Equals(1, unix.F_DUPFD)}}},
		{Call: "close", Action: Allow},
	}}
	for _, name := range []string{"fcntl", "close"} {
		c := call{arch: uint32(info.ID), number: uint32(info.SyscallNames["clone"])}
		for _, shift := range []int{0, 32} {
			c.arguments[0] = uint64(info.SyscallNames[name]) << shift
			if got := run(t, p, c); got != Refuse {
				t.Errorf("clone with the word %s at bit %d: %#x, want a refusal", name, shift, got)
			}
		}
	}
}

// TestPolicyErrors has policies that do not compile.
func TestPolicyErrors(t *testing.T) {
	t.Parallel()
	many := make([]All, maxSkip)
	for i := range many {
		many[i] = All{Equals(0, uint64(i))}
	}
	for what, rules := range map[string][]Rule{
		"two rules":           {{Call: "read"}, {Call: "read"}},
		"no such argument":    {{Call: "read", When: []All{{Equals(6, 0)}}}},
		"a negative argument": {{Call: "read", When: []All{{Equals(-1, 0)}}}},
		"no such comparison":  {{Call: "read", When: []All{{{0, 3, 0}}}}},
		"many conditions":     {{Call: "read", When: many}},
		"a long condition":    {{Call: "read", When: []All{make(All, maxSkip)}}},
	} {
		if _, err := (Policy{Rules: rules}).program(); err == nil {
			t.Errorf("%s: compiled", what)
		}
	}
}

// FuzzProgram compares compiled policies with what they say.
func FuzzProgram(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		r := rand.New(rand.NewPCG(a, b))
		p := randomPolicy(r)
		for range 20 {
			c := randomCall(r, p)
			if got, want := run(t, p, c), decide(p, c); got != want {
				t.Fatalf("%+v\nof %+v\nis %#x, want %#x", c, p, got, want)
			}
		}
	})
}
