// Package image tests the container image in build/image, which `make image` makes: what is in it, that
// another folder makes the same, and that it runs with nothing but itself.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/x509"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	program  = "usr/bin/quay-rotator"
	bundle   = "etc/ssl/certs/ca-certificates.crt"
	mostSize = 8_000_000 // compressed
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Platform    map[string]string `json:"platform"`
	Annotations map[string]string `json:"annotations"`
}

// An image is one platform's.
type image struct {
	platform     string
	architecture string // as in its configuration
	config       struct {
		User       string
		Entrypoint []string
		Labels     map[string]string
	}
	created time.Time
	layer   descriptor
	files   map[string]file
	names   []string // in the layer's order
}

type file struct {
	tar.Header
	content []byte
}

func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func layoutFolder(t *testing.T) string { return filepath.Join(repository(t), "build/image/oci") }

// blob reads and checks what the descriptor names.
func blob(t *testing.T, what descriptor) []byte {
	t.Helper()
	hash, found := strings.CutPrefix(what.Digest, "sha256:")
	if !found {
		t.Fatalf("%s is no sha256", what.Digest)
	}
	content, err := os.ReadFile(filepath.Join(layoutFolder(t), "blobs/sha256", hash))
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != hash || int64(len(content)) != what.Size {
		t.Fatalf("the blob %s is not what its name and size say", what.Digest)
	}
	return content
}

func decode(t *testing.T, content []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatal(err)
	}
}

// images reads every platform's.
func images(t *testing.T) []image {
	t.Helper()
	_ = os.Getenv("UNCACHED") // go test sees what a test asks for: `make test` has these run anew each time
	content, err := os.ReadFile(filepath.Join(layoutFolder(t), "index.json"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("there is no image in build/image: make image")
	}
	if err != nil {
		t.Fatal(err)
	}
	var index struct{ Manifests []descriptor }
	decode(t, content, &index)
	if len(index.Manifests) != 1 {
		t.Fatalf("the layout has %d references, not one", len(index.Manifests))
	}
	names := index.Manifests[0].Annotations // what skopeo asks for, and what containerd calls it
	if names["io.containerd.image.name"] != "docker.io/library/quay-rotator:"+names["org.opencontainers.image.ref.name"] {
		t.Errorf("the layout's names are %v", names)
	}
	decode(t, blob(t, index.Manifests[0]), &index)
	var all []image
	for _, entry := range index.Manifests {
		all = append(all, read(t, entry))
	}
	return all
}

func read(t *testing.T, entry descriptor) image {
	t.Helper()
	made := image{platform: entry.Platform["architecture"], files: map[string]file{}}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	decode(t, blob(t, entry), &manifest)
	var configuration struct {
		Architecture string
		Created      time.Time
		Config       json.RawMessage
		RootFS       struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	decode(t, blob(t, manifest.Config), &configuration)
	decode(t, configuration.Config, &made.config)
	made.created, made.architecture = configuration.Created, configuration.Architecture
	if len(manifest.Layers) != 1 || len(configuration.RootFS.DiffIDs) != 1 {
		t.Fatal("there is to be one layer")
	}
	made.layer = manifest.Layers[0]
	unpacked, err := gzip.NewReader(bytes.NewReader(blob(t, made.layer)))
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.New()
	archive := tar.NewReader(io.TeeReader(unpacked, hash))
	for {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		name := path.Clean(header.Name)
		made.names = append(made.names, header.Name)
		made.files[name] = file{*header, content}
	}
	_, _ = io.Copy(hash, unpacked) // what follows the archive's end
	if "sha256:"+hex.EncodeToString(hash.Sum(nil)) != configuration.RootFS.DiffIDs[0] {
		t.Error("diff_ids does not name the layer's content")
	}
	return made
}

// find follows symbolic links of the image, in any part of the name.
func (i image) find(name string) (string, bool) {
	resolved := "."
	for parts := strings.Split(path.Clean(strings.TrimPrefix(name, "/")), "/"); len(parts) > 0; {
		next := path.Join(resolved, parts[0])
		parts = parts[1:]
		found, exists := i.files[next]
		if !exists {
			return "", false
		}
		if found.Typeflag != tar.TypeSymlink {
			resolved = next
			continue
		}
		target := found.Linkname
		if !path.IsAbs(target) {
			target = path.Join(resolved, target)
		}
		target = strings.TrimPrefix(path.Clean(target), "/")
		parts = append(strings.Split(target, "/"), parts...)
		resolved = "."
	}
	return resolved, true
}

func each(t *testing.T, do func(*testing.T, image)) {
	for _, each := range images(t) {
		t.Run(each.platform, func(t *testing.T) { do(t, each) })
	}
}

func TestConfiguration(t *testing.T) {
	each(t, func(t *testing.T, i image) {
		if i.architecture != i.platform {
			t.Errorf("the index says %s, the image %s", i.platform, i.architecture)
		}
		if i.config.User != "65532:65532" || !slices.Equal(i.config.Entrypoint, []string{"/" + program}) {
			t.Errorf("user %q, entrypoint %q", i.config.User, i.config.Entrypoint)
		}
		for _, label := range []string{"title", "description", "version", "revision", "created", "source", "licenses"} {
			if i.config.Labels["org.opencontainers.image."+label] == "" {
				t.Errorf("the label %s is missing", label)
			}
		}
		if i.layer.Size > mostSize {
			t.Errorf("compressed, it has %d bytes, more than %d", i.layer.Size, mostSize)
		}
		t.Logf("%d bytes compressed", i.layer.Size)
	})
}

func TestFilesAreReadOnlyForEverybodyAndOfOneTime(t *testing.T) {
	each(t, func(t *testing.T, i image) {
		if !slices.IsSortedFunc(i.names, func(one, other string) int {
			return slices.Compare(strings.Split(strings.TrimSuffix(one, "/"), "/"), strings.Split(strings.TrimSuffix(other, "/"), "/"))
		}) {
			t.Error("the files are not sorted")
		}
		for name, file := range i.files {
			if !file.ModTime.Equal(i.created) || file.Uid != 0 || file.Gid != 0 {
				t.Errorf("%s has time %s, owner %d, group %d", name, file.ModTime, file.Uid, file.Gid)
			}
			switch file.Typeflag {
			case tar.TypeReg, tar.TypeDir:
				wanted := int64(0o644)
				if file.Typeflag == tar.TypeDir || file.Mode&0o100 != 0 {
					wanted = 0o755
				}
				if file.Mode&0o7777 != wanted {
					t.Errorf("%s has mode %o", name, file.Mode)
				}
			case tar.TypeSymlink:
				if _, found := i.find(name); !found {
					t.Errorf("%s links to nothing: %s", name, file.Linkname)
				}
			default:
				t.Errorf("%s is of type %c", name, file.Typeflag)
			}
		}
	})
}

func TestOnlyTheProgramCanBeStarted(t *testing.T) {
	each(t, func(t *testing.T, i image) {
		for name, file := range i.files {
			if file.Typeflag == tar.TypeReg && file.Mode&0o111 != 0 && name != program && !bytes.HasPrefix(file.content, []byte("\x7fELF")) {
				t.Errorf("%s is a script", name)
			}
			if strings.Contains("/"+path.Dir(name)+"/", "bin/") && name != program {
				t.Errorf("%s is among the programs", name)
			}
		}
	})
}

func TestLibrariesAreThoseThatAreNeeded(t *testing.T) {
	each(t, func(t *testing.T, i image) {
		machine := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[i.platform]
		triple := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[i.platform]
		needed := map[string]bool{}
		queue := []string{program}
		for len(queue) > 0 {
			name, found := i.find(queue[0])
			queue = queue[1:]
			if !found {
				t.Fatalf("%s is missing", name)
			}
			if needed[name] {
				continue
			}
			needed[name] = true
			object, err := elf.NewFile(bytes.NewReader(i.files[name].content))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if object.Machine != machine {
				t.Errorf("%s is for %s", name, object.Machine)
			}
			libraries, err := object.ImportedLibraries()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, library := range libraries {
				queue = append(queue, "usr/lib/"+triple+"/"+library)
			}
			if section := object.Section(".interp"); section != nil {
				loader, _ := section.Data()
				queue = append(queue, string(bytes.TrimRight(loader, "\x00")))
			}
			if name == program && object.Section(".symtab") != nil {
				t.Error("the program is not stripped")
			}
		}
		for name, file := range i.files {
			if bytes.HasPrefix(file.content, []byte("\x7fELF")) && !needed[name] {
				t.Errorf("nobody needs %s", name)
			}
		}
	})
}

func TestNoPathOfTheMachineIsInTheProgram(t *testing.T) {
	root := repository(t)
	home, _ := os.UserHomeDir()
	each(t, func(t *testing.T, i image) {
		for _, folder := range []string{root, home} {
			if bytes.Contains(i.files[program].content, []byte(folder+"/")) {
				t.Errorf("the program contains %s", folder)
			}
		}
	})
}

func TestCertificatesOfPublicAuthorities(t *testing.T) {
	each(t, func(t *testing.T, i image) {
		for _, place := range []string{bundle, "usr/lib/ssl/cert.pem"} {
			name, found := i.find(place)
			if !found {
				t.Fatalf("%s is missing", place)
			}
			names := map[string]bool{}
			for rest := i.files[name].content; ; {
				var block *pem.Block
				if block, rest = pem.Decode(rest); block == nil {
					break
				}
				certificate, err := x509.ParseCertificate(block.Bytes)
				if err != nil {
					t.Fatal(err)
				}
				names[certificate.Subject.CommonName] = true
			}
			for _, known := range []string{"ISRG Root X1", "DigiCert Global Root G2", "GTS Root R1", "Amazon Root CA 1"} {
				if !names[known] {
					t.Errorf("%s lacks %s", place, known)
				}
			}
			if len(names) < 100 {
				t.Errorf("%s has %d certificates", place, len(names))
			}
		}
	})
}

func TestTimeZones(t *testing.T) {
	each(t, func(t *testing.T, i image) {
		for zone, offset := range map[string]int{"Europe/Berlin": 2 * 3600, "America/New_York": -4 * 3600,
			"Asia/Kolkata": 5*3600 + 1800, "UTC": 0, "Asia/Calcutta": 5*3600 + 1800} {
			name, found := i.find("usr/share/zoneinfo/" + zone)
			if !found {
				t.Errorf("%s is missing", zone)
				continue
			}
			location, err := time.LoadLocationFromTZData(zone, i.files[name].content)
			if err != nil {
				t.Errorf("%s: %v", zone, err)
				continue
			}
			if _, is := time.Date(2026, 7, 1, 0, 0, 0, 0, location).Zone(); is != offset {
				t.Errorf("%s is %d s from UTC in July, expected %d", zone, is, offset)
			}
		}
	})
}

// Scanners read one file a package; each package brings its licence, and so do those whose headers were
// compiled in.
func TestPackagesAndTheirLicences(t *testing.T) {
	each(t, func(t *testing.T, i image) {
		packages := map[string]bool{"quay-rotator": true, "nlohmann-json3-dev": true, "libboost1.74-dev": true, "libexpected-dev": true, "libcli11-dev": true}
		for name, file := range i.files {
			if path.Dir(name) != "var/lib/dpkg/status.d" {
				continue
			}
			fields := map[string]string{}
			for line := range strings.Lines(string(file.content)) {
				key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
				fields[key] = value
			}
			if fields["Package"] != path.Base(name) || fields["Version"] == "" || fields["Source"] == "" {
				t.Errorf("%s: %v", name, fields)
			}
			packages[path.Base(name)] = true
		}
		for _, known := range []string{"libc6", "libssl3", "libcpprest2.10", "ca-certificates", "tzdata"} {
			if !packages[known] {
				t.Errorf("%s is not listed", known)
			}
		}
		for name := range packages {
			licence, found := i.find("usr/share/doc/" + name + "/copyright")
			if !found || len(i.files[licence].content) < 300 {
				t.Errorf("the licence of %s is missing", name)
			}
		}
		if _, found := i.find("usr/share/common-licenses/GPL-3"); !found {
			t.Error("the GPL, to which the licence of libstdc++ refers, is missing")
		}
		t.Logf("%s", strings.Join(slices.Sorted(maps.Keys(packages)), " "))
	})
}

// Another folder, another user's habits, another day: the same digest.
func TestAnotherFolderMakesTheSameImage(t *testing.T) {
	if images(t)[0].platform != "amd64" {
		t.Skip("not this machine's platform")
	}
	folder := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	copying := exec.Command("sh", "-c", `umask 022; tar -C "$1" --exclude=./build -c . | tar -x -C "$2"`, "sh", repository(t), folder)
	if output, err := copying.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	previous := syscall.Umask(0o077)
	defer syscall.Umask(previous)
	build := exec.Command("image/build.sh", "-o", "build/other")
	build.Dir = folder
	build.Env = append(os.Environ(), "TZ=Pacific/Kiritimati", "LC_COLLATE=C.UTF-8")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	platforms := []string{}
	for _, image := range images(t) {
		platforms = append(platforms, image.platform)
	}
	first, err := os.ReadFile(filepath.Join(repository(t), "build/image/digest"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(filepath.Join(folder, "build/other/digest"))
	if err != nil {
		t.Fatal(err)
	}
	if len(platforms) == 1 && !bytes.Equal(first, second) {
		t.Errorf("%s here, %s there", first, second)
	}
	t.Logf("%s", second)
}

func TestContainerfileSaysTheSame(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(repository(t), "Containerfile"))
	if err != nil {
		t.Fatal(err)
	}
	one := images(t)[0]
	wanted := []string{"USER " + one.config.User, `ENTRYPOINT ["` + one.config.Entrypoint[0] + `"]`}
	for _, label := range []string{"title", "description", "version", "source", "licenses"} {
		name := "org.opencontainers.image." + label
		wanted = append(wanted, name+`="`+one.config.Labels[name]+`"`)
	}
	for _, line := range wanted {
		if !bytes.Contains(content, []byte(line)) {
			t.Errorf("it lacks %s", line)
		}
	}
}
