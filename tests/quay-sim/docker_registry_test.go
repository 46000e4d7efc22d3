package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// registryBehind starts Debian's docker-registry with the simulator as its token server.
func registryBehind(s *simulator) {
	s.t.Helper()
	folder := s.t.TempDir()
	file := filepath.Join(folder, "registry.yml")
	configuration := fmt.Sprintf(`version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %s}}
http: {addr: "127.0.0.1:0"}
auth: {token: {realm: %q, service: %q, issuer: %s, rootcertbundle: %s}}
`, filepath.Join(folder, "storage"), s.at.Realm, s.at.Service, s.at.Issuer, s.at.SigningCertificate)
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		s.t.Fatal(err)
	}
	registry := exec.Command("docker-registry", "serve", file)
	output, err := registry.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := registry.Start(); err != nil {
		s.t.Fatalf("%v: these tests need Debian's packages docker-registry and skopeo", err)
	}
	address, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		listening := regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			if match := listening.FindStringSubmatch(lines.Text()); match != nil {
				address <- match[1]
			}
		}
	}()
	s.t.Cleanup(func() {
		registry.Process.Kill()
		<-ended
		registry.Wait()
	})
	select {
	case at := <-address:
		s.call("PUT", "/switches", `{"registry": "http://`+at+`"}`, nil)
	case <-ended:
		s.t.Fatal("docker-registry ended at once")
	case <-time.After(30 * time.Second):
		s.t.Fatal("docker-registry does not listen")
	}
}

// skopeo runs with a .dockerconfigjson of one robot's credential.
func (s *simulator) skopeo(robot, token string, arguments ...string) (string, error) {
	s.t.Helper()
	folder := s.t.TempDir()
	config, _ := json.Marshal(map[string]any{"auths": map[string]any{s.host: map[string]string{
		"auth": base64.StdEncoding.EncodeToString([]byte(robot + ":" + token))}}})
	authFile, certificates := filepath.Join(folder, ".dockerconfigjson"), filepath.Join(folder, "certs")
	ca, err := os.ReadFile(s.at.CA)
	if err == nil {
		err = os.Mkdir(certificates, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(certificates, "ca.crt"), ca, 0o600)
	}
	if err == nil {
		err = os.WriteFile(authFile, config, 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	for i, argument := range arguments {
		arguments[i] = strings.NewReplacer("$AUTH", authFile, "$CERTS", certificates, "$HOST", s.host).Replace(argument)
	}
	output, err := exec.Command("skopeo", arguments...).CombinedOutput()
	return string(output), err
}

// image writes an OCI layout with one image of one small file.
func image(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, "blobs", "sha256"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(content []byte) (digest string) {
		digest = fmt.Sprintf("%x", sha256.Sum256(content))
		if err := os.WriteFile(filepath.Join(folder, "blobs", "sha256", digest), content, 0o600); err != nil {
			t.Fatal(err)
		}
		return "sha256:" + digest
	}
	descriptor := func(mediaType string, content []byte) string {
		return fmt.Sprintf(`{"mediaType": %q, "digest": %q, "size": %d}`, mediaType, write(content), len(content))
	}
	var layer, zipped bytes.Buffer
	archive := tar.NewWriter(&layer)
	archive.WriteHeader(&tar.Header{Name: "hello", Mode: 0o644, Size: 5})
	archive.Write([]byte("hello"))
	archive.Close()
	zipper := gzip.NewWriter(&zipped)
	zipper.Write(layer.Bytes())
	zipper.Close()
	config := fmt.Sprintf(`{"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": ["sha256:%x"]}}`, sha256.Sum256(layer.Bytes()))
	manifest := fmt.Sprintf(`{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": %s, "layers": [%s]}`,
		descriptor("application/vnd.oci.image.config.v1+json", []byte(config)), descriptor("application/vnd.oci.image.layer.v1.tar+gzip", zipped.Bytes()))
	index := fmt.Sprintf(`{"schemaVersion": 2, "manifests": [%s]}`, descriptor("application/vnd.oci.image.manifest.v1+json", []byte(manifest)))
	for name, content := range map[string]string{"index.json": index, "oci-layout": `{"imageLayoutVersion": "1.0.0"}`} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestARealRegistryAndClientAcceptTheTokenUntilItIsRegenerated(t *testing.T) {
	s := start(t)
	registryBehind(s)
	push := func(robot string) (string, error) {
		return s.skopeo(robot, s.robot(robot).Token, "copy", "--dest-authfile", "$AUTH", "--dest-cert-dir", "$CERTS", "oci:"+image(t), "docker://$HOST/acme/app:1")
	}
	inspect := func(token string) (string, error) {
		return s.skopeo("acme+puller", token, "inspect", "--authfile", "$AUTH", "--cert-dir", "$CERTS", "docker://$HOST/acme/app:1")
	}
	pull := func(token string) (string, error) {
		return s.skopeo("acme+puller", token, "copy", "--src-authfile", "$AUTH", "--src-cert-dir", "$CERTS", "docker://$HOST/acme/app:1", "dir:"+t.TempDir())
	}
	if output, err := push("acme+puller"); err == nil {
		t.Errorf("a robot that may only read has pushed: %s", output)
	}
	if output, err := push("acme+pusher"); err != nil {
		t.Fatalf("push: %v: %s", err, output)
	}
	old := s.robot("acme+puller").Token
	for name, read := range map[string]func(string) (string, error){"inspect": inspect, "pull": pull} {
		if output, err := read(old); err != nil {
			t.Errorf("%s before: %v: %s", name, err, output)
		}
	}
	renewed := fields(t, s.regenerate().body)["token"].(string)
	for name, read := range map[string]func(string) (string, error){"inspect": inspect, "pull": pull} {
		if output, err := read(old); err == nil || !strings.Contains(output, "invalid username/password") {
			t.Errorf("%s with the old credential: %v: %s", name, err, output)
		}
		if output, err := read(renewed); err != nil {
			t.Errorf("%s with the new credential: %v: %s", name, err, output)
		}
	}
	pulled := s.journal("endpoint=registry&robot=acme%2Bpuller&method=GET")
	if len(pulled) == 0 || pulled[0].Status != 200 {
		t.Errorf("the journal has no pull: %+v", pulled)
	}
	s.fault(`{"match": {"endpoint": "registry"}, "times": 1, "action": "wrong-name"}`)
	if output, err := pull(renewed); err == nil {
		t.Errorf("a damaged manifest was pulled: %s", output)
	}
}

func TestWithoutARegistryBehindOnlyTheChallengeAnswers(t *testing.T) {
	s := start(t)
	s.check(t, s.send("GET", "/v2/acme/app/manifests/1"), expected{502, "text/html", ""})
	if r := s.send("GET", "/v2/"); r.StatusCode != 401 {
		t.Errorf("/v2/: %d", r.StatusCode)
	}
}
