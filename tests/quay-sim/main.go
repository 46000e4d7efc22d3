// quay-sim is a Quay that tests can bend: a TLS server that answers the robots API and the registry
// login as a running Quay does, is the token server of a real docker-registry behind it, writes down
// every request, and takes faults and switches on a control socket.
//
// The program prints one line of JSON on standard output once it accepts connections:
//
//	{"url":"https://127.0.0.1:41873","control":"/tmp/q/control","ca":"/tmp/q/ca.pem", …}
//
// and ends on SIGTERM or SIGINT. Everything else is asked over HTTP and JSON on the control socket
// (README.md has the calls): `curl --unix-socket /tmp/q/control http://quay/robots/acme+puller`.
//
// Tokens appear only in answers that are asked for a token (GET /world, /robots/…, /tokens/…); the
// journal knows fingerprints only.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// options are the command line.
type options struct {
	listen, control                 string
	certificate, key, hosts         string
	ca, caKey                       string
	signingKey, signingCertificate  string
	registry, service, issuer, file string
	issuerCA                        string
	seed                            uint64
}

func main() {
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:0", "address to serve on; port 0 lets the kernel choose")
	flag.StringVar(&o.control, "control-socket", "", "unix socket of the control API (required); certificates are written beside it")
	flag.StringVar(&o.certificate, "certificate", "", "server certificate (PEM); without it a CA and a certificate are made")
	flag.StringVar(&o.key, "key", "", "key of --certificate")
	flag.StringVar(&o.ca, "ca", "", "CA that issues the certificates (PEM), instead of one that is made")
	flag.StringVar(&o.caKey, "ca-key", "", "key of --ca")
	flag.StringVar(&o.hosts, "hosts", "", "comma separated names and addresses for the certificate, besides localhost, 127.0.0.1 and ::1")
	flag.StringVar(&o.signingKey, "signing-key", "", "RSA key that signs registry tokens (PEM); made when absent")
	flag.StringVar(&o.signingCertificate, "signing-certificate", "", "certificate of --signing-key, docker-registry's rootcertbundle")
	flag.StringVar(&o.registry, "registry", "", "docker-registry behind /v2/, for example http://127.0.0.1:5000; can be set later by PUT /switches")
	flag.StringVar(&o.service, "service", "", "service name of the registry (default: host:port of the request)")
	flag.StringVar(&o.issuer, "issuer", "quay", "issuer of registry tokens")
	flag.StringVar(&o.issuerCA, "issuer-ca", "", "CA (PEM) to trust, besides the system's, where a robot's federation names an issuer; can be set later by PUT /switches")
	flag.StringVar(&o.file, "world", "", "JSON file with the world to start with (default: the world of README.md)")
	flag.Uint64Var(&o.seed, "seed", 0, "makes tokens repeatable (0: random)")
	flag.Parse()
	if flag.NArg() > 0 || o.control == "" {
		fmt.Fprintln(os.Stderr, "quay-sim: --control-socket is required, other arguments are not taken")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, o, func(ready []byte) { fmt.Println(string(ready)) }); err != nil {
		fmt.Fprintln(os.Stderr, "quay-sim:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends; ready gets the line that says where.
func run(ctx context.Context, o options, ready func([]byte)) error {
	folder := filepath.Dir(o.control)
	certificates, err := newCertificates(o, folder)
	if err != nil {
		return err
	}
	signer, err := newSigner(o, folder)
	if err != nil {
		return err
	}
	world := newWorld(o.seed)
	definition := defaultWorld()
	if o.file != "" {
		content, err := os.ReadFile(o.file)
		if err != nil {
			return err
		}
		definition = WorldDefinition{}
		if err := decodeStrictly(content, &definition); err != nil {
			return fmt.Errorf("%s: %w", o.file, err)
		}
	}
	if err := world.replace(definition); err != nil {
		return err
	}
	quay := newQuay(world, signer, certificates, o)
	if err := quay.switches.change(func(s *Switches) error { s.Registry, s.IssuerCA = o.registry, o.issuerCA; return s.check() }); err != nil {
		return err
	}
	front, err := newFront(o.listen, quay)
	if err != nil {
		return err
	}
	defer front.close()
	quay.front = front

	os.Remove(o.control) // left by a run that was killed
	socket, err := net.Listen("unix", o.control)
	if err != nil {
		return err
	}
	control := &http.Server{Handler: newControl(quay)}
	go control.Serve(socket)
	defer control.Close()

	line, err := json.Marshal(quay.describe())
	if err != nil {
		return err
	}
	ready(line)
	<-ctx.Done()
	quay.shutdown()
	return nil
}

// newFile writes a file that only its owner may read.
func newFile(path string, content []byte) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}
