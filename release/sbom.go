package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A component is one of CycloneDX 1.6.
type component struct {
	Ref        string      `json:"bom-ref,omitempty"`
	Type       string      `json:"type"`
	Name       string      `json:"name"`
	Version    string      `json:"version,omitempty"`
	Hashes     []hash      `json:"hashes,omitempty"`
	Licenses   []licensed  `json:"licenses,omitempty"`
	URL        string      `json:"purl,omitempty"`
	Components []component `json:"components,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type licensed struct {
	License struct {
		Name string `json:"name"`
	} `json:"license"`
}

// writeSBOM writes the list of parts of an archive: the Go modules that cyclonedx-gomod has found in the program, the
// npm modules of the web pages and those inside the viewer, the libraries with their sums, and the libraries inside
// them. A client build has no libraries.
func writeSBOM(out io.Writer, s source) error {
	var bom map[string]any
	if err := readJSON(s.goParts, &bom); err != nil {
		return err
	}
	listed, ok := bom["components"].([]any)
	if !ok || len(listed) < 20 {
		return fmt.Errorf("%s lists %d modules", s.goParts, len(listed))
	}
	web, err := webModules(s.web)
	if err != nil {
		return err
	}
	inViewer, _, err := bundled(s.root)
	if err != nil {
		return err
	}
	for _, one := range slices.Concat(web, inViewer) {
		listed = append(listed, newComponent(one))
	}
	if s.engine != "" {
		libraries, err := libraryComponents(s)
		if err != nil {
			return err
		}
		for _, one := range libraries {
			listed = append(listed, one)
		}
	}
	bom["components"] = listed
	metadata, ok := bom["metadata"].(map[string]any)
	if !ok {
		return fmt.Errorf("%s has no metadata", s.goParts)
	}
	// The same archive has the same list.
	delete(bom, "serialNumber")
	if metadata["timestamp"], err = sourceTime(); err != nil {
		return err
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(bom)
}

// sourceTime returns the time of the commit, which scripts/dist sets.
func sourceTime() (string, error) {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return "", fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339), nil
}

func newComponent(one part) component {
	c := component{Ref: one.URL, Type: "library", Name: one.Name, Version: one.Version, URL: one.URL}
	if one.Licence != "" {
		c.Licenses = make([]licensed, 1)
		c.Licenses[0].License.Name = one.Licence
	}
	return c
}

// libraryComponents returns each file of lib with its sum and its parts, and what is linked into the program.
// Error: there is a library of unknown origin.
func libraryComponents(s source) ([]component, error) {
	inside, err := libraryParts(s)
	if err != nil {
		return nil, err
	}
	files, err := os.ReadDir(s.lib)
	if err != nil {
		return nil, err
	}
	var all []component
	for _, file := range files {
		at := slices.IndexFunc(inside, func(l libraryPart) bool {
			return l.file != "" && strings.HasPrefix(file.Name(), l.file)
		})
		if at < 0 {
			return nil, fmt.Errorf("the origin of %s is unknown", file.Name())
		}
		text, err := os.ReadFile(filepath.Join(s.lib, file.Name()))
		if err != nil {
			return nil, err
		}
		c := newComponent(inside[at].part)
		c.Hashes = []hash{{"SHA-256", fmt.Sprintf("%x", sha256.Sum256(text))}}
		for _, one := range inside[at].inside {
			c.Components = append(c.Components, newComponent(one))
		}
		all = append(all, c)
	}
	for _, one := range inside {
		if one.file == "" {
			all = append(all, newComponent(one.part))
		}
	}
	return all, nil
}

// A libraryPart is a part that a file of lib is, by the start of its name, or that the program has inside itself.
type libraryPart struct {
	file string
	part
	inside []part
}

func libraryParts(s source) ([]libraryPart, error) {
	debian, err := debianParts(s.sysroot)
	if err != nil {
		return nil, err
	}
	vips, err := vipsPart(s.engine)
	if err != nil {
		return nil, err
	}
	all := []libraryPart{vips}
	for _, one := range debian {
		file := map[string]string{"libstdc++6": "libstdc++.so", "libgcc-s1": "libgcc_s.so"}[one.Name]
		all = append(all, libraryPart{file: file, part: one})
	}
	heif, err := heifPart(s.engine)
	return append(all, heif...), err
}

// vipsPart returns the package of libvips with the libraries inside it, and their licences by its notice.
func vipsPart(engine string) (libraryPart, error) {
	var locked struct{ Dependencies map[string]string }
	if err := readJSON(filepath.Join("engine", "linux-"+filepath.Base(engine), "package.json"), &locked); err != nil {
		return libraryPart{}, err
	}
	vips := libraryPart{file: "libvips-cpp.so"}
	for name, version := range locked.Dependencies {
		if strings.HasPrefix(name, "@img/sharp-libvips-linux") {
			vips.part = part{Name: name, Version: version,
				URL: "pkg:npm/" + strings.Replace(name, "@", "%40", 1) + "@" + version}
		}
	}
	if vips.Name == "" {
		return vips, fmt.Errorf("no package of %s is libvips", engine)
	}
	licences, err := vipsLicences(engine)
	if err != nil {
		return vips, err
	}
	vips.inside, err = engineParts(engine)
	for i, one := range vips.inside {
		name := strings.Replace(one.Name, "uhdr", "ultrahdr", 1)
		vips.inside[i].Licence = licences[strings.TrimPrefix(name, "lib")]
	}
	return vips, err
}

// vipsLicences reads the table in the notice of libvips: the licence by the name of a library, without lib before it.
func vipsLicences(engine string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(engine, "NOTICE.md"))
	if err != nil {
		return nil, err
	}
	licences := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) == 4 {
			licence, _, _ := strings.Cut(strings.TrimSpace(cells[2]), "](")
			licences[strings.TrimPrefix(strings.TrimSpace(cells[1]), "lib")] = strings.ReplaceAll(licence, "[", "")
		}
	}
	if licences["vips"] == "" {
		return nil, fmt.Errorf("%s has no table of licences", engine)
	}
	return licences, nil
}

// heifPart returns libheif with the decoder inside it, if the engine has a separate one.
func heifPart(engine string) ([]libraryPart, error) {
	if _, err := os.Stat(filepath.Join(engine, "lib", "libheif.so.1")); err != nil {
		return nil, nil
	}
	versions := map[string]string{}
	if err := readJSON(filepath.Join(engine, "versions.heif.json"), &versions); err != nil {
		return nil, err
	}
	library := func(name string) part {
		return part{Name: name, Version: versions[name], Licence: "LGPL-3.0-or-later",
			URL: "pkg:deb/debian/" + name + "@" + versions[name] + "?arch=source"}
	}
	return []libraryPart{{file: "libheif.so", part: library("libheif"), inside: []part{library("libde265")}}}, nil
}
