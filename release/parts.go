package main

import (
	"bytes"
	"cmp"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A part is something inside an archive that others wrote.
type part struct {
	Name, Version string
	URL           string   // a package URL (purl)
	Licence       string   // an SPDX expression, or empty
	Texts         []string // files with its licences and notices
}

// licenceFile matches the names of files with licences, patents and notices.
var licenceFile = regexp.MustCompile(`(?i)^((un)?licen[cs]e|copying|copyright|notice|patents|authors)([.-].*)?$`)

// goModules returns the standard library and the modules in the program, with the licences in the folders of the
// packages that are linked, and above them.
func goModules(program string) ([]part, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	folders, err := packageFolders(info)
	if err != nil {
		return nil, err
	}
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	goroot := strings.TrimSpace(string(out))
	texts, err := licencesIn(goroot, []string{goroot})
	parts := []part{{Name: "Go standard library", Version: info.GoVersion, Texts: texts}}
	for _, module := range info.Deps {
		found, ok := folders[module.Path]
		if !ok {
			return nil, fmt.Errorf("the program has the module %s, the sources do not", module.Path)
		}
		one, findErr := licencesIn(found.module, found.packages)
		err = errors.Join(err, findErr)
		parts = append(parts, part{Name: module.Path, Version: module.Version, Texts: one})
	}
	return parts, err
}

// moduleFolders are the folders of a module and of its packages in the program.
type moduleFolders struct {
	module   string
	packages []string
}

// packageFolders returns the folders of the linked packages by the path of their module.
func packageFolders(info *buildinfo.BuildInfo) (map[string]*moduleFolders, error) {
	list := exec.Command("go", "list", "-deps", "-json=Dir,Module", info.Path)
	list.Env = os.Environ()
	for _, setting := range info.Settings {
		switch setting.Key {
		case "GOARCH", "GOOS", "CGO_ENABLED":
			list.Env = append(list.Env, setting.Key+"="+setting.Value)
		}
	}
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	folders := map[string]*moduleFolders{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var one struct {
			Dir    string
			Module *struct{ Path, Dir string }
		}
		if err := decoder.Decode(&one); err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if one.Module == nil {
			continue
		}
		if folders[one.Module.Path] == nil {
			folders[one.Module.Path] = &moduleFolders{module: one.Module.Dir}
		}
		folders[one.Module.Path].packages = append(folders[one.Module.Path].packages, one.Dir)
	}
	return folders, nil
}

// licencesIn returns the files with licences in the folders and in those above them, up to root. Error: there is no
// such file.
func licencesIn(root string, folders []string) ([]string, error) {
	seen := map[string]bool{}
	var files []string
	for _, folder := range folders {
		for ; !seen[folder] && strings.HasPrefix(folder, root); folder = filepath.Dir(folder) {
			seen[folder] = true
			entries, err := os.ReadDir(folder)
			if err != nil {
				return nil, err
			}
			for _, entry := range entries {
				name := entry.Name()
				if entry.Type().IsRegular() && licenceFile.MatchString(name) && filepath.Ext(name) != ".go" {
					files = append(files, filepath.Join(folder, name))
				}
			}
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no licence", root)
	}
	slices.Sort(files)
	return files, nil
}

// npmModule matches the module in the path of a source of a source map.
var npmModule = regexp.MustCompile(`.*/(node_modules/(?:@[^/]+/)?[^/]+)/`)

// webModules returns the npm modules whose code is in the demo page and in the viewer: those that their source maps
// name.
func webModules(build string) ([]part, error) {
	names := map[string]bool{}
	var files []string
	for _, folder := range []string{"assets", "docs/assets"} {
		found, err := filepath.Glob(filepath.Join(build, folder, "*.map"))
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("%s has no source maps in %s: %w", build, folder, cmp.Or(err, os.ErrNotExist))
		}
		files = append(files, found...)
	}
	for _, name := range files {
		var m struct{ Sources []string }
		if err := readJSON(name, &m); err != nil {
			return nil, err
		}
		for _, path := range m.Sources {
			if match := npmModule.FindStringSubmatch(path); match != nil {
				names[match[1]] = true
			}
		}
	}
	var lock struct {
		Packages map[string]struct{ Version, License string }
	}
	if err := readJSON("web/package-lock.json", &lock); err != nil {
		return nil, err
	}
	var parts []part
	for _, path := range slices.Sorted(maps.Keys(names)) {
		locked, ok := lock.Packages[path]
		if !ok {
			return nil, fmt.Errorf("%s is in the page, but not in its lock file", path)
		}
		root := filepath.Join("web", path)
		texts, err := licencesIn(root, []string{root})
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(path, "node_modules/")
		parts = append(parts, part{Name: name, Version: locked.Version, Licence: locked.License,
			URL: "pkg:npm/" + strings.Replace(name, "@", "%40", 1) + "@" + locked.Version, Texts: texts})
	}
	return parts, nil
}

// engineParts returns libvips and the libraries inside it.
func engineParts(engine string) ([]part, error) {
	versions := map[string]string{}
	if err := readJSON(filepath.Join(engine, "versions.json"), &versions); err != nil {
		return nil, err
	}
	var parts []part
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		parts = append(parts, part{Name: name, Version: versions[name],
			URL: "pkg:generic/" + name + "@" + versions[name]})
	}
	return parts, nil
}

// copiedPackages are the packages of Debian of which archives contain code: libraries, and what is linked statically.
var copiedPackages = []string{"libc6-dev", "libgcc-10-dev", "libgcc-s1", "libjpeg62-turbo-dev", "libstdc++6"}

// debianParts returns the packages of the sysroot of which archives contain code.
func debianParts(sysroot string) ([]part, error) {
	text, err := os.ReadFile(filepath.Join(sysroot, "versions.txt"))
	if err != nil {
		return nil, err
	}
	var parts []part
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || !slices.Contains(copiedPackages, fields[0]) {
			continue
		}
		url := strings.ReplaceAll(fields[0]+"@"+fields[1], "+", "%2B")
		parts = append(parts, part{Name: fields[0], Version: fields[1],
			URL:   "pkg:deb/debian/" + url + "?distro=debian-11",
			Texts: []string{filepath.Join(sysroot, "usr/share/doc", fields[0], "copyright")}})
	}
	if len(parts) != len(copiedPackages) {
		return nil, fmt.Errorf("%s has %d of the packages %v", sysroot, len(parts), copiedPackages)
	}
	return parts, nil
}

func readJSON(name string, into any) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
