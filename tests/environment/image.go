package environment

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

//go:embed app/main.go
var appSource []byte

// An image is one static program as an OCI image, made without any container tool.
type image struct {
	layer, configuration, manifest []byte
}

const (
	manifestType      = "application/vnd.oci.image.manifest.v1+json"
	configurationType = "application/vnd.oci.image.config.v1+json"
	layerType         = "application/vnd.oci.image.layer.v1.tar"
)

// buildImage compiles app/main.go, which takes a fraction of a second when Go's cache is warm.
func buildImage(ctx context.Context, directory string) (*image, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, err
	}
	source := filepath.Join(directory, "main.go")
	if err := os.WriteFile(source, appSource, 0o600); err != nil {
		return nil, err
	}
	compiler := os.Getenv("GO")
	if compiler == "" {
		compiler = "go"
	}
	program := filepath.Join(directory, "app")
	command := exec.CommandContext(ctx, compiler, "build", "-trimpath", "-ldflags=-s -w", "-o", program, source)
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOTMPDIR="+directory)
	command.Dir = directory
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) } // its children end with it
	if output, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("the image's program does not build: %w\n%s", err, output)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	return newImage(content)
}

func newImage(program []byte) (*image, error) {
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	if err := writeTar(archive, "app", 0o755, program); err != nil {
		return nil, err
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	made := &image{layer: layer.Bytes()}
	var err error
	made.configuration, err = json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": []string{"/app"}},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{digest(made.layer)}},
	})
	if err != nil {
		return nil, err
	}
	made.manifest, err = json.Marshal(map[string]any{
		"schemaVersion": 2,
		"mediaType":     manifestType,
		"config":        descriptor(configurationType, made.configuration),
		"layers":        []any{descriptor(layerType, made.layer)},
	})
	return made, err
}

func descriptor(mediaType string, content []byte) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": digest(content), "size": len(content)}
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func writeTar(archive *tar.Writer, name string, mode int64, content []byte) error {
	err := archive.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(content)), Format: tar.FormatUSTAR})
	if err == nil {
		_, err = archive.Write(content)
	}
	return err
}

// archive is the image as a tar of an OCI layout, for `ctr images import`, under the given name.
func (i *image) archive(name string) ([]byte, error) {
	entry := descriptor(manifestType, i.manifest)
	entry["annotations"] = map[string]string{"io.containerd.image.name": name}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []any{entry}})
	if err != nil {
		return nil, err
	}
	var buffer bytes.Buffer
	archive := tar.NewWriter(&buffer)
	files := []struct {
		name    string
		content []byte
	}{
		{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{"index.json", index},
	}
	for _, blob := range [][]byte{i.layer, i.configuration, i.manifest} {
		files = append(files, struct {
			name    string
			content []byte
		}{"blobs/sha256/" + strings.TrimPrefix(digest(blob), "sha256:"), blob})
	}
	for _, file := range files {
		if err := writeTar(archive, file.name, 0o644, file.content); err != nil {
			return nil, err
		}
	}
	return buffer.Bytes(), archive.Close()
}

// push stores the image as repository:tag in the registry at base (http://address:port), which
// accepts what the signer signs.
func (i *image) push(ctx context.Context, base, repository, tag string, token registryToken) error {
	bearer, err := token.sign(repository, time.Now())
	if err != nil {
		return err
	}
	send := func(method, url, mediaType string, content []byte, expected int) (string, error) {
		request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(content))
		if err != nil {
			return "", err
		}
		request.Header.Set("Authorization", "Bearer "+bearer)
		request.Header.Set("Content-Type", mediaType)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return "", err
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != expected {
			body, _ := io.ReadAll(io.LimitReader(response.Body, 2000))
			return "", fmt.Errorf("%s %s: %s: %s", method, url, response.Status, body)
		}
		return response.Header.Get("Location"), nil
	}
	for _, blob := range [][]byte{i.layer, i.configuration} {
		location, err := send(http.MethodPost, base+"/v2/"+repository+"/blobs/uploads/", "", nil, http.StatusAccepted)
		if err != nil {
			return err
		}
		separator := "?"
		if strings.Contains(location, "?") {
			separator = "&"
		}
		url := base + location + separator + "digest=" + digest(blob) // relative: registry.go says so
		if _, err = send(http.MethodPut, url, "application/octet-stream", blob, http.StatusCreated); err != nil {
			return err
		}
	}
	_, err = send(http.MethodPut, base+"/v2/"+repository+"/manifests/"+tag, manifestType, i.manifest, http.StatusCreated)
	return err
}

// A registryToken is what a token server needs to know to let somebody push.
type registryToken struct {
	key             *rsa.PrivateKey
	issuer, service string
}

// sign makes a bearer that may pull from and push to the repository for ten minutes.
func (r registryToken) sign(repository string, now time.Time) (string, error) {
	identifier, err := keyIdentifier(r.key.Public())
	if err != nil {
		return "", err
	}
	header, err := json.Marshal(map[string]string{"typ": "JWT", "alg": "RS256", "kid": identifier})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"iss": r.issuer, "sub": "environment", "aud": r.service, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(10 * time.Minute).Unix(),
		"access": []any{map[string]any{
			"type": "repository", "name": repository, "actions": []string{"pull", "push"},
		}},
	})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode(header) + "." + encode(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, r.key, crypto.SHA256, sum[:])
	return signed + "." + encode(signature), err
}

// keyIdentifier is libtrust's: base32 of the first 30 bytes of the SHA-256 of the public key's DER,
// in groups of four.
func keyIdentifier(public crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	text := base32.StdEncoding.EncodeToString(sum[:30])
	groups := make([]string, 0, len(text)/4)
	for ; text != ""; text = text[4:] {
		groups = append(groups, text[:4])
	}
	return strings.Join(groups, ":"), nil
}
