package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestGivenCertificatesAndAWorldAreUsed(t *testing.T) {
	folder := t.TempDir()
	file := func(name string) string { return filepath.Join(folder, name) }
	write := func(name string, content []byte) string {
		if err := os.WriteFile(file(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		return file(name)
	}
	ca, err := newAuthority("a CA of the test")
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.issue([]string{"127.0.0.1"}, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(server.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	signer := &Signer{}
	if err := signer.make(folder); err != nil {
		t.Fatal(err)
	}
	caFile := write("ca.pem", ca.pem)
	s := start(t, func(o *options) {
		o.certificate = write("server.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate[0]}))
		o.key = write("server.key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
		o.signingCertificate = signer.certificateFile
		o.signingKey = write("signing.key", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(signer.key)}))
		o.file = write("world.json", []byte(`{"users": [{"name": "eva"}], "robots": [{"name": "eva+ci"}], "tokens": [{"name": "automation", "user": "eva", "scopes": ["user:admin"]}]}`))
		o.service, o.issuer = "quay.example.com", "me"
	})
	s.client = s.trusting(caFile)
	if r := s.send("GET", "/api/v1/user/robots/ci", s.bearer()); r.StatusCode != 200 {
		t.Errorf("the world of the file: %d", r.StatusCode)
	}
	request := s.send("GET", "/v2/")
	if challenge := request.Header.Get("WWW-Authenticate"); !strings.Contains(challenge, `service="quay.example.com"`) {
		t.Errorf("challenge: %s", challenge)
	}
	r := s.send("GET", "/v2/auth?scope=repository:a/b:pull")
	if token := registryToken(t, r); token.Issuer != "me" || token.Audience != "quay.example.com" {
		t.Errorf("%+v", token)
	}
	token, _ := fields(t, r.body)["token"].(string)
	if _, ok := signer.read(token); !ok {
		t.Error("the given key did not sign")
	}
	if s.at.CA != "" || s.at.SigningCertificate != signer.certificateFile {
		t.Errorf("%+v", s.at)
	}
	if status, _ := s.tryCall("PUT", "/switches", `{"certificate": "expired"}`); status != 400 {
		t.Errorf("expired without the CA's key: %d", status)
	}
}

func TestAGivenCAIssuesEveryCertificate(t *testing.T) {
	folder := t.TempDir()
	ca, err := newAuthority("a CA of the test")
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key := filepath.Join(folder, "ca.pem"), filepath.Join(folder, "ca.key")
	for name, content := range map[string][]byte{certificate: ca.pem, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, func(o *options) { o.ca, o.caKey = certificate, key })
	if s.at.CA != certificate {
		t.Errorf("the CA is %s", s.at.CA)
	}
	if r := s.send("GET", "/config"); r.StatusCode != 200 {
		t.Errorf("%d", r.StatusCode)
	}
	s.call("PUT", "/switches", `{"certificate": "wrong-host"}`, nil)
	if _, err := s.try("GET", "/config"); !errors.As(err, new(x509.HostnameError)) {
		t.Errorf("wrong host: %v", err)
	}
}

func TestWrongOptionsAreErrors(t *testing.T) {
	folder := t.TempDir()
	world := filepath.Join(folder, "world.json")
	if err := os.WriteFile(world, []byte(`{"robts": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	good := options{listen: "127.0.0.1:0", control: filepath.Join(folder, "control")}
	for name, change := range map[string]func(*options){
		"certificate without key":             func(o *options) { o.certificate = "x" },
		"CA without key":                      func(o *options) { o.ca = "x" },
		"CA and certificate":                  func(o *options) { o.ca, o.caKey, o.certificate, o.key = "x", "x", "x", "x" },
		"signing key without its certificate": func(o *options) { o.signingKey = "x" },
		"missing certificate":                 func(o *options) { o.certificate, o.key = "/missing", "/missing" },
		"missing world":                       func(o *options) { o.file = "/missing" },
		"misspelt world":                      func(o *options) { o.file = world },
		"address that is none":                func(o *options) { o.listen = "nowhere" },
		"issuer CA that is missing":           func(o *options) { o.issuerCA = "/missing" },
		"issuer CA that holds no certificate": func(o *options) { o.issuerCA = world },
		"registry that is no URL":             func(o *options) { o.registry = "127.0.0.1:5000" },
		"folder that is not there":            func(o *options) { o.control = "/missing/control" },
	} {
		o := good
		change(&o)
		if err := run(context.Background(), o, func([]byte) { t.Errorf("%s: it runs", name) }); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
