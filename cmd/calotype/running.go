package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"calotype/internal/cfapi"
	"calotype/internal/disk"
)

// runningFile is the file in the data folder in which a running server leaves its addresses for other commands.
const runningFile = "server.json"

// defaultListen is the default of -listen.
const defaultListen = "localhost:8080"

// A runningServer has the addresses of a running server.
type runningServer struct {
	PID    int    `json:"pid"`
	Listen string `json:"listen"` // the address that it listens on, such as 127.0.0.1:8080
	// The public base URLs.
	API      string `json:"api"`
	Upload   string `json:"upload"`
	Delivery string `json:"delivery"`
	Batch    string `json:"batch"`
}

func (s runningServer) urls() cfapi.URLs {
	return cfapi.URLs{API: s.API, Upload: s.Upload, Delivery: s.Delivery, Batch: s.Batch}
}

// announce writes the addresses of the server to its data folder, and returns a function that removes the file. A
// full disk is no error: other commands then need flags.
func announce(data, listen string, urls cfapi.URLs) (remove func() error, err error) {
	text, err := json.MarshalIndent(runningServer{
		PID: os.Getpid(), Listen: listen,
		API: urls.API, Upload: urls.Upload, Delivery: urls.Delivery, Batch: urls.Batch,
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the addresses of the server: %w", err)
	}
	path := filepath.Join(data, runningFile)
	remove = func() error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the addresses of the server: %w", err)
		}
		return nil
	}
	err = writeWhole(path, append(text, '\n'))
	if errors.Is(err, unix.ENOSPC) {
		return remove, nil
	}
	return remove, err
}

// writeWhole writes a file that only its owner can read, by a rename: a reader gets the old or the new content.
func writeWhole(path string, content []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(file.Name()))
	}
	return nil
}

// running returns the addresses of the server that runs in a data folder; found is false without one. The file of a
// server that was killed is ignored, because it no longer locks the folder.
func running(data string) (server runningServer, found bool, err error) {
	text, err := os.ReadFile(filepath.Join(data, runningFile))
	if errors.Is(err, fs.ErrNotExist) {
		return server, false, nil
	}
	if err != nil {
		return server, false, fmt.Errorf("reading the addresses of the server: %w", err)
	}
	holder, locked, err := disk.LockHolder(data)
	if err != nil || !locked {
		return server, false, err
	}
	if err := json.Unmarshal(text, &server); err != nil {
		return server, false, fmt.Errorf("reading the addresses of the server in %s: %w", runningFile, err)
	}
	if holder != "" && holder != strconv.Itoa(server.PID) {
		return runningServer{}, false, nil // the next server has locked the folder, and has not written its own yet
	}
	return server, true, nil
}

// knownListen returns the address of the flag -listen or, without the flag, that of the server that runs in the data
// folder.
func knownListen(data, listen string) (string, error) {
	if listen != defaultListen || os.Getenv("CALOTYPE_LISTEN") != "" {
		return listen, nil
	}
	server, found, err := running(data)
	if errors.Is(err, fs.ErrPermission) {
		return listen, nil // doctor says what is wrong with the folder
	}
	if err != nil || !found {
		return listen, err
	}
	return server.Listen, nil
}

// knownURLs returns the public bases of the roles: those of the flags or, without such flags, those of the server
// that runs in the data folder.
func (c Config) knownURLs() (cfapi.URLs, error) {
	if c.URL == "" && c.Listen == defaultListen && os.Getenv("CALOTYPE_LISTEN") == "" {
		if server, found, err := running(c.Data); err != nil || found {
			return server.urls(), err
		}
	}
	urls, _, err := c.urls()
	return urls, err
}
