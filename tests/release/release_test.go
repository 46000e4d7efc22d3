// Package release tests `make release` and docs/verify.md: a release of a small image, in a copy of this tree, signed
// with a key of the test's own, and every command of that page.
package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// A bench is a copy of the tree as a repository of its own, with an image/build.sh that makes the small image.
type bench struct {
	tree, version, chart string
	environment          []string
}

const stub = `#!/bin/bash
mkdir -p build/image && cp %q/* build/image
`

func newBench(t *testing.T) *bench {
	t.Helper()
	_ = os.Getenv("UNCACHED") // go test does not see what the scripts read
	for _, program := range []string{"gpg", "git", "skopeo", "dpkg-query"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	source, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{tree: filepath.Join(t.TempDir(), "tree"), environment: os.Environ()}
	b.version = match(t, filepath.Join(source, "CMakeLists.txt"), `project\(quay-rotator VERSION (\S+)`)
	b.chart = match(t, filepath.Join(source, "charts/quay-rotator/Chart.yaml"), `(?m)^version: (\S+)`)
	if b.environment = append(b.environment, "GNUPGHOME="+keyring(t)); os.Getenv("GO") == "" {
		if found, err := exec.LookPath("go"); err == nil {
			b.environment = append(b.environment, "GO="+found)
		}
	}
	// Wherever HOME points to later, what is cached stays cached.
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	b.environment = append(b.environment, "XDG_CACHE_HOME="+cache,
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	b.must(t, source, fmt.Sprintf(`mkdir %[1]q && git ls-files -z --cached --others --exclude-standard --deduplicate |
		while IFS= read -rd '' file; do [ ! -e "$file" ] || printf '%%s\0' "$file"; done | tar -c --null -T - | tar -C %[1]q -x`, b.tree))
	prepared := t.TempDir()
	smallImage(t, prepared, b.version)
	write(t, filepath.Join(b.tree, "image/build.sh"), fmt.Sprintf(stub, prepared))
	b.must(t, b.tree, "git init -q && git add -A && git commit -q -m start")
	return b
}

func match(t *testing.T, file, pattern string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(pattern).FindSubmatch(content)
	if found == nil {
		t.Fatalf("%s has no %s", file, pattern)
	}
	return string(found[1])
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

// keyring is an empty folder for gpg. Its agent's socket needs a short name.
func keyring(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", folder, "--kill", "all").Run()
		_ = os.RemoveAll(folder)
	})
	return folder
}

// shell runs a script in a folder and returns all that it said.
func (b *bench) shell(folder, script string, environment ...string) (string, error) {
	command := exec.Command("bash", "-euo", "pipefail", "-c", script)
	command.Dir = folder
	command.Env = append(slices.Clone(b.environment), environment...)
	output, err := command.CombinedOutput()
	return string(output), err
}

func (b *bench) must(t *testing.T, folder, script string, environment ...string) string {
	t.Helper()
	output, err := b.shell(folder, script, environment...)
	if err != nil {
		t.Fatalf("%s\n%v\n%s", script, err, output)
	}
	return output
}

// refused runs what must fail, and say why.
func (b *bench) refused(t *testing.T, script string, says ...string) {
	t.Helper()
	output, err := b.shell(b.tree, script)
	if err == nil {
		t.Errorf("%s was not refused:\n%s", script, output)
	}
	for _, one := range says {
		if !strings.Contains(output, one) {
			t.Errorf("%s says nothing of %q:\n%s", script, one, output)
		}
	}
}

// smallImage writes what image/build.sh makes, of a program of some bytes and one package.
func smallImage(t *testing.T, folder, version string) {
	t.Helper()
	archive := func(names []string, content map[string][]byte) []byte {
		var out bytes.Buffer
		writer := tar.NewWriter(&out)
		for _, name := range names {
			if err := writer.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content[name]))}); err != nil {
				t.Fatal(err)
			}
			if _, err := writer.Write(content[name]); err != nil {
				t.Fatal(err)
			}
		}
		if err := writer.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	sha := func(of []byte) string { sum := sha256.Sum256(of); return hex.EncodeToString(sum[:]) }
	names, blobs := []string{"oci-layout", "index.json"}, map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	add := func(media string, content []byte, more string) string { // a descriptor
		name := "blobs/sha256/" + sha(content)
		names, blobs[name] = append(names, name), content
		return fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.%s","digest":"sha256:%s","size":%d%s}`, media, sha(content), len(content), more)
	}
	inside := []string{"./usr/bin/quay-rotator", "./usr/share/doc/quay-rotator/copyright", "./usr/share/doc/libc6/copyright", "./var/lib/dpkg/status.d/libc6"}
	layer := archive(inside, map[string][]byte{
		inside[0]: []byte("program"), inside[1]: []byte("Apache-2.0"), inside[2]: []byte("License: LGPL-2.1+"),
		inside[3]: []byte("Package: libc6\nArchitecture: " + runtime.GOARCH + "\nVersion: 2.36-9+deb12u14\nSource: glibc (2.36-9+deb12u14)\n"),
	})
	var packed bytes.Buffer
	gz := gzip.NewWriter(&packed)
	if _, err := gz.Write(layer); err != nil || gz.Close() != nil {
		t.Fatal(err)
	}
	platform := fmt.Sprintf(`"architecture":%q,"os":"linux"`, runtime.GOARCH)
	config := add("config.v1+json", []byte(fmt.Sprintf(`{"created":"2026-01-02T03:04:05Z",%s,"config":{"Labels":{"org.opencontainers.image.version":%q}},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}`,
		platform, version, sha(layer))), "")
	manifest := add("manifest.v1+json", []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}`,
		config, add("layer.v1.tar+gzip", packed.Bytes(), ""))), `,"platform":{`+platform+`}`)
	index := []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]}`, manifest))
	blobs["index.json"] = []byte(fmt.Sprintf(`{"schemaVersion":2,"manifests":[%s]}`, add("index.v1+json", index, fmt.Sprintf(`,"annotations":{"org.opencontainers.image.ref.name":%q}`, version))))
	write(t, filepath.Join(folder, "quay-rotator-"+version+".oci.tar"), string(archive(names, blobs)))
	write(t, filepath.Join(folder, "digest"), "sha256:"+sha(index)+"\n")
}

// newKey makes a key that signs for a day, and returns its fingerprint.
func (b *bench) newKey(t *testing.T) string {
	t.Helper()
	listed := b.must(t, b.tree, `gpg --batch --quiet --passphrase '' --quick-gen-key 'test of a release' ed25519 sign 1d 2>/dev/null && gpg --batch --with-colons --list-keys`)
	found := regexp.MustCompile(`(?m)^fpr:+([0-9A-F]{40}):`).FindStringSubmatch(listed)
	if found == nil {
		t.Fatal(listed)
	}
	return found[1]
}

func TestRefuses(t *testing.T) {
	b := newBench(t)
	// One platform: the small image has no other.
	release := func(version string) string {
		return "make release VERSION=" + version + " PLATFORMS=" + runtime.GOARCH + " "
	}
	b.refused(t, "make release", "which version? make release VERSION=1.2.3")
	b.refused(t, release("v"+b.version), "which version?")
	b.refused(t, release("9.8.7")+"SIGN=0", "CMakeLists.txt is '"+b.version+"', not 9.8.7", "appVersion in charts/quay-rotator/Chart.yaml",
		"Containerfile", "deploy/quay-rotator.yaml", "clusterserviceversion.yaml", "CHANGELOG.md")
	b.must(t, b.tree, "git tag v0.0.9")
	b.refused(t, release(b.version)+"SIGN=0", "chart "+b.chart+" is not later than the "+b.chart+" of v0.0.9")
	b.must(t, b.tree, "git tag -d v0.0.9 && sed -i 's/ with chart [0-9.]*$/ with a chart./; s/ with chart [0-9.]* / with a chart /' CHANGELOG.md")
	b.refused(t, release(b.version)+"SIGN=0", "CHANGELOG.md does not say 'with chart "+b.chart+".'")
	b.must(t, b.tree, "git checkout -q CHANGELOG.md")
	b.refused(t, release(b.version), "RELEASE_KEY names no key", "SIGN=0")
	b.refused(t, release(b.version)+"RELEASE_KEY=nobody@example.com", "gpg has no secret key 'nobody@example.com'")
	write(t, filepath.Join(b.tree, "new-file"), "x")
	b.refused(t, release(b.version)+"SIGN=0", "this tree has changes", "new-file")
	b.must(t, b.tree, "rm new-file && echo >>README.md")
	b.refused(t, release(b.version)+"SIGN=0", "this tree has changes", "README.md")
	b.must(t, b.tree, "git checkout -q README.md && test ! -e build/release")

	// What was made once stays, and is found to be the same.
	said := b.must(t, b.tree, release(b.version)+"SIGN=0")
	if !strings.Contains(said, "unsigned") {
		t.Error(said)
	}
	b.must(t, b.tree, "test ! -e build/release/SHA256SUMS.asc && "+release(b.version)+"SIGN=0")
	b.must(t, b.tree, "echo '# more' >>crds/quayrotator.dev_quayconnections.yaml && git commit -q -a -m changed && cp -r build/release build/before")
	b.refused(t, release(b.version)+"SIGN=0", "build/release holds another release", "-crds.yaml")
	b.must(t, b.tree, "git reset -q --hard HEAD^ && echo >>build/release/quay-rotator-"+b.version+".yaml")
	b.refused(t, release(b.version)+"SIGN=0", "build/release holds another release", "quay-rotator-"+b.version+".yaml: FAILED")
	b.must(t, b.tree, "rm -r build/release && mv build/before build/release && "+release(b.version)+"SIGN=0; test -z \"$(find build -name '.release*')\"")
}

func TestEveryCommandOfThePage(t *testing.T) {
	b := newBench(t)
	key := b.newKey(t)
	b.must(t, b.tree, "make release VERSION="+b.version+" PLATFORMS="+runtime.GOARCH+" RELEASE_KEY="+key)
	b.must(t, b.tree, "git -c user.signingkey="+key+" tag -s -m release v"+b.version)

	// Somebody else's home: the files in Downloads, a clone, gpg that knows no key.
	home := t.TempDir()
	downloads := filepath.Join(home, "Downloads")
	b.must(t, home, fmt.Sprintf("cp -r %[1]q/build/release Downloads && git clone -q %[1]q quay-rotator", b.tree))
	helm, err := filepath.Abs("../../build/helm")
	if err != nil {
		t.Fatal(err)
	}
	address := registry(t, filepath.Join(home, ".config/containers"))
	other := []string{"HOME=" + home, "GNUPGHOME=" + keyring(t), "PATH=" + helm + ":" + os.Getenv("PATH")}
	for _, variable := range []string{"GOCACHE", "GOPATH", "GOMODCACHE"} {
		other = append(other, variable+"="+strings.TrimSpace(b.must(t, b.tree, "$GO env "+variable)))
	}

	page, err := os.ReadFile(filepath.Join(b.tree, "docs/verify.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files(t, downloads) {
		if name := strings.Replace(file, runtime.GOARCH, "amd64", 1); !strings.Contains(string(page), "`"+name+"`") && !strings.HasSuffix(file, ".prov") {
			t.Errorf("docs/verify.md says nothing of %s", file)
		}
	}
	var script strings.Builder
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		script.WriteString(block[1])
	}
	if strings.Count(script.String(), "\n") < 15 {
		t.Fatalf("docs/verify.md has hardly any commands:\n%s", script.String())
	}
	commands := strings.NewReplacer("docker://registry.example.com/", "docker://"+address+"/", "-amd64.spdx", "-"+runtime.GOARCH+".spdx", "make release ", "make release PLATFORMS="+runtime.GOARCH+" ").Replace(script.String())
	_, noHelm := exec.LookPath(filepath.Join(helm, "helm"))
	if noHelm != nil {
		t.Log("without helm, whose commands are left out: build/helm is made by make test")
		commands = regexp.MustCompile(`(?m)^helm (?:.*\\\n)*.*\n`).ReplaceAllString(commands, "")
	}
	said := b.must(t, home, commands, other...)
	digest := strings.TrimSpace(b.must(t, downloads, "cat *.digest"))
	for _, one := range []string{"Good signature", "quay-rotator-" + b.version + ".oci.tar: OK", strings.TrimSpace(strings.Join(regexp.MustCompile(".{4}").FindAllString(key[:20], -1), " ")),
		"pkg:deb/debian/libc6@2.36-9%2Bdeb12u14"} {
		if !strings.Contains(said, one) {
			t.Errorf("nothing says %q:\n%s", one, said)
		}
	}
	if noHelm == nil {
		if want := "image: \"registry.example.com/quay-rotator@" + digest + "\""; !strings.Contains(strings.ReplaceAll(said, "'", "\""), want) {
			t.Errorf("nothing says %s:\n%s", want, said)
		}
	}
	sbomOfTheImage(t, downloads, digest)

	// One changed byte anywhere is noticed by one of the first commands.
	const check = "gpg --verify SHA256SUMS.asc SHA256SUMS && sha256sum --check --strict --ignore-missing SHA256SUMS"
	for _, file := range files(t, downloads) {
		if file == "release-key.asc" || strings.HasSuffix(file, ".prov") {
			continue // not what is trusted, and helm's own
		}
		path := filepath.Join(downloads, file)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := slices.Clone(content)
		changed[len(changed)/2] ^= 1
		write(t, path, string(changed))
		if output, err := b.shell(downloads, check, other...); err == nil {
			t.Errorf("a changed byte in %s was not noticed:\n%s", file, output)
		}
		write(t, path, string(content))
	}
	b.must(t, downloads, check, other...)
}

// The chart is what helm would pack: the same names, without links.
func TestTheChartAndTheManifests(t *testing.T) {
	b := newBench(t)
	b.must(t, b.tree, "make release SIGN=0 VERSION="+b.version+" PLATFORMS="+runtime.GOARCH)
	folder := filepath.Join(b.tree, "build/release")
	b.must(t, folder, fmt.Sprintf(`mkdir ../unpacked && tar -C ../unpacked -xzf quay-rotator-%s.tgz && diff -r ../unpacked/quay-rotator ../../charts/quay-rotator && test -z "$(find ../unpacked -type l)"`, b.chart))
	manifests := b.must(t, folder, "cat quay-rotator-"+b.version+".yaml")
	if !strings.Contains(manifests[:200], "kind: Namespace") || !strings.Contains(manifests, "quay-rotator:"+b.version) {
		t.Error("the manifests begin with no namespace or have no image of this version")
	}
	if crds := b.must(t, folder, "grep -c '^kind: CustomResourceDefinition' quay-rotator-"+b.version+"-crds.yaml"); strings.TrimSpace(crds) != "2" {
		t.Errorf("%s definitions", crds)
	}
}

// The bundle is that of the tree but for the image, and the command of docs/olm.md puts a registry before it.
func TestTheBundle(t *testing.T) {
	b := newBench(t)
	b.must(t, b.tree, "make release SIGN=0 VERSION="+b.version+" PLATFORMS="+runtime.GOARCH)
	folder := filepath.Join(b.tree, "build/release")
	digest := strings.TrimSpace(b.must(t, folder, "cat *.digest"))
	commands := regexp.MustCompile(`(?m)^(?:tar|sed) .*\n`).FindAllString(b.must(t, b.tree, "cat docs/olm.md"), -1)
	if len(commands) != 2 {
		t.Fatalf("docs/olm.md unpacks and changes the bundle by %q", commands)
	}
	b.must(t, folder, commands[0]+`test -z "$(find bundle ! -type d ! -type f)"`)
	const difference = `{ diff -r ../../bundle bundle || true; } | sed -n 's/^> *//p; /^Only/p' | sort`
	expected := "- image: IMAGE\ncontainerImage: IMAGE\nfeatures.operators.openshift.io/disconnected: \"true\"\nimage: IMAGE\n"
	for _, one := range []struct{ command, image string }{{"", "quay-rotator"}, {commands[1], "registry.example.com/quay-rotator"}} {
		if got := b.must(t, folder, one.command+difference, "LC_ALL=C"); got != strings.ReplaceAll(expected, "IMAGE", one.image+"@"+digest) {
			t.Errorf("after %q the bundle differs from that of the tree by\n%s", one.command, got)
		}
	}
}

func files(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// sbomOfTheImage: the list is about the very image that the digest names.
func sbomOfTheImage(t *testing.T, folder, digest string) {
	t.Helper()
	lists, _ := filepath.Glob(filepath.Join(folder, "*.spdx.json"))
	if len(lists) != 1 {
		t.Fatalf("%v", lists)
	}
	content, err := os.ReadFile(lists[0])
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Packages []struct {
			Name      string
			Checksums []struct{ ChecksumValue string }
		}
	}
	if err := json.Unmarshal(content, &list); err != nil {
		t.Fatal(err)
	}
	archive, _ := filepath.Glob(filepath.Join(folder, "*.oci.tar"))
	index, err := exec.Command("tar", "-xOf", archive[0], "blobs/sha256/"+strings.TrimPrefix(digest, "sha256:")).Output()
	if err != nil || !bytes.Contains(index, []byte(list.Packages[0].Checksums[0].ChecksumValue)) {
		t.Errorf("the SBOM is about %v, which the index has not: %v", list.Packages[0], err)
	}
}

// registry starts one on loopback, which takes the place of registry.example.com, and returns its address. In the folder
// skopeo finds that it may be asked without TLS.
func registry(t *testing.T, configuration string) string {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	folder := t.TempDir()
	config := filepath.Join(folder, "config.yml")
	write(t, config, fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n", folder, address))
	command := exec.Command(program, "serve", config)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if one, err := net.Dial("tcp", address); err == nil {
			one.Close()
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(configuration, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(configuration, "registries.conf"), fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", address))
	return address
}
