package chart

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	bundlePath = "bundle"
	channel    = "candidate" // while the resources are v1alpha1
)

type fields = map[string]any

// bundleAnnotations are in the bundle's metadata and on its image. Version 1 of the format is named
// registry+v1.
var bundleAnnotations = map[string]string{
	"operators.operatorframework.io.bundle.mediatype.v1":       "registry+v1",
	"operators.operatorframework.io.bundle.manifests.v1":       "manifests/",
	"operators.operatorframework.io.bundle.metadata.v1":        "metadata/",
	"operators.operatorframework.io.bundle.package.v1":         namespace,
	"operators.operatorframework.io.bundle.channels.v1":        channel,
	"operators.operatorframework.io.bundle.channel.default.v1": channel,
}

// features are what OpenShift asks of an operator; "false" also where nothing has been tested.
var features = map[string]string{
	"disconnected":     "false", // `make release` names the image by its digest, and says true
	"fips-compliant":   "false",
	"proxy-aware":      "true",
	"tls-profiles":     "false",
	"token-auth-aws":   "false",
	"token-auth-azure": "false",
	"token-auth-gcp":   "false",
	"cnf":              "false",
	"cni":              "false",
	"csi":              "false",
}

// A rendered is what is read of an object that the chart renders.
type rendered struct {
	Kind     string
	Metadata struct {
		Name   string
		Labels map[string]string
	}
	Spec     fields
	Rules    []any
	RoleRef  struct{ Name string } `yaml:"roleRef"`
	Subjects []struct{ Kind, Name string }

	whole fields
}

func (r *rendered) UnmarshalYAML(node *yaml.Node) error {
	type plain rendered
	return errors.Join(node.Decode((*plain)(r)), node.Decode(&r.whole))
}

// bundleFiles makes an OLM bundle of what the chart renders: its Deployment and what its ServiceAccount
// may do for OLM to make, and other objects that OLM knows. Admission policies, which it does not know,
// go into a file for kubectl.
func bundleFiles(root, manifests string) (map[string]string, error) {
	files := map[string]string{}
	generated := "# " + strings.ToUpper(remark[:1]) + remark[1:] + ".\n"
	write := func(path string, content any) error {
		var text bytes.Buffer
		encoder := yaml.NewEncoder(&text)
		encoder.SetIndent(2)
		err := encoder.Encode(content)
		files[filepath.Join(bundlePath, path)] = generated + text.String()
		return err
	}
	var all []rendered
	policies := ""
	for text := range strings.SplitSeq(strings.TrimPrefix(manifests, "---\n"), "\n---\n") {
		var one rendered
		if err := yaml.Unmarshal([]byte(text), &one); err != nil {
			return nil, err
		}
		if strings.HasPrefix(one.Kind, "ValidatingAdmissionPolicy") {
			policies += "---\n" + strings.TrimRight(text, "\n") + "\n"
		}
		all = append(all, one)
	}
	files[filepath.Join(bundlePath, "policies.yaml")] = "# For kubectl, as OLM does not install them; " + remark + ".\n" + policies

	bound := map[string]string{} // role or cluster role to ServiceAccount
	for _, one := range all {
		for _, subject := range one.Subjects {
			bound[one.RoleRef.Name] = subject.Name
		}
	}
	var deployment rendered
	strategy := fields{}
	var owned []any
	for _, one := range all {
		permit := func(where string) {
			list, _ := strategy[where].([]any)
			strategy[where] = append(list, fields{"serviceAccountName": bound[one.Metadata.Name], "rules": one.Rules})
		}
		var err error
		switch {
		case one.Kind == "Deployment":
			deployment = one
			strategy["deployments"] = []any{fields{"name": one.Metadata.Name, "label": one.Metadata.Labels, "spec": one.Spec}}
		case one.Kind == "ClusterRole" && bound[one.Metadata.Name] != "":
			permit("clusterPermissions")
		case one.Kind == "Role" && bound[one.Metadata.Name] != "":
			permit("permissions")
		case one.Kind == "ClusterRole" || one.Kind == "Service" || one.Kind == "PodDisruptionBudget":
			metadata, _ := one.whole["metadata"].(fields)
			delete(metadata, "namespace") // it is the user's choice, and OLM puts it there
			err = write(fmt.Sprintf("manifests/%s_%s.yaml", one.Metadata.Name, strings.ToLower(one.Kind)), one.whole)
		case one.Kind == "CustomResourceDefinition":
			description, asked := ownedDefinition(one)
			if err = asked; err == nil {
				owned = append(owned, description)
				plural, group, _ := strings.Cut(one.Metadata.Name, ".")
				name := group + "_" + plural + ".yaml"
				source, failed := os.ReadFile(filepath.Join(root, "crds", name))
				err = failed
				files[filepath.Join(bundlePath, "manifests", name)] = "# From crds/" + name + ", " + remark + ".\n" + string(source)
			}
		case slices.Contains([]string{"ServiceAccount", "ClusterRoleBinding", "RoleBinding"}, one.Kind): // OLM makes them
		case strings.HasPrefix(one.Kind, "ValidatingAdmissionPolicy"):
		default:
			err = fmt.Errorf("the bundle has no place for the %s that the chart renders", one.Kind)
		}
		if err != nil {
			return nil, err
		}
	}
	csv, err := clusterServiceVersion(root, deployment, strategy, owned)
	if err != nil {
		return nil, err
	}
	files[filepath.Join(bundlePath, "Containerfile")] = bundleContainerfile()
	return files, errors.Join(
		write("manifests/quay-rotator.clusterserviceversion.yaml", csv),
		write("metadata/annotations.yaml", fields{"annotations": bundleAnnotations}))
}

func bundleContainerfile() string {
	text := "# The bundle as an image, from the folder of this file; " + remark + ".\nFROM scratch\n"
	for _, key := range slices.Sorted(maps.Keys(bundleAnnotations)) {
		text += "LABEL " + key + "=" + bundleAnnotations[key] + "\n"
	}
	return text + "COPY manifests /manifests/\nCOPY metadata /metadata/\n"
}

// ownedDefinition is how a ClusterServiceVersion names a definition.
func ownedDefinition(definition rendered) (fields, error) {
	var spec struct {
		Names    struct{ Kind string }
		Versions []struct {
			Name   string
			Schema struct {
				OpenAPI struct{ Description string } `yaml:"openAPIV3Schema"`
			}
		}
	}
	text, err := yaml.Marshal(definition.Spec)
	if err == nil {
		err = yaml.Unmarshal(text, &spec)
	}
	if err == nil && len(spec.Versions) != 1 {
		err = fmt.Errorf("%s has %d versions, and the bundle is made for one", definition.Metadata.Name, len(spec.Versions))
	}
	if err != nil {
		return nil, err
	}
	return fields{
		"name":        definition.Metadata.Name,
		"kind":        spec.Names.Kind,
		"version":     spec.Versions[0].Name,
		"displayName": regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(spec.Names.Kind, "$1 $2"),
		"description": spec.Versions[0].Schema.OpenAPI.Description,
	}, nil
}

// bundleNotes follow the README's first paragraph in what the console shows.
const bundleNotes = `
It looks after all namespaces. OLM installs no admission policies: apply policies.yaml, which comes with the bundle, by hand. Without it the
operator's roles let it write every Secret, and whoever may write a QuayConnection may have any Secret of its namespace sent to its url.
`

func clusterServiceVersion(root string, deployment rendered, strategy fields, owned []any) (fields, error) {
	var wrong error
	read := func(path string) []byte {
		text, err := os.ReadFile(filepath.Join(root, path))
		wrong = errors.Join(wrong, err)
		return text
	}
	var chart struct {
		Description string
		AppVersion  string `yaml:"appVersion"`
		KubeVersion string `yaml:"kubeVersion"`
	}
	wrong = errors.Join(wrong, yaml.Unmarshal(read(chartPath+"/Chart.yaml"), &chart))
	least := regexp.MustCompile(`^>=([0-9.]+)-0$`).FindStringSubmatch(chart.KubeVersion)
	paragraphs := strings.SplitN(string(read("README.md")), "\n\n", 3)
	var examples []any
	for _, name := range []string{"connection", "rotation"} {
		var example any
		wrong = errors.Join(wrong, yaml.Unmarshal(read("docs/examples/"+name+".yaml"), &example))
		examples = append(examples, example)
	}
	examplesText, err := json.MarshalIndent(examples, "", "  ")
	wrong = errors.Join(wrong, err)
	var pod struct {
		Template struct {
			Spec struct{ Containers []struct{ Image string } }
		}
	}
	text, err := yaml.Marshal(deployment.Spec)
	wrong = errors.Join(wrong, err, yaml.Unmarshal(text, &pod))
	if containers := pod.Template.Spec.Containers; wrong == nil && (least == nil || len(paragraphs) < 3 || len(containers) != 1) {
		wrong = errors.New("expected a kubeVersion of the form >=1.2.3-0, a README with paragraphs and a Deployment of one container")
	}
	if wrong != nil {
		return nil, wrong
	}
	image := pod.Template.Spec.Containers[0].Image

	annotations := fields{
		"alm-examples":   string(examplesText),
		"capabilities":   "Seamless Upgrades",
		"categories":     "Security,Integration & Delivery",
		"containerImage": image,
		"description":    chart.Description,
		"operatorframework.io/suggested-namespace": namespace,
	}
	for feature, value := range features {
		annotations["features.operators.openshift.io/"+feature] = value
	}
	var modes []any
	for _, mode := range []string{"OwnNamespace", "SingleNamespace", "MultiNamespace", "AllNamespaces"} {
		modes = append(modes, fields{"type": mode, "supported": mode == "AllNamespaces"})
	}
	return fields{
		"apiVersion": "operators.coreos.com/v1alpha1",
		"kind":       "ClusterServiceVersion",
		"metadata": fields{
			"name":        namespace + ".v" + chart.AppVersion,
			"annotations": annotations,
			"labels": fields{
				"operatorframework.io/arch.amd64": "supported",
				"operatorframework.io/arch.arm64": "supported",
				"operatorframework.io/os.linux":   "supported",
			},
		},
		"spec": fields{
			"version":        chart.AppVersion,
			"displayName":    "Quay Rotator",
			"description":    paragraphs[1] + "\n" + bundleNotes,
			"keywords":       []string{"quay", "registry", "robot", "token", "rotation", "pull secret"},
			"maturity":       "alpha",
			"minKubeVersion": least[1],
			"provider":       fields{"name": "quay-rotator"},
			"icon": []any{fields{"mediatype": "image/svg+xml",
				"base64data": base64.StdEncoding.EncodeToString(read("docs/icon.svg"))}},
			"installModes":              modes,
			"install":                   fields{"strategy": "deployment", "spec": strategy},
			"customresourcedefinitions": fields{"owned": owned},
			"relatedImages":             []any{fields{"name": namespace, "image": image}},
		},
	}, wrong
}
