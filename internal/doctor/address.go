package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"calotype/internal/disk"
)

func (d *doctor) address(ctx context.Context) []Finding {
	f, used := listenFinding(ctx, d.Listen, "-listen")
	if !used {
		return []Finding{f}
	}
	holder, locked, err := disk.LockHolder(d.Data)
	if err != nil || !locked || d.holderListens(holder, d.Listen) == no {
		return []Finding{d.otherServer(ctx, f)}
	}
	status, text, err := Ready(ctx, d.Listen)
	switch {
	case err != nil:
		return []Finding{warning("the log of the server has the reason; run this command again",
			"the server on %s does not answer: %v", d.Listen, err)}
	case status != http.StatusOK:
		return []Finding{warning("the log of the server has the reason", "the server on %s says: %s",
			d.Listen, foreign(text))}
	}
	return []Finding{ok("the server on %s says: %s", d.Listen, foreign(text))}
}

// otherServer returns the finding about an address that no server with this data folder uses: f, unless the program
// there is a server of this kind.
func (d *doctor) otherServer(ctx context.Context, f Finding) Finding {
	_, text, err := Ready(ctx, d.Listen)
	if err != nil || !strings.HasPrefix(strings.TrimPrefix(text, "not "), "ready") {
		return f
	}
	return failed("name the data folder of that server with -data, or another address with -listen",
		"a server that does not use %s listens on %s", d.Data, d.Listen)
}

func (d *doctor) metricsAddress(ctx context.Context) []Finding {
	f, used := listenFinding(ctx, d.MetricsListen, "-metrics-listen")
	holder, locked, err := disk.LockHolder(d.Data)
	if !used || err != nil || !locked {
		return []Finding{f}
	}
	switch d.holderListens(holder, d.MetricsListen) {
	case yes:
		f = ok("the server on the data folder uses %s", d.MetricsListen)
	case unknown:
		f = ok("%s is in use, and a server runs on the data folder", d.MetricsListen)
	}
	return []Finding{f}
}

// errBound ends a ListenConfig after the address was bound.
var errBound = errors.New("the address is free")

// listenFinding binds an address as a listener does, and does not listen: a server that starts at the same time
// gets the address. used reports that another program listens there.
func listenFinding(ctx context.Context, address, flag string) (f Finding, used bool) {
	config := net.ListenConfig{Control: func(network, address string, c syscall.RawConn) error {
		err := errors.New("the socket is closed")
		if control := c.Control(func(fd uintptr) { err = bind(int(fd), network, address) }); control != nil {
			return control
		}
		if err == nil {
			err = errBound
		}
		return err
	}}
	listener, err := config.Listen(ctx, "tcp", address)
	switch {
	case err == nil: // Control always returns an error
		return failed("report this", "%s was opened", address), errors.Join(listener.Close()) != nil
	case errors.Is(err, errBound):
		return ok("%s is free", address), false
	case errors.Is(err, unix.EADDRINUSE):
		return failed("stop the other program, or name another address with "+flag,
			"another program listens on %s", address), true
	case errors.Is(err, unix.EACCES):
		return failed("name a port from 1024 on with "+flag+", or give the server the capability CAP_NET_BIND_SERVICE",
			"%v", err), false
	}
	return failed("name another address with "+flag, "%v", err), false
}

// bind binds a socket of "tcp4" or "tcp6" to an address like 127.0.0.1:80, [::1]:80 or :80.
func bind(fd int, network, address string) error {
	if strings.HasPrefix(address, ":") {
		address = map[string]string{"tcp4": "0.0.0.0", "tcp6": "[::]"}[network] + address
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("binding %s: %w", address, err)
	}
	if network == "tcp4" {
		return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrInet4{
			Port: int(to.Port()), Addr: to.Addr().Unmap().As4()}))
	}
	socket := &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	if zone := to.Addr().Zone(); zone != "" {
		link, err := net.InterfaceByName(zone)
		if err != nil {
			return err
		}
		socket.ZoneId = uint32(link.Index)
	}
	return os.NewSyscallError("bind", unix.Bind(fd, socket))
}

// The answers of holderListens.
type answer int

const (
	unknown answer = iota
	yes
	no
)

// holderListens reports whether the process that has locked the data folder listens on the port of an address. The
// answer is unknown if this user may not see the open files of the process, and if the number is that of a process
// in another container.
func (d *doctor) holderListens(pid, address string) answer {
	_, name, err := net.SplitHostPort(address)
	if err != nil {
		return unknown
	}
	port, err := net.LookupPort("tcp", name)
	if err != nil {
		return unknown
	}
	lock, err := os.Stat(filepath.Join(d.Data, disk.LockFile))
	if err != nil {
		return unknown
	}
	sockets := listeners(port)
	if _, err := strconv.Atoi(pid); err != nil || len(sockets) == 0 {
		return unknown
	}
	files, err := filepath.Glob(filepath.Join("/proc", pid, "fd", "*"))
	if err != nil {
		return unknown
	}
	found := unknown
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil && sockets[target] {
			return yes
		}
		if info, err := os.Stat(file); err == nil && os.SameFile(info, lock) {
			found = no
		}
	}
	return found
}

// listeners returns the sockets that listen on a port, as links in /proc/PID/fd name them.
func listeners(port int) map[string]bool {
	const listening = "0A"
	sockets := map[string]bool{}
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		table, err := os.Open(path)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(table); lines.Scan(); {
			// number, local address:port, remote address:port, state, 5 more fields, inode
			fields := strings.Fields(lines.Text())
			if len(fields) > 9 && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) && fields[3] == listening {
				sockets["socket:["+fields[9]+"]"] = true
			}
		}
		table.Close()
	}
	return sockets
}
