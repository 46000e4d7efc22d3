package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"path/filepath"
	"sync/atomic"
	"time"
)

// Certificates are the faces the server can show: good, wrong-host, unknown-ca, expired.
type Certificates struct {
	variants        map[string]*tls.Certificate
	current         atomic.Pointer[tls.Config]
	caFile, otherCA string // written beside the control socket; caFile "" when a certificate was given
}

func newCertificates(o options, folder string) (*Certificates, error) {
	if (o.certificate == "") != (o.key == "") || (o.ca == "") != (o.caKey == "") || (o.ca != "" && o.key != "") {
		return nil, errors.New("--certificate and --key go together, or --ca and --ca-key")
	}
	hosts := append([]string{"localhost", "127.0.0.1", "::1"}, split(o.hosts)...)
	now := time.Now()
	year := now.AddDate(1, 0, 0)
	c := &Certificates{variants: map[string]*tls.Certificate{}, otherCA: filepath.Join(folder, "other-ca.pem")}

	other, err := newAuthority("quay-sim other CA")
	if err != nil {
		return nil, err
	}
	if c.variants["unknown-ca"], err = other.issue(hosts, now.Add(-time.Hour), year); err != nil {
		return nil, err
	}
	if err := newFile(c.otherCA, other.pem); err != nil {
		return nil, err
	}
	if o.certificate != "" {
		// Without the CA's key there is no certificate that is wrong in one way only.
		given, err := tls.LoadX509KeyPair(o.certificate, o.key)
		if err != nil {
			return nil, err
		}
		c.variants["good"] = &given
	} else {
		own, err := newAuthority("quay-sim CA")
		if o.ca != "" {
			own, err = readAuthority(o.ca, o.caKey)
		}
		if err != nil {
			return nil, err
		}
		for name, made := range map[string]struct {
			hosts    []string
			from, to time.Time
		}{
			"good":       {hosts, now.Add(-time.Hour), year},
			"wrong-host": {[]string{"quay.invalid"}, now.Add(-time.Hour), year},
			"expired":    {hosts, now.Add(-2 * time.Hour), now.Add(-time.Hour)},
		} {
			if c.variants[name], err = own.issue(made.hosts, made.from, made.to); err != nil {
				return nil, err
			}
		}
		c.caFile = o.ca
		if c.caFile == "" {
			c.caFile = filepath.Join(folder, "ca.pem")
			if err := newFile(c.caFile, own.pem); err != nil {
				return nil, err
			}
		}
	}
	return c, c.show("good")
}

// show makes new connections see the variant.
func (c *Certificates) show(variant string) error {
	certificate, ok := c.variants[variant]
	if !ok {
		return errors.New("certificate is one of good, wrong-host, unknown-ca, expired; with --certificate there is no wrong-host and no expired one: give --ca instead")
	}
	// With ticket keys of its own: nginx, too, forgets the sessions of a certificate with it.
	c.current.Store(&tls.Config{
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"},
		Certificates: []tls.Certificate{*certificate},
	})
	return nil
}

func (c *Certificates) configuration() *tls.Config {
	return c.current.Load()
}

type authority struct {
	certificate *x509.Certificate
	key         crypto.PrivateKey
	pem         []byte
}

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &authority{certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, err
}

func readAuthority(certificateFile, keyFile string) (*authority, error) {
	pair, err := tls.LoadX509KeyPair(certificateFile, keyFile)
	if err != nil {
		return nil, err
	}
	return &authority{certificate: pair.Leaf, key: pair.PrivateKey}, nil
}

func (a *authority) issue(hosts []string, from, to time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: hosts[0]}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.certificate.Raw}, PrivateKey: key}, nil
}
