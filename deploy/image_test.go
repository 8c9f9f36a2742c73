package deploy

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// An instruction is one of a Dockerfile, on one line.
type instruction struct{ name, args string }

func dockerfile(t *testing.T) (all []instruction) {
	t.Helper()
	text := strings.ReplaceAll(readFile(t, "../Dockerfile"), "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, args, _ := strings.Cut(line, " ")
		all = append(all, instruction{name, strings.Join(strings.Fields(args), " ")})
	}
	return all
}

// arguments returns what follows each instruction of a name.
func arguments(all []instruction, name string) (args []string) {
	for _, one := range all {
		if one.name == name {
			args = append(args, one.args)
		}
	}
	return args
}

// pinned is an image by the release of Debian.
var pinned = regexp.MustCompile(`^debian:[a-z]+-slim$`)

// TestDockerfileImages: no image floats to another release by itself.
func TestDockerfileImages(t *testing.T) {
	t.Parallel()
	all := dockerfile(t)
	images := map[string]string{}
	for _, arg := range arguments(all, "ARG") {
		name, value, _ := strings.Cut(arg, "=")
		images["${"+name+"}"] = value
		if strings.Contains(arg, "TARGETARCH=") {
			t.Errorf("ARG %s: a default hides the architecture that the builder sets", arg)
		}
	}
	froms := arguments(all, "FROM")
	if len(froms) != 2 {
		t.Fatalf("stages: %q", froms)
	}
	for _, from := range froms {
		name, _, _ := strings.Cut(from, " ")
		if image := images[name]; !pinned.MatchString(image) {
			t.Errorf("FROM %s is %q, not pinned", name, image)
		}
	}
}

// TestDockerfile looks for what makes the image safe to run.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	all := dockerfile(t)
	last := len(all) - 1
	for all[last].name != "FROM" {
		last--
	}
	final := all[last:]
	for name, want := range map[string]string{
		"USER": "10001:10001", "VOLUME": "/data", "STOPSIGNAL": "SIGTERM", "EXPOSE": "8080",
		"ENV": "CALOTYPE_LISTEN=:8080 CALOTYPE_DATA=/data", "ENTRYPOINT": `["calotype"]`,
		"CMD": `["serve"]`,
	} {
		if got := arguments(final, name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	health := strings.Join(arguments(final, "HEALTHCHECK"), "")
	if !strings.HasSuffix(health, `CMD ["calotype", "healthcheck"]`) {
		t.Errorf("HEALTHCHECK is %q", health)
	}
	if add := arguments(all, "ADD"); len(add) > 0 {
		t.Errorf("ADD fetches and unpacks: %q", add)
	}
	installed := arguments(final, "RUN")
	if len(installed) != 2 {
		t.Fatalf("RUN of the image: %q", installed)
	}
	for _, want := range []string{
		"apt-get install -y --no-install-recommends ca-certificates && rm",
		"--uid 10001 ", "-o 10001 -g 10001 -m 0700 /data",
	} {
		if !strings.Contains(installed[0], want) {
			t.Errorf("%q is not in RUN %s", want, installed[0])
		}
	}
	for _, run := range arguments(all, "RUN") {
		if strings.Contains(run, "apt-get") && !strings.Contains(run, "rm -rf /var/lib/apt/lists/* /var/cache/apt/*") {
			t.Errorf("the lists of packages stay: %s", run)
		}
		if regexp.MustCompile(`\b(curl|wget)\b`).MatchString(run) {
			t.Errorf("it fetches what is not pinned: %s", run)
		}
	}
}

// TestBuildContext: only what is copied goes to the builder, and it is there.
func TestBuildContext(t *testing.T) {
	t.Parallel()
	lines := strings.Split(strings.TrimSpace(readFile(t, "../.dockerignore")), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "#") })
	if lines[0] != "*" {
		t.Errorf(".dockerignore begins with %q: not everything is left out", lines[0])
	}
	for _, copied := range arguments(dockerfile(t), "COPY") {
		source, _, _ := strings.Cut(copied, " ")
		if strings.HasPrefix(source, "--from=") {
			continue
		}
		archive := regexp.MustCompile(`^dist/calotype_\$\{VERSION\}_linux_\$\{TARGETARCH\}\.tar\.gz$`)
		if !archive.MatchString(source) || !slices.Contains(lines, "!dist") {
			t.Errorf("COPY %s: only the archive of a release goes to the builder", copied)
		}
	}
}

// TestCompose looks for what confines the container.
func TestCompose(t *testing.T) {
	t.Parallel()
	text := readFile(t, "compose.yaml")
	for _, want := range []string{
		"read_only: true", "cap_drop: [ALL]", `security_opt: ["no-new-privileges:true"]`,
		`volumes: ["data:/data"]`, `ports: ["127.0.0.1:8080:8080"]`, "stop_grace_period: 40s",
		"CALOTYPE_API_TOKEN_FILE: /run/secrets/api_token", "secrets: [api_token]",
	} {
		if !strings.Contains(text, "\n    "+want+"\n") && !strings.Contains(text, "\n      "+want+"\n") {
			t.Errorf("compose.yaml has no %s", want)
		}
	}
	for _, file := range []string{"compose.yaml", "compose.postgres.yaml"} {
		for _, wrong := range []string{"privileged: true", ":latest", "network_mode", "docker.sock"} {
			if strings.Contains(readFile(t, file), wrong) {
				t.Errorf("%s has %s", file, wrong)
			}
		}
	}
}

// TestNames: each variable and flag that the files name is one of the program's.
func TestNames(t *testing.T) {
	t.Parallel()
	help, err := exec.CommandContext(t.Context(), binary, "serve", "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("serve --help: %v\n%s", err, help)
	}
	variable := regexp.MustCompile(`CALOTYPE_[A-Z0-9_]+`)
	flag := regexp.MustCompile("[( `]-([a-z]+(-[a-z]+)+|url|memory|data|try|listen)[),;`]")
	seen := 0
	for _, file := range []string{"../Dockerfile", "compose.yaml", "compose.postgres.yaml",
		"calotype.service", "nginx.conf", "Caddyfile", "README.md"} {
		text := readFile(t, file)
		for _, name := range variable.FindAllString(text, -1) {
			seen++
			if name == "CALOTYPE_VERSION" { // compose.yaml's own
				continue
			}
			if !strings.Contains(string(help), "$"+strings.TrimSuffix(name, "_FILE")+")") {
				t.Errorf("%s names %s, which is no variable of the program", file, name)
			}
		}
		for _, match := range flag.FindAllStringSubmatch(text, -1) {
			seen++
			if !strings.Contains(string(help), "--"+match[1]+"=") {
				t.Errorf("%s names -%s, which is no flag of the program", file, match[1])
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d names were found", seen)
	}
}
