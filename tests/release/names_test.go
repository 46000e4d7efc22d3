package release

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The names that docs/upgrading.md makes a promise about, as they were at the last release (before the first one: as they are
// to be in it). `UPDATE=1 go test ./release -run Names` brings the list up to date, which is part of making a release.
const promised = "names.txt"

func TestNamesStayWhatTheyAre(t *testing.T) {
	now := names(t)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(promised, []byte(strings.Join(now, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(promised)
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(string(content)) {
		if name = strings.TrimSpace(name); !slices.Contains(now, name) {
			t.Errorf("%s is gone. Users may rely on it: deprecate it first, as docs/upgrading.md says. When its time has come (or before the first release), "+
				"remove its line from tests/release/%s and tell of it in CHANGELOG.md", name, promised)
		}
	}
}

// names are all that there are, sorted.
func names(t *testing.T) []string {
	t.Helper()
	_ = os.Getenv("UNCACHED")
	found := map[string]bool{}
	count := map[string]int{}
	add := func(kind, name string) {
		if !found[kind+" "+name] {
			found[kind+" "+name] = true
			count[kind]++
		}
	}
	definitions, _ := filepath.Glob("../../crds/*.yaml")
	for _, file := range definitions {
		var definition struct {
			Spec struct {
				Names    struct{ Plural string }
				Versions []struct {
					Name   string
					Schema map[string]any
				}
			}
		}
		if err := yaml.Unmarshal([]byte(read(t, file)), &definition); err != nil {
			t.Fatal(err)
		}
		for _, version := range definition.Spec.Versions {
			fields(version.Schema["openAPIV3Schema"], definition.Spec.Names.Plural+"/"+version.Name, func(path string) { add("field", path) })
		}
	}
	var schema any
	if err := json.Unmarshal([]byte(read(t, "../../charts/quay-rotator/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	fields(schema, "", func(path string) { add("value", strings.TrimPrefix(path, ".")) })
	each := func(kind, pattern, text string) {
		for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			add(kind, match[1])
		}
	}
	err := filepath.WalkDir("../../controller", func(file string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, ".cpp") && !strings.HasSuffix(file, ".h") {
			return err
		}
		text := read(t, file)
		each("metric", `"(?:# [A-Z]+ )?(quay_rotator_[a-z_]+)\b`, text)
		each("metadata", `"(quayrotator\.dev/[a-z-]+)"`, text)
		if strings.HasPrefix(file, "../../controller/rotation/") || strings.HasPrefix(file, "../../controller/connection/") {
			each("condition", `\b(?:set|is_true|find|remove)\("([A-Z][A-Za-z]+)"`, text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	each("flag", `"(--[a-z-]+)",`, read(t, "../../controller/app/options.cpp"))
	for line := range strings.Lines(read(t, "../../docs/quay.md")) {
		if columns := strings.Split(line, "|"); len(columns) > 3 && columns[0] == "" {
			each("reason", "`([A-Z][a-z]+(?:[A-Z][A-Za-z]*)*)`", columns[1])
		}
	}
	for kind, least := range map[string]int{"field": 50, "value": 60, "metric": 15, "metadata": 4, "condition": 6, "flag": 12, "reason": 25} {
		if count[kind] < least {
			t.Errorf("only %d names of the kind %s were found: where are they now?", count[kind], kind)
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// fields visits the properties of a JSON schema.
func fields(schema any, path string, visit func(string)) {
	node, _ := schema.(map[string]any)
	properties, _ := node["properties"].(map[string]any)
	for name, property := range properties {
		visit(path + "." + name)
		fields(property, path+"."+name, visit)
	}
	if items, ok := node["items"]; ok {
		fields(items, path+"[]", visit)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
