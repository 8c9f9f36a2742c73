package main

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// commonLicences is where Debian has the texts of licences that its packages name only.
const commonLicences = "/usr/share/common-licenses"

// texts are the licences that parts of an archive name and whose whole text must come with it.
var texts = []string{"Apache-2.0", "GPL-3", "LGPL-2.1", "LGPL-3", "MPL-1.1"}

// A notice is a text and the parts that it is for.
type notice struct {
	parts []string
	text  []byte
}

// writeNotice writes the licences and notices of all parts, each text once, and copies the texts of common licences
// to a folder. A client build, without an engine, has Go and npm modules only, and names no common licence.
func writeNotice(out io.Writer, s source) error {
	modules, err := goModules(s.program)
	web, webErr := webModules(s.web)
	_, viewer, viewerErr := bundled(s.root)
	if err := errors.Join(err, webErr, viewerErr); err != nil {
		return err
	}
	if s.engine == "" {
		notices, err := group(slices.Concat(modules, web))
		if err != nil {
			return err
		}
		return writePage(out, clientPreface, slices.Concat(notices, viewer))
	}
	engine, err := engineNotices(s.engine)
	debian, debianErr := debianParts(s.sysroot)
	copied, copiedErr := copiedNotices(s.sysroot)
	if err := errors.Join(err, debianErr, copiedErr); err != nil {
		return err
	}
	notices, err := group(slices.Concat(modules, web, debian))
	if err != nil {
		return err
	}
	if err := writePage(out, preface, slices.Concat(engine, notices, viewer, copied)); err != nil {
		return err
	}
	return copyTexts(s.licences)
}

// writePage writes a preface and notices.
func writePage(out io.Writer, preface string, notices []notice) error {
	var page bytes.Buffer
	page.WriteString(preface)
	for _, one := range notices {
		fmt.Fprintf(&page, "\n%s\n%s\n%s\n\n%s\n", line, strings.Join(one.parts, "\n"), line, bytes.TrimSpace(one.text))
	}
	_, err := out.Write(page.Bytes())
	return err
}

var line = strings.Repeat("=", 72)

const preface = `Calotype is licensed under the Apache License, version 2.0: see LICENSE.

The program and the libraries in lib contain the work of others, under the licences below. The folder licences has
the whole text of those that are named only.

The libraries in lib under the LGPL are loaded at run time: you may replace them by modified versions with the same
interface. The page of libvips below names the project that builds it from the sources; Debian has the sources of the
other libraries, in the versions that are named here.
`

const clientPreface = `Calotype is licensed under the Apache License, version 2.0: see LICENSE.

The program contains the work of others, under the licences below.
`

// engineNotices returns the notices of the libraries in the engine's folder.
func engineNotices(engine string) ([]notice, error) {
	files, err := filepath.Glob(filepath.Join(engine, "NOTICE.*"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("%s has no notices: %w", engine, cmp.Or(err, os.ErrNotExist))
	}
	slices.Sort(files)
	var notices []notice
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(filepath.Base(file), "NOTICE.")
		if name == "md" {
			name = "libvips and the libraries inside it"
		}
		notices = append(notices, notice{[]string{name}, text})
	}
	return notices, nil
}

// group returns each different text of the parts once, in the order of the parts.
func group(parts []part) ([]notice, error) {
	var notices []notice
	places := map[string]int{}
	for _, one := range parts {
		for _, file := range one.Texts {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			key := string(bytes.Join(bytes.Fields(text), []byte(" ")))
			at, ok := places[key]
			if !ok {
				at = len(notices)
				places[key] = at
				notices = append(notices, notice{text: text})
			}
			if name := one.Name + " " + one.Version; !slices.Contains(notices[at].parts, name) {
				notices[at].parts = append(notices[at].parts, name)
			}
		}
	}
	return notices, nil
}

// copiedNotices returns the notices of the libraries inside libvips: what Debian states, for its versions of them, and
// inside.
func copiedNotices(sysroot string) ([]notice, error) {
	files, err := filepath.Glob(filepath.Join(sysroot, "notices", "*"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("%s has no notices: %w", sysroot, cmp.Or(err, os.ErrNotExist))
	}
	var notices []notice
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		notices = append(notices, notice{
			[]string{"inside libvips: " + filepath.Base(file) + ", as Debian 11 describes it"}, text})
	}
	for _, name := range insideNames() {
		text, err := inside.ReadFile("inside/" + name + ".txt")
		if err != nil {
			return nil, err
		}
		notices = append(notices, notice{[]string{"inside libvips: " + name}, text})
	}
	return notices, nil
}

// inside are the notices of the libraries inside libvips that Debian 11 does not have.
//
//go:embed inside/*.txt
var inside embed.FS

// insideNames returns their names.
func insideNames() []string {
	files, _ := inside.ReadDir("inside") // the folder is embedded
	names := make([]string, len(files))
	for i, file := range files {
		names[i] = strings.TrimSuffix(file.Name(), ".txt")
	}
	return names
}

// copyTexts copies the texts of common licences to a folder.
func copyTexts(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, name := range texts {
		text, err := os.ReadFile(filepath.Join(commonLicences, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
