package apiclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// A Login is a server that calotype login has stored, with a token.
type Login struct {
	Name    string `json:"name"`
	BaseURL string `json:"baseURL"`
	Account string `json:"account"`
	Token   string `json:"token"`
}

// Logins are the stored servers. Last is the name of the one that was stored last.
type Logins struct {
	Last    string  `json:"last"`
	Servers []Login `json:"servers"`
}

// maxLogins bounds the stored servers.
const maxLogins = 100

// LoginsPath returns the path of the file with the stored servers, in the configuration folder of the user.
func LoginsPath() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("finding the configuration folder of this user: %w", err)
	}
	return filepath.Join(dir, "calotype", "logins.json"), nil
}

// ReadLogins reads the stored servers, none if there is no file. It refuses a file that other users can read.
func ReadLogins(path string) (l Logins, err error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, fmt.Errorf("reading the stored servers: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return l, fmt.Errorf("reading the stored servers: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return l, fmt.Errorf("the file %s holds tokens, and its mode %04o lets other users read it: "+
			"chmod 600 it, and replace the tokens if others could read them", path, mode)
	}
	if err := json.NewDecoder(file).Decode(&l); err != nil {
		return l, fmt.Errorf("reading the stored servers in %s: %w", path, err)
	}
	return l, nil
}

// ChangeLogins reads the stored servers, and stores what fn makes of them, unless it returns an error. A lock lets one
// process at a time do so, so no server of another process is lost.
func ChangeLogins(path string, fn func(*Logins) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("making the folder of the stored servers: %w", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("locking the stored servers: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil { // for the time of another change, which is short
		return fmt.Errorf("locking the stored servers: %w", err)
	}
	logins, err := ReadLogins(path)
	if err == nil {
		err = fn(&logins)
	}
	if err != nil {
		return err
	}
	return logins.write(path)
}

// Find returns the server of a name, or the one that was stored last if name is "". found is false if there is no
// such server.
func (l Logins) Find(name string) (login Login, found bool) {
	if name == "" {
		name = l.Last
	}
	i := slices.IndexFunc(l.Servers, func(one Login) bool { return one.Name == name })
	if i < 0 {
		return Login{}, false
	}
	return l.Servers[i], true
}

// Add stores a server, instead of the previous one of its name.
func (l *Logins) Add(login Login) error {
	l.Remove(login.Name)
	if len(l.Servers) >= maxLogins {
		return fmt.Errorf("%d servers are stored: remove one with calotype logout NAME", len(l.Servers))
	}
	l.Servers = append(l.Servers, login)
	l.Last = login.Name
	return nil
}

// Remove removes a server; found is false if there is no such server. The last of the others is then the last one.
func (l *Logins) Remove(name string) (found bool) {
	before := len(l.Servers)
	l.Servers = slices.DeleteFunc(l.Servers, func(one Login) bool { return one.Name == name })
	if l.Last == name {
		l.Last = ""
		if n := len(l.Servers); n > 0 {
			l.Last = l.Servers[n-1].Name
		}
	}
	return len(l.Servers) < before
}

// write writes the stored servers to a file that only its owner can read. A reader gets the old or the new ones.
func (l Logins) write(path string) error {
	text, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the stored servers: %w", err)
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // its mode is 0600
	if err != nil {
		return fmt.Errorf("storing the servers: %w", err)
	}
	_, err = file.Write(append(text, '\n'))
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("storing the servers: %w", err), os.Remove(file.Name()))
	}
	return nil
}
