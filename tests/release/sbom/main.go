// Command sbom lists what an image holds, as SPDX 2.3, from the archive that `make image` makes:
//
//	sbom ARCHIVE PREFIX [PLATFORM=ADMINDIR...]
//
// writes PREFIX-PLATFORM.spdx.json for each platform in the archive. Debian packages come from the image's own
// records. What was only compiled in has its licence in the image but no version: that is asked of dpkg
// in ADMINDIR, of the Debian that the program was compiled against. The same archive gives the same files.
package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
)

type document struct {
	SPDXVersion       string         `json:"spdxVersion"`
	DataLicense       string         `json:"dataLicense"`
	SPDXID            string         `json:"SPDXID"`
	Name              string         `json:"name"`
	DocumentNamespace string         `json:"documentNamespace"`
	CreationInfo      creationInfo   `json:"creationInfo"`
	Packages          []spdxPackage  `json:"packages"`
	Extracted         []licence      `json:"hasExtractedLicensingInfos"`
	Relationships     []relationship `json:"relationships"`
}

type creationInfo struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	Name             string      `json:"name"`
	SPDXID           string      `json:"SPDXID"`
	Version          string      `json:"versionInfo,omitempty"`
	Supplier         string      `json:"supplier"`
	DownloadLocation string      `json:"downloadLocation"`
	FilesAnalyzed    bool        `json:"filesAnalyzed"`
	Checksums        []checksum  `json:"checksums,omitempty"`
	SourceInfo       string      `json:"sourceInfo,omitempty"`
	LicenceConcluded string      `json:"licenseConcluded"`
	LicenceDeclared  string      `json:"licenseDeclared"`
	LicenceComments  string      `json:"licenseComments,omitempty"`
	Copyright        string      `json:"copyrightText"`
	ExternalRefs     []reference `json:"externalRefs,omitempty"`
	Purpose          string      `json:"primaryPackagePurpose,omitempty"`
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type reference struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type licence struct {
	ID   string `json:"licenseId"`
	Name string `json:"name"`
	Text string `json:"extractedText"`
}

type relationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

// debian is what its records say of a package.
type debian struct{ name, version, architecture, source string }

// An image is one platform's: what the list is made from.
type image struct {
	platform, digest, version, revision, created string
	files                                        map[string][]byte // of interest here, links followed
	programSum                                   string
}

const noAssertion = "NOASSERTION"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) < 2 {
		return errors.New("usage: sbom ARCHIVE PREFIX [PLATFORM=ADMINDIR...]")
	}
	admin := map[string]string{}
	for _, one := range arguments[2:] {
		platform, folder, _ := strings.Cut(one, "=")
		admin[platform] = folder
	}
	archive, err := os.Open(arguments[0])
	if err != nil {
		return err
	}
	defer archive.Close()
	images, err := readArchive(archive)
	if err != nil {
		return fmt.Errorf("%s: %w", arguments[0], err)
	}
	for _, one := range images {
		asked := map[string]debian{}
		if folder := admin[one.platform]; folder != "" {
			if asked, err = ask(folder, one.compiledIn()); err != nil {
				return err
			}
		}
		list, err := describe(one, asked)
		if err != nil {
			return fmt.Errorf("%s: %w", one.platform, err)
		}
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", " ")
		if err := encoder.Encode(list); err != nil {
			return err
		}
		if err := os.WriteFile(arguments[1]+"-"+one.platform+".spdx.json", text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// readArchive reads an OCI layout's index of platforms. All is our own, of some megabytes: it fits into memory.
func readArchive(from io.Reader) ([]image, error) {
	blobs := map[string][]byte{}
	err := eachFile(from, func(header *tar.Header, content []byte) { blobs[path.Clean(header.Name)] = content })
	if err != nil {
		return nil, err
	}
	type descriptor struct {
		Digest   string
		Platform struct{ Architecture string }
	}
	read := func(digest string, into any) error {
		content := blobs["blobs/sha256/"+strings.TrimPrefix(digest, "sha256:")]
		if sum := sha256.Sum256(content); "sha256:"+hex.EncodeToString(sum[:]) != digest {
			return fmt.Errorf("the blob %s is missing or damaged", digest)
		}
		if raw, ok := into.(*[]byte); ok {
			*raw = content
			return nil
		}
		return json.Unmarshal(content, into)
	}
	var index struct{ Manifests []descriptor }
	if err := json.Unmarshal(blobs["index.json"], &index); err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	if len(index.Manifests) != 1 {
		return nil, fmt.Errorf("%d references instead of one", len(index.Manifests))
	}
	if err := read(index.Manifests[0].Digest, &index); err != nil {
		return nil, err
	}
	var images []image
	for _, entry := range index.Manifests {
		var manifest struct {
			Config descriptor
			Layers []descriptor
		}
		var config struct {
			Created string
			Config  struct{ Labels map[string]string }
		}
		if err := read(entry.Digest, &manifest); err != nil {
			return nil, err
		}
		if err := read(manifest.Config.Digest, &config); err != nil {
			return nil, err
		}
		one := image{platform: entry.Platform.Architecture, digest: entry.Digest, created: config.Created,
			version: config.Config.Labels["org.opencontainers.image.version"], revision: config.Config.Labels["org.opencontainers.image.revision"]}
		if len(manifest.Layers) != 1 {
			return nil, fmt.Errorf("%d layers instead of one", len(manifest.Layers))
		}
		var layer []byte
		if err := read(manifest.Layers[0].Digest, &layer); err != nil {
			return nil, err
		}
		if err := one.readLayer(layer); err != nil {
			return nil, err
		}
		images = append(images, one)
	}
	return images, nil
}

func (i *image) readLayer(layer []byte) error {
	plain, err := gzip.NewReader(bytes.NewReader(layer))
	if err != nil {
		return err
	}
	i.files = map[string][]byte{}
	links := map[string]string{}
	err = eachFile(plain, func(header *tar.Header, content []byte) {
		name := path.Clean(header.Name)
		switch {
		case name == "usr/bin/quay-rotator":
			sum := sha256.Sum256(content)
			i.programSum = hex.EncodeToString(sum[:])
		case !strings.HasPrefix(name, "usr/share/doc/") && !strings.HasPrefix(name, "var/lib/dpkg/status.d/"):
		case header.Typeflag == tar.TypeSymlink:
			links[name] = path.Join(path.Dir(name), header.Linkname)
		case header.Typeflag == tar.TypeReg:
			i.files[name] = content
		}
	})
	for name, target := range links {
		i.files[name] = i.files[target]
	}
	if err == nil && i.programSum == "" {
		err = errors.New("there is no program in the image")
	}
	return err
}

func eachFile(from io.Reader, visit func(*tar.Header, []byte)) error {
	reader := tar.NewReader(from)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			return err
		}
		visit(header, content)
	}
}

// installed are the packages that have files in the image.
func (i *image) installed() []debian {
	var all []debian
	for _, name := range slices.Sorted(maps.Keys(i.files)) {
		if strings.HasPrefix(name, "var/lib/dpkg/status.d/") {
			all = append(all, record(i.files[name]))
		}
	}
	return all
}

func record(text []byte) debian {
	fields := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		fields[key] = strings.TrimSpace(value)
	}
	return debian{fields["Package"], fields["Version"], fields["Architecture"], fields["Source"]}
}

// compiledIn are the packages that have a licence in the image but no file: their headers and static
// libraries are in the program.
func (i *image) compiledIn() []string {
	var names []string
	for name := range i.files {
		if folder, found := strings.CutSuffix(name, "/copyright"); found {
			name := path.Base(folder)
			if _, installed := i.files["var/lib/dpkg/status.d/"+name]; !installed && name != "quay-rotator" {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// ask reads dpkg's records of some packages.
func ask(admin string, names []string) (map[string]debian, error) {
	known := map[string]debian{}
	if len(names) == 0 {
		return known, nil
	}
	const format = "Package: ${Package}\nVersion: ${Version}\nArchitecture: ${Architecture}\nSource: ${source:Package} (${source:Version})\n\n"
	arguments := append([]string{"--admindir=" + admin, "-W", "-f=" + format}, names...)
	text, err := exec.Command("dpkg-query", arguments...).Output()
	if err != nil {
		return nil, fmt.Errorf("dpkg-query in %s knows not all of %s: %w", admin, strings.Join(names, ", "), err)
	}
	for one := range bytes.SplitSeq(bytes.TrimSpace(text), []byte("\n\n")) {
		found := record(one)
		known[found.name] = found
	}
	return known, nil
}

var noIdentifier = regexp.MustCompile(`[^A-Za-z0-9.-]`)

func identifier(name string) string { return "SPDXRef-" + noIdentifier.ReplaceAllString(name, "-") }

// describe writes the list. asked has the versions of what was compiled in, as far as they are known.
func describe(from image, asked map[string]debian) (document, error) {
	if from.version == "" || from.created == "" {
		return document{}, errors.New("the image has no version or no date")
	}
	list := document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT",
		Name:              "quay-rotator " + from.version + " for " + from.platform,
		DocumentNamespace: fmt.Sprintf("https://quayrotator.dev/spdx/quay-rotator-%s-%s-%s", from.version, from.platform, strings.TrimPrefix(from.digest, "sha256:")),
		CreationInfo:      creationInfo{from.created, []string{"Tool: quay-rotator-sbom-" + from.version, "Organization: quay-rotator"}},
		Extracted:         []licence{},
	}
	imageID, programID := identifier("image"), identifier("program")
	relate := func(from, how, to string) {
		list.Relationships = append(list.Relationships, relationship{from, how, to})
	}
	ours := spdxPackage{Version: from.version, Supplier: "Organization: quay-rotator", DownloadLocation: noAssertion,
		SourceInfo: "built from commit " + from.revision, LicenceConcluded: noAssertion, LicenceDeclared: "Apache-2.0", Copyright: noAssertion}
	image, program := ours, ours
	image.Name, image.SPDXID, image.Purpose = "quay-rotator-image", imageID, "CONTAINER"
	image.LicenceDeclared = noAssertion // the program's and those of everything else
	image.Checksums = []checksum{{"SHA256", strings.TrimPrefix(from.digest, "sha256:")}}
	image.ExternalRefs = []reference{{"PACKAGE-MANAGER", "purl",
		"pkg:oci/quay-rotator@" + strings.Replace(from.digest, ":", "%3A", 1) + "?arch=" + from.platform + "&tag=" + escape(from.version)}}
	program.Name, program.SPDXID, program.Purpose = "quay-rotator", programID, "APPLICATION"
	program.Checksums = []checksum{{"SHA256", from.programSum}}
	list.Packages = []spdxPackage{image, program}
	relate(list.SPDXID, "DESCRIBES", imageID)
	relate(imageID, "CONTAINS", programID)

	texts := map[string]string{} // to the licence's identifier
	add := func(of debian) (string, error) {
		text := string(from.files["usr/share/doc/"+of.name+"/copyright"])
		if text == "" {
			return "", fmt.Errorf("the image has no licence of %s", of.name)
		}
		if texts[text] == "" {
			texts[text] = "LicenseRef-Debian-" + noIdentifier.ReplaceAllString(of.name, "-")
			list.Extracted = append(list.Extracted, licence{texts[text], "Debian's copyright file of " + of.name, strings.ToValidUTF8(text, "\uFFFD")})
		}
		one := spdxPackage{Name: of.name, SPDXID: identifier("deb-" + of.name), Version: of.version, Supplier: "Organization: Debian",
			DownloadLocation: noAssertion, LicenceConcluded: noAssertion, LicenceDeclared: texts[text], LicenceComments: names(text),
			Copyright: noAssertion}
		if of.source != "" {
			one.SourceInfo = "built from Debian's source package " + of.source
		}
		if of.version != "" {
			one.ExternalRefs = []reference{{"PACKAGE-MANAGER", "purl", locator(of)}}
		}
		list.Packages = append(list.Packages, one)
		return one.SPDXID, nil
	}
	for _, one := range from.installed() {
		id, err := add(one)
		if err != nil {
			return list, err
		}
		relate(imageID, "CONTAINS", id)
	}
	for _, name := range from.compiledIn() {
		id, err := add(cmp.Or(asked[name], debian{name: name}))
		if err != nil {
			return list, err
		}
		relate(programID, "STATIC_LINK", id)
	}
	return list, nil
}

// names are what Debian calls the licences in a copyright file of its own format.
func names(copyright string) string {
	found := map[string]bool{}
	for line := range strings.Lines(copyright) {
		if name, is := strings.CutPrefix(line, "License:"); is && strings.TrimSpace(name) != "" {
			found[strings.TrimSpace(name)] = true
		}
	}
	if len(found) == 0 {
		return ""
	}
	return "Debian names the licences of the source: " + strings.Join(slices.Sorted(maps.Keys(found)), ", ")
}

// locator is a package URL, by which scanners look a package up.
func locator(of debian) string {
	url := "pkg:deb/debian/" + escape(of.name) + "@" + escape(of.version) + "?arch=" + of.architecture + "&distro=debian-12"
	if source, version, _ := strings.Cut(strings.TrimSuffix(of.source, ")"), " ("); source != "" && (source != of.name || version != of.version) {
		url += "&upstream=" + escape(source) + "%40" + escape(version)
	}
	return url
}

// escape leaves what a package URL leaves.
func escape(text string) string {
	var out strings.Builder
	for _, c := range []byte(text) {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte(".-_~", c) >= 0 {
			out.WriteByte(c)
		} else {
			fmt.Fprintf(&out, "%%%02X", c)
		}
	}
	return out.String()
}
