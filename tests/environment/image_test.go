package environment

import (
	"archive/tar"
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestArchiveIsAnOCILayoutWhoseDigestsAreRight(t *testing.T) {
	image, err := newImage([]byte("a program"))
	if err != nil {
		t.Fatal(err)
	}
	content, err := image.archive("localhost/pause:latest")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for reader := tar.NewReader(bytes.NewReader(content)); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(reader); err != nil {
			t.Fatal(err)
		}
	}
	type descriptor struct {
		Digest      string
		Size        int
		Annotations map[string]string
	}
	blob := func(d descriptor) []byte {
		t.Helper()
		content := files["blobs/sha256/"+strings.TrimPrefix(d.Digest, "sha256:")]
		if digest(content) != d.Digest || len(content) != d.Size {
			t.Fatalf("%+v is not the blob of that digest", d)
		}
		return content
	}
	var index struct{ Manifests []descriptor }
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	var configuration struct {
		Rootfs struct {
			Differences []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(files["index.json"], &index); err != nil {
		t.Fatal(err)
	}
	if name := index.Manifests[0].Annotations["io.containerd.image.name"]; name != "localhost/pause:latest" {
		t.Errorf("the name is %q", name)
	}
	if err := json.Unmarshal(blob(index.Manifests[0]), &manifest); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(blob(manifest.Config), &configuration); err != nil {
		t.Fatal(err)
	}
	layer := blob(manifest.Layers[0])
	if configuration.Rootfs.Differences[0] != digest(layer) {
		t.Error("the configuration names another layer")
	}
	header, err := tar.NewReader(bytes.NewReader(layer)).Next()
	if err != nil || header.Name != "app" || header.Mode != 0o755 {
		t.Errorf("the layer begins with %+v, %v", header, err)
	}
}

func TestRegistryTokenIsSignedAndNamesKeyServiceAndRepository(t *testing.T) {
	key, _, _, err := newSigner("a test")
	if err != nil {
		t.Fatal(err)
	}
	token, err := registryToken{key, "issuer", "localhost:1"}.sign("acme/app", time.Unix(1000, 0))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err = rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], signature); err != nil {
		t.Error(err)
	}
	var header struct{ Kid string }
	var claims struct {
		Iss, Aud string
		Exp      int64
		Access   []struct{ Name string }
	}
	for part, into := range map[string]any{parts[0]: &header, parts[1]: &claims} {
		content, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			t.Fatal(err)
		}
		if err = json.Unmarshal(content, into); err != nil {
			t.Fatal(err)
		}
	}
	if !regexp.MustCompile(`^([A-Z2-7]{4}:){11}[A-Z2-7]{4}$`).MatchString(header.Kid) {
		t.Errorf("the key identifier is %q", header.Kid)
	}
	if claims.Iss != "issuer" || claims.Aud != "localhost:1" || claims.Exp != 1600 || claims.Access[0].Name != "acme/app" {
		t.Errorf("the claims are %+v", claims)
	}
}
