// Package bundle asks operator-framework's own validators about the OLM bundle, and compares the bundle
// with what the chart renders. That both are current is for the tests of ../chart.
package bundle

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/operators/v1alpha1"
	"github.com/operator-framework/api/pkg/validation"
	validate "github.com/operator-framework/api/pkg/validation/interfaces"
	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

const root = "../.."

type object = map[string]any

func load(t *testing.T) *manifests.Bundle {
	t.Helper()
	_ = os.Getenv("UNCACHED") // go test does not see what is read outside of the module
	bundle, err := manifests.GetBundleFromDir(filepath.Join(root, "bundle"))
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

// Left out are those of package manifests and operator groups, of which a bundle has none, two that
// others have replaced, and the one of architectures, which has docker pull the image.
var validators = map[string]validate.Validator{
	"bundle":                validation.BundleValidator,
	"ClusterServiceVersion": validation.ClusterServiceVersionValidator,
	"definitions":           validation.CustomResourceDefinitionValidator,
	"objects":               validation.ObjectValidator,
	"good practices":        validation.GoodPracticesValidator,
	"OperatorHub":           validation.OperatorHubV2Validator,
	"capabilities":          validation.StandardCapabilitiesValidator,
	"categories":            validation.StandardCategoriesValidator,
	"removed APIs":          validation.AlphaDeprecatedAPIsValidator,
}

// In a rule no version is named: v1beta1 of this group was removed, and the operator writes v1.
const unfounded = `Migrate the API(s) for events: (["ClusterServiceVersion.Spec.InstallStrategy.StrategySpec.ClusterPermissions`

func complaints(bundle *manifests.Bundle) map[string][]string {
	objects := append(bundle.ObjectsToValidate(), map[string]string{"k8s-version": "1.36"})
	found := map[string][]string{}
	for name, one := range validators {
		for _, result := range one.Validate(objects...) {
			for _, complaint := range slices.Concat(result.Errors, result.Warnings) {
				if complaint.Level == "Error" || !strings.Contains(complaint.Error(), unfounded) {
					found[name] = append(found[name], complaint.Error())
				}
			}
		}
	}
	return found
}

func TestTheValidatorsFindNothing(t *testing.T) {
	for name, found := range complaints(load(t)) {
		t.Errorf("%s: %s", name, strings.Join(found, "\n"))
	}
}

// A bundle that each validator has something to say about, or silence would mean nothing.
func TestTheValidatorsFindWhatIsWrong(t *testing.T) {
	bundle := load(t)
	bundle.V1CRDs[0].Spec.Group = "example.com" // bundle, definitions
	bundle.CSV.Spec.InstallModes = nil
	bundle.CSV.Spec.CustomResourceDefinitions.Owned[1].Description = "" // good practices
	bundle.CSV.Spec.Provider.Name = ""                                  // OperatorHub
	bundle.CSV.Annotations["capabilities"] = "All of them"
	bundle.CSV.Annotations["categories"] = "Rotation"
	for _, one := range bundle.Objects {
		if one.GetKind() == "PodDisruptionBudget" {
			one.Object["spec"].(object)["maxUnavailable"] = int64(0) // objects
			one.SetAPIVersion("policy/v1beta1")                      // removed APIs
		}
	}
	found := complaints(bundle)
	for name := range validators {
		if len(found[name]) == 0 {
			t.Errorf("the validator %q finds nothing", name)
		}
	}
}

// all are the objects of a file, or of several.
func all(t *testing.T, pattern string) (objects []object) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %v, %v", pattern, paths, err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for text := range strings.SplitSeq(string(content), "\n---\n") {
			var one object
			if err := yaml.Unmarshal([]byte(text), &one); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if one != nil {
				objects = append(objects, one)
			}
		}
	}
	return objects
}

// as reads an object as a type of Kubernetes' own, which must know every field.
func as[T any](t *testing.T, value any) (typed T) {
	t.Helper()
	text, err := yaml.Marshal(value)
	if err == nil {
		err = yaml.UnmarshalStrict(text, &typed)
	}
	if err != nil {
		t.Fatal(err)
	}
	return typed
}

func metadata(one object) object {
	found, _ := one["metadata"].(object)
	return found
}

func key(one object) string {
	kind, _ := one["kind"].(string)
	name, _ := metadata(one)["name"].(string)
	return kind + " " + name
}

func byName(objects []object) map[string]object {
	named := map[string]object{}
	for _, one := range objects {
		named[key(one)] = one
	}
	return named
}

func expectEqual(t *testing.T, what string, expected, got any) {
	t.Helper()
	if !reflect.DeepEqual(expected, got) {
		t.Errorf("%s: the chart has\n%+v\nthe bundle has\n%+v", what, expected, got)
	}
}

// Each object that the chart renders is in the bundle, is made by OLM of what the ClusterServiceVersion
// says, or is left to kubectl; and the bundle has no more.
func TestTheBundleIsTheChart(t *testing.T) {
	csv := load(t).CSV
	strategy := csv.Spec.InstallStrategy.StrategySpec
	chart := byName(all(t, "deploy/quay-rotator.yaml"))
	inBundle, forKubectl := byName(all(t, "bundle/manifests/*.yaml")), byName(all(t, "bundle/policies.yaml"))
	delete(inBundle, "ClusterServiceVersion "+csv.Name)
	namespace := csv.Annotations["operatorframework.io/suggested-namespace"]
	account := ""
	granted := map[string][]v1alpha1.StrategyDeploymentPermissions{}
	for name, one := range chart {
		switch one["kind"] {
		case "Deployment":
			deployment := as[appsv1.Deployment](t, one)
			account = deployment.Spec.Template.Spec.ServiceAccountName
			expectEqual(t, name, []v1alpha1.StrategyDeploymentSpec{{Name: deployment.Name, Label: deployment.Labels, Spec: deployment.Spec}}, strategy.DeploymentSpecs)
			expectEqual(t, "its namespace", deployment.Namespace, namespace)
		case "ServiceAccount":
		case "ClusterRoleBinding", "RoleBinding":
			binding := as[rbacv1.RoleBinding](t, one)
			role := as[rbacv1.Role](t, chart[binding.RoleRef.Kind+" "+binding.RoleRef.Name])
			if len(binding.Subjects) != 1 || binding.Subjects[0].Kind != "ServiceAccount" || binding.Namespace != role.Namespace {
				t.Errorf("%s is not about one ServiceAccount and one namespace", name)
			}
			granted[binding.RoleRef.Kind] = append(granted[binding.RoleRef.Kind],
				v1alpha1.StrategyDeploymentPermissions{ServiceAccountName: binding.Subjects[0].Name, Rules: role.Rules})
		case "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding":
			expectEqual(t, name, one, forKubectl[name])
			delete(forKubectl, name)
		case "CustomResourceDefinition":
			expectEqual(t, name, one["spec"], inBundle[name]["spec"])
			delete(inBundle, name)
		default:
			if bound(chart, one) {
				continue // compared with its binding
			}
			delete(metadata(one), "namespace")
			expectEqual(t, name, one, inBundle[name])
			delete(inBundle, name)
		}
	}
	expectEqual(t, "permissions in the cluster", granted["ClusterRole"], strategy.ClusterPermissions)
	expectEqual(t, "permissions in the namespace", granted["Role"], strategy.Permissions)
	for _, one := range slices.Concat(strategy.ClusterPermissions, strategy.Permissions) {
		expectEqual(t, "the ServiceAccount", account, one.ServiceAccountName)
	}
	for _, more := range []map[string]object{inBundle, forKubectl} {
		for name := range more {
			t.Errorf("the chart renders no %s", name)
		}
	}
}

func bound(chart map[string]object, role object) bool {
	for _, one := range chart {
		reference, _ := one["roleRef"].(object)
		if reference["kind"] == role["kind"] && reference["name"] == metadata(role)["name"] {
			return true
		}
	}
	return false
}

// The kinds that OLM installs from a bundle, of those that the chart could have.
var known = []string{"ClusterServiceVersion", "CustomResourceDefinition", "ClusterRole", "Service", "PodDisruptionBudget"}

func TestOLMKnowsWhatTheBundleHolds(t *testing.T) {
	for _, one := range all(t, "bundle/manifests/*.yaml") {
		if kind, _ := one["kind"].(string); !slices.Contains(known, kind) {
			t.Errorf("%s: OLM installs no %s", key(one), kind)
		}
		if metadata(one)["namespace"] != nil {
			t.Errorf("%s has a namespace, which is the user's choice", key(one))
		}
	}
}

// There is one image, and the console, OLM and who mirrors it read it in three places.
func TestTheImage(t *testing.T) {
	csv := load(t).CSV
	image := csv.Spec.InstallStrategy.StrategySpec.DeploymentSpecs[0].Spec.Template.Spec.Containers[0].Image
	expectEqual(t, "containerImage", image, csv.Annotations["containerImage"])
	expectEqual(t, "relatedImages", []v1alpha1.RelatedImage{{Name: "quay-rotator", Image: image}}, csv.Spec.RelatedImages)
}

// The annotations are on the image of the bundle too.
func TestTheContainerfile(t *testing.T) {
	annotations := as[struct{ Annotations map[string]string }](t, all(t, "bundle/metadata/annotations.yaml")[0]).Annotations
	content, err := os.ReadFile(filepath.Join(root, "bundle/Containerfile"))
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{}
	for line := range strings.Lines(string(content)) {
		if label, found := strings.CutPrefix(strings.TrimSpace(line), "LABEL "); found {
			name, value, _ := strings.Cut(label, "=")
			labels[name] = value
		}
	}
	if !maps.Equal(labels, annotations) {
		t.Errorf("%v\n%v", labels, annotations)
	}
}
