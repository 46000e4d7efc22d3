package environment

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// An authority issues certificates that last as long as an environment may: a week.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

const lifetime = 7 * 24 * time.Hour

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	certificate, err := sign(template, template, key.Public(), key)
	return &authority{certificate, key}, err
}

// issue makes a certificate that serves the given hosts (names or addresses) and identifies its
// subject as a client. It answers certificate and key in PEM.
func (a *authority) issue(subject pkix.Name, hosts ...string) (certificatePEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		Subject:     subject,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, host := range hosts {
		if address := net.ParseIP(host); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	certificate, err := sign(template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err = privatePEM(key)
	return encodeCertificate(certificate), keyPEM, err
}

func (a *authority) pem() []byte { return encodeCertificate(a.certificate) }

// issueTo issues into directory/name.crt and directory/name.key and answers both paths.
func (a *authority) issueTo(directory, name string, subject pkix.Name, hosts ...string) (certificate, key string, err error) {
	certificatePEM, keyPEM, err := a.issue(subject, hosts...)
	if err != nil {
		return "", "", err
	}
	return writePair(directory, name, certificatePEM, keyPEM)
}

// newSigner makes the RSA key with which the token server signs and the self-signed certificate by
// which the registry knows it.
func newSigner(name string) (key *rsa.PrivateKey, certificatePEM, keyPEM []byte, err error) {
	if key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, nil, nil, err
	}
	template := &x509.Certificate{
		Subject:  pkix.Name{CommonName: name},
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	certificate, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, nil, nil, err
	}
	keyPEM, err = privatePEM(key)
	return key, encodeCertificate(certificate), keyPEM, err
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(lifetime)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

func encodeCertificate(certificate *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
}

func privatePEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

func writePair(directory, name string, certificatePEM, keyPEM []byte) (certificate, key string, err error) {
	certificate = filepath.Join(directory, name+".crt")
	key = filepath.Join(directory, name+".key")
	if err = os.WriteFile(certificate, certificatePEM, 0o600); err == nil {
		err = os.WriteFile(key, keyPEM, 0o600)
	}
	return certificate, key, err
}
