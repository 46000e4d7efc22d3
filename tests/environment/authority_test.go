package environment

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"
)

func TestIssuedCertificateServesItsHostsOnly(t *testing.T) {
	authority, err := newAuthority("a test's CA")
	if err != nil {
		t.Fatal(err)
	}
	certificatePEM, keyPEM, err := authority.issue(pkix.Name{CommonName: "server"}, "localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificatePEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority.pem()) {
		t.Fatal("the CA is no PEM")
	}
	for host, served := range map[string]bool{"localhost": true, "127.0.0.1": true, "example.com": false} {
		_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host})
		if (err == nil) != served {
			t.Errorf("%s: %v", host, err)
		}
	}
}
