package chart

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden renderings anew")

func TestGeneratedFilesAreCurrent(t *testing.T) {
	files, err := Generated(root, helms()[0].program)
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range files {
		if found, err := os.ReadFile(filepath.Join(root, path)); err != nil || string(found) != content {
			t.Errorf("%s is not what `make generate` writes", path)
		}
	}
}

func TestEveryValueIsDescribed(t *testing.T) {
	_, err := parseValues([]byte("# -- One.\none: 1\ntwo: 2\n"))
	expectError(t, err, "two: has no comment")
	_, err = parseValues([]byte("# One.\none: 1\n"))
	expectError(t, err, "does not begin with # --")
	values, err := parseValues([]byte("# -- One.\none: {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = valuesSchema(values)
	expectError(t, err, "one: its @schema does not tell what may be in it")
}

func TestLint(t *testing.T) {
	for _, helm := range helms() {
		helm.do(t, "lint", "--strict", chartDirectory)
	}
}

// Archivers of GitOps tools leave links out without a word.
func TestNothingIsALink(t *testing.T) {
	err := filepath.WalkDir(chartDirectory, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !entry.Type().IsRegular() {
			t.Errorf("%s is not a regular file", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

var bad = []struct{ set, error string }{
	{"replica=3", "'replica' not allowed"},
	{"image.tags=a", "'tags' not allowed"},
	{"replicas=three", "'/replicas': got string, want integer"},
	{"replicas=-1", "'/replicas': minimum: got -1, want 0"},
	{"namespaces={123}", "'/namespaces/0': got number, want string"},
	{"namespaces={A}", "'/namespaces/0': 'A' does not match pattern"},
	{"namespaces={a,a}", "items at 0 and 1 are equal"},
	{"logLevel=loud", "'/logLevel': value must be one of 'debug', 'info', 'warning', 'error'"},
	{"image.digest=abc", "'/image/digest'"},
	{"driftInterval=soon", "'/driftInterval'"},
	{"terminationGracePeriodSeconds=10", "minimum: got 10, want 28"},
	{"commonLabels.a=b c", "'/commonLabels/a'"},
	{"podLabels.a=1", "'/podLabels/a': got number, want string"},
	{"leaderElection.id=A", "'/leaderElection/id'"},
	{"proxy.url=http://me:secret@proxy", "'/proxy/url'"},
	{"proxy.url=http://a,proxy.secretRef.name=b", "needs one of url and secretRef, not both"},
	{"ca.configMapRef.name=a,ca.secretRef.name=b", "needs one of configMapRef and secretRef, not both"},
}

func TestBadValuesAreRefused(t *testing.T) {
	for _, helm := range helms() {
		for _, one := range bad {
			_, err := helm.try(t, "template", "any", chartDirectory, "--kube-version", "1.36.0", "--set", one.set)
			expectError(t, err, one.error)
		}
	}
}

var renderings = []struct{ name, release, namespace, kubernetes string }{
	{"namespaced", "one", "operators", "1.36.0"},
	{"everything", "quay-rotator", "quay-rotator", "1.36.0"},
	{"least", "quay-rotator", "quay-rotator", "1.36.0"},
	{"odd-names", "1e3", "null", "1.36.0"},
	{"kubernetes-1.29", "quay-rotator", "quay-rotator", "1.29.0"},
}

func TestGoldenRenderings(t *testing.T) {
	for _, one := range renderings {
		t.Run(one.name, func(t *testing.T) {
			values := filepath.Join("testdata/values", one.name+".yaml")
			golden := filepath.Join("testdata/golden", one.name+".yaml")
			for _, helm := range helms() {
				rendered := helm.do(t, "template", one.release, chartDirectory, "--namespace", one.namespace,
					"--kube-version", one.kubernetes, "--values", values)
				if *update {
					if err := os.WriteFile(golden, []byte(rendered), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				expected, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if want, got := byName(t, string(expected)), byName(t, rendered); !reflect.DeepEqual(want, got) {
					t.Errorf("%s renders something else than %s; see what by\ngo test -C tests ./chart -run Golden -update && git diff", helm.name, golden)
				}
			}
		})
	}
}

// What the schema knows is in values.yaml, so a golden rendering with everything in it shows that each
// value does something.
func TestEveryValueIsUsed(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(chartDirectory, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	values, err := parseValues(text)
	if err != nil {
		t.Fatal(err)
	}
	templates := ""
	paths, err := filepath.Glob(filepath.Join(chartDirectory, "templates", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		templates += string(content)
	}
	var check func(values []value)
	check = func(values []value) {
		for _, one := range values {
			if one.children != nil {
				check(one.children)
			} else if !regexp.MustCompile(`\.` + one.name + `\b`).MatchString(templates) {
				t.Errorf("%s is in no template", one.path)
			}
		}
	}
	check(values)
}

func TestThereIsTimeForAnOrderlyEnd(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(root, "controller/app/shutdown.h"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`limit = std::chrono::seconds\((\d+)\)`).FindSubmatch(source)
	if found == nil {
		t.Fatal("controller/app/shutdown.h has no limit")
	}
	limit, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	rendered := helms()[0].do(t, "template", "any", chartDirectory, "--show-only", "templates/deployment.yaml")
	grace, _ := at(decode(t, rendered)[0], "spec", "template", "spec", "terminationGracePeriodSeconds").(int)
	if grace < limit+2 {
		t.Errorf("Kubernetes kills after %d s, the program ends itself after %d s", grace, limit)
	}
	_, err = helms()[0].try(t, "template", "any", chartDirectory, "--set",
		"terminationGracePeriodSeconds="+strconv.Itoa(limit))
	expectError(t, err, "terminationGracePeriodSeconds")
}

func TestVersionsMakeLegalLabels(t *testing.T) {
	for _, version := range []string{
		"0.2.0+1f3c2e5a7b90", "0.2.0-rc.1+" + strings.Repeat("long.", 20) + "x", "1.0.0-" + strings.Repeat("a-", 25) + "b",
	} {
		directory := t.TempDir()
		if err := os.CopyFS(directory, os.DirFS(chartDirectory)); err != nil {
			t.Fatal(err)
		}
		description := "apiVersion: v2\nname: quay-rotator\nversion: " + version + "\nappVersion: " + version + "\n"
		if err := os.WriteFile(filepath.Join(directory, "Chart.yaml"), []byte(description), 0o600); err != nil {
			t.Fatal(err)
		}
		legal := regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$`)
		for name, one := range byName(t, helms()[0].do(t, "template", "any", directory)) {
			labels, _ := at(one, "metadata", "labels").(object)
			for key, label := range labels {
				if text, ok := label.(string); !ok || !legal.MatchString(text) {
					t.Errorf("%s has the label %s: %v", name, key, label)
				}
			}
		}
	}
}

func TestKubernetesOfBefore(t *testing.T) {
	for version, policies := range map[string]bool{
		"1.29.15": false, "v1.29.4-eks-036c24b": false, "1.30.0": true, "v1.30.2+k3s1": true, "1.36.3": true,
	} {
		rendered := helms()[0].do(t, "template", "any", chartDirectory, "--kube-version", version)
		if strings.Contains(rendered, "ValidatingAdmissionPolicy") != policies {
			t.Errorf("on %s policies should be there: %v", version, policies)
		}
	}
	_, err := helms()[0].try(t, "template", "any", chartDirectory, "--kube-version", "1.28.0")
	expectError(t, err, "chart requires kubeVersion: >=1.29.0-0")
}
