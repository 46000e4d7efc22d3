package environment

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

const tokenIssuer = "quay-sim"

// A registry is Quay as its clients see it: quay-sim, which speaks TLS, answers the robots API and
// hands out tokens, and behind it a docker-registry that believes those tokens.
type registry struct {
	host     string // localhost:port, as images name it
	base     string // of the docker-registry itself
	key      *rsa.PrivateKey
	storage  *process
	quay     *process
	ca       string // file
	control  string // unix socket of quay-sim
	httpPort port
	quayPort port
}

// newRegistry writes keys, certificates and the configuration, and starts nothing yet.
func newRegistry(directory, quaySim string) (made *registry, err error) {
	made = &registry{
		ca:      filepath.Join(directory, "ca", "ca.crt"), // alone: `skopeo --src-cert-dir` takes it
		control: filepath.Join(directory, "quay-sim.sock"),
	}
	if err = os.MkdirAll(filepath.Dir(made.ca), 0o700); err != nil {
		return nil, err
	}
	if made.httpPort, err = holdPort(); err != nil {
		return nil, err
	}
	if made.quayPort, err = holdPort(); err != nil {
		return nil, err
	}
	made.host = fmt.Sprintf("localhost:%d", made.quayPort.number)
	made.base = "http://" + made.httpPort.address()

	authority, err := newAuthority("Quay CA of an environment")
	if err != nil {
		return nil, err
	}
	if err = os.WriteFile(made.ca, authority.pem(), 0o600); err != nil {
		return nil, err
	}
	// quay-sim issues its own certificates with it: good ones, and ones that are wrong in one way.
	authorityKey, err := privatePEM(authority.key)
	if err != nil {
		return nil, err
	}
	certificate, key, err := writePair(directory, "quay-sim-authority", authority.pem(), authorityKey)
	if err != nil {
		return nil, err
	}
	var signingCertificate, signingKey []byte
	if made.key, signingCertificate, signingKey, err = newSigner(tokenIssuer); err != nil {
		return nil, err
	}
	bundle, signer, err := writePair(directory, "token", signingCertificate, signingKey)
	if err != nil {
		return nil, err
	}
	configuration, err := made.configure(directory, bundle)
	if err != nil {
		return nil, err
	}
	program, err := find("docker-registry")
	if err != nil {
		return nil, err
	}
	made.storage = &process{
		name:      "docker-registry",
		arguments: []string{program, "serve", configuration},
		log:       filepath.Join(directory, "docker-registry.log"),
		ready:     answers(http.DefaultClient, made.base+"/v2/", http.StatusUnauthorized),
	}
	pool := x509.NewCertPool()
	pool.AddCert(authority.certificate)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}}
	made.quay = &process{
		name: "quay-sim",
		arguments: []string{quaySim, "--listen", made.quayPort.address(),
			"--ca", certificate, "--ca-key", key, "--control-socket", made.control,
			"--signing-key", signer, "--signing-certificate", bundle,
			"--registry", made.base, "--service", made.host, "--issuer", tokenIssuer},
		log:   filepath.Join(directory, "quay-sim.log"),
		ready: answers(client, "https://"+made.host+"/health/instance", http.StatusOK),
	}
	return made, nil
}

// configure writes the docker-registry's configuration; JSON is YAML too.
func (r *registry) configure(directory, bundle string) (string, error) {
	configuration, err := json.Marshal(map[string]any{
		"version": 0.1,
		"log":     map[string]any{"level": "warn", "accesslog": map[string]any{"disabled": true}},
		"storage": map[string]any{
			"filesystem": map[string]any{"rootdirectory": filepath.Join(directory, "storage")},
			"delete":     map[string]any{"enabled": true},
		},
		// Its answers pass through quay-sim: absolute locations would name the wrong port.
		"http": map[string]any{"addr": r.httpPort.address(), "relativeurls": true, "secret": "one instance only"},
		"auth": map[string]any{"token": map[string]any{
			"realm":          "https://" + r.host + "/v2/auth",
			"service":        r.host,
			"issuer":         tokenIssuer,
			"rootcertbundle": bundle,
		}},
	})
	if err != nil {
		return "", err
	}
	file := filepath.Join(directory, "docker-registry.yaml")
	return file, os.WriteFile(file, configuration, 0o600)
}

// push stores the image under a name such as acme/app:latest.
func (r *registry) push(ctx context.Context, image *image, name string) error {
	repository, tag, found := strings.Cut(name, ":")
	if !found {
		return fmt.Errorf("the image name %q lacks its tag", name)
	}
	return image.push(ctx, r.base, repository, tag, registryToken{r.key, tokenIssuer, r.host})
}

// answers is a readiness probe: the URL answers with the status.
func answers(client *http.Client, url string, status int) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		_ = response.Body.Close()
		if response.StatusCode != status {
			return fmt.Errorf("%s: %s, expected %d", url, response.Status, status)
		}
		return nil
	}
}
