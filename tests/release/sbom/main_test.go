package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// small is an image with a library from a package, one that is only compiled in, and a shared licence.
func small() image {
	return image{platform: "amd64", digest: "sha256:" + strings.Repeat("ab", 32), version: "1.2.3", revision: "c0ffee", created: "2026-01-02T03:04:05Z",
		programSum: strings.Repeat("cd", 32),
		files: map[string][]byte{
			"var/lib/dpkg/status.d/libz++1":           []byte("Package: libz++1\nArchitecture: amd64\nVersion: 1:2.0~rc1+b1\nSource: z (1:2.0~rc1)\n"),
			"usr/share/doc/libz++1/copyright":         []byte("License: Expat\n text\n\nLicense: Apache-2.0\n"),
			"usr/share/doc/libz++-dev/copyright":      []byte("License: Expat\n text\n\nLicense: Apache-2.0\n"),
			"usr/share/doc/libheader-dev/copyright":   []byte("all rights given"),
			"usr/share/doc/quay-rotator/copyright":    []byte("Apache"),
			"usr/share/doc/libheader-dev/NEWS.Debian": []byte("no licence"),
		}}
}

func TestNamesEachPackageAndItsLicence(t *testing.T) {
	list, err := describe(small(), map[string]debian{"libheader-dev": {"libheader-dev", "3-1", "all", "header (3-1)"}})
	if err != nil {
		t.Fatal(err)
	}
	valid(t, list)
	found := map[string]spdxPackage{}
	for _, one := range list.Packages {
		found[one.Name] = one
	}
	if len(found) != 5 {
		t.Errorf("%d packages instead of 5: %v", len(found), found)
	}
	library := found["libz++1"]
	const url = "pkg:deb/debian/libz%2B%2B1@1%3A2.0~rc1%2Bb1?arch=amd64&distro=debian-12&upstream=z%401%3A2.0~rc1"
	if library.Version != "1:2.0~rc1+b1" || len(library.ExternalRefs) != 1 || library.ExternalRefs[0].Locator != url ||
		library.LicenceComments != "Debian names the licences of the source: Apache-2.0, Expat" {
		t.Errorf("the library: %+v", library)
	}
	if same := found["libz++-dev"]; same.LicenceDeclared != library.LicenceDeclared || len(list.Extracted) != 2 {
		t.Errorf("one licence text stands there more than once: %+v", list.Extracted)
	}
	if unknown := found["libz++-dev"]; unknown.Version != "" || unknown.ExternalRefs != nil {
		t.Errorf("a version that nobody knows was made up: %+v", unknown)
	}
	if header := found["libheader-dev"]; header.Version != "3-1" || header.LicenceDeclared != "LicenseRef-Debian-libheader-dev" {
		t.Errorf("the header: %+v", header)
	}
	if program := found["quay-rotator"]; program.Checksums[0].Value != strings.Repeat("cd", 32) || program.SourceInfo != "built from commit c0ffee" {
		t.Errorf("the program: %+v", program)
	}
	again, err := describe(small(), map[string]debian{"libheader-dev": {"libheader-dev", "3-1", "all", "header (3-1)"}})
	if err != nil || !reflect.DeepEqual(again, list) {
		t.Error("the same image gave another list")
	}
}

func TestRefusesAnImageThatSaysTooLittle(t *testing.T) {
	for what, spoil := range map[string]func(*image){
		"no licence": func(i *image) { delete(i.files, "usr/share/doc/libz++1/copyright") },
		"no version": func(i *image) { i.version = "" },
		"no date":    func(i *image) { i.created = "" },
	} {
		one := small()
		spoil(&one)
		if _, err := describe(one, nil); err == nil {
			t.Errorf("%s, and no word of it", what)
		}
	}
}

// The image of `make image`: every package that it records is listed with that version, and nothing lacks one.
func TestListsAllThatTheImageRecords(t *testing.T) {
	_ = os.Getenv("UNCACHED") // go test sees what a test asks for: `make test` has this run anew each time
	archives, _ := filepath.Glob("../../../build/image/quay-rotator-*.oci.tar")
	if len(archives) == 0 {
		t.Skip("there is no image in build/image: make image")
	}
	archive, err := os.Open(archives[0])
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	images, err := readArchive(archive)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range images {
		asked := map[string]debian{}
		if _, err := os.Stat("/var/lib/dpkg/status"); one.platform == runtime.GOARCH && !errors.Is(err, fs.ErrNotExist) {
			if asked, err = ask("/var/lib/dpkg", one.compiledIn()); err != nil {
				t.Fatal(err)
			}
		}
		list, err := describe(one, asked)
		if err != nil {
			t.Fatal(err)
		}
		valid(t, list)
		listed := map[string]spdxPackage{}
		for _, entry := range list.Packages {
			listed[entry.Name] = entry
			if entry.Version == "" && len(asked) > 0 {
				t.Errorf("%s: %s has no version", one.platform, entry.Name)
			}
		}
		if installed := one.installed(); len(installed) < 10 {
			t.Errorf("%s: only %d packages", one.platform, len(installed))
		} else {
			for _, of := range installed {
				if listed[of.name].Version != of.version || of.version == "" {
					t.Errorf("%s: %s %s is listed as %q", one.platform, of.name, of.version, listed[of.name].Version)
				}
			}
		}
		for _, compiled := range []string{"nlohmann-json3-dev", "libboost1.74-dev"} {
			if _, ok := listed[compiled]; !ok {
				t.Errorf("%s: %s is compiled in and not listed", one.platform, compiled)
			}
		}
	}
}

// valid checks what SPDX 2.3 asks of what is used of it here. (pyspdxtools of PyPI's spdx-tools, which is not needed to
// run the tests, agrees.)
func valid(t *testing.T, list document) {
	t.Helper()
	want := func(what, value, pattern string) {
		t.Helper()
		if !regexp.MustCompile("^(?:" + pattern + ")$").MatchString(value) {
			t.Errorf("%s is %q", what, value)
		}
	}
	const (
		identifier = `SPDXRef-[A-Za-z0-9.-]+`
		actor      = `(?:Tool|Organization): .+`
	)
	want("spdxVersion", list.SPDXVersion, `SPDX-2\.3`)
	want("dataLicense", list.DataLicense, `CC0-1\.0`)
	want("SPDXID", list.SPDXID, `SPDXRef-DOCUMENT`)
	want("name", list.Name, `.+`)
	want("documentNamespace", list.DocumentNamespace, `https://[a-z.]+/[^# ]+`)
	if _, err := time.Parse("2006-01-02T15:04:05Z", list.CreationInfo.Created); err != nil {
		t.Error(err)
	}
	if len(list.CreationInfo.Creators) == 0 {
		t.Error("no creators")
	}
	for _, one := range list.CreationInfo.Creators {
		want("creator", one, actor)
	}
	licences := map[string]bool{"NOASSERTION": true, "Apache-2.0": true}
	for _, one := range list.Extracted {
		want("licenseId", one.ID, `LicenseRef-[A-Za-z0-9.-]+`)
		if one.Text == "" || licences[one.ID] {
			t.Errorf("%s has no text or stands there twice", one.ID)
		}
		licences[one.ID] = true
	}
	known := map[string]bool{list.SPDXID: true}
	for _, one := range list.Packages {
		want("package's name", one.Name, `.+`)
		want(one.Name+": SPDXID", one.SPDXID, identifier)
		want(one.Name+": supplier", one.Supplier, actor)
		want(one.Name+": downloadLocation", one.DownloadLocation, `NOASSERTION|https://.+`)
		want(one.Name+": copyrightText", one.Copyright, `.+`)
		if known[one.SPDXID] || !licences[one.LicenceDeclared] || !licences[one.LicenceConcluded] || one.FilesAnalyzed {
			t.Errorf("%s has no identifier or licence of its own, or files that nobody analyzed", one.Name)
		}
		known[one.SPDXID] = true
		for _, sum := range one.Checksums {
			want(one.Name+": checksum", sum.Algorithm+" "+sum.Value, `SHA256 [0-9a-f]{64}`)
		}
		for _, ref := range one.ExternalRefs {
			want(one.Name+": reference", ref.Category+" "+ref.Type+" "+ref.Locator, `PACKAGE-MANAGER purl pkg:(?:deb/debian|oci)/[^/@ ]+@[^/@ ?]+\?[^ ]+`)
		}
	}
	described := 0
	for _, one := range list.Relationships {
		want("relationship", one.Type, `DESCRIBES|CONTAINS|STATIC_LINK`)
		if !known[one.From] || !known[one.To] {
			t.Errorf("%s %s %s relates what is not there", one.From, one.Type, one.To)
		}
		if one.Type == "DESCRIBES" {
			described++
		}
	}
	if described != 1 {
		t.Errorf("the document describes %d things", described)
	}
}
