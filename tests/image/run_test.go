package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	inside   = "QUAY_ROTATOR_IMAGE_ROOT" // where TestInside finds the unpacked image
	anybody  = 1000660000                // as OpenShift gives
	hostname = "kubernetes.example"
)

// TestRunsWithNothingButItself runs TestInside in namespaces of its own: no other network, and mounts
// that nobody else sees.
func TestRunsWithNothingButItself(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("to change the root folder needs root")
	}
	for _, image := range images(t) {
		if image.platform != runtime.GOARCH {
			continue // image/arm64-check.sh runs it under qemu
		}
		root := t.TempDir()
		image.unpack(t, root)
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		command := exec.Command(self, "-test.run=^TestInside$", "-test.v")
		command.Env = append(os.Environ(), inside+"="+root)
		command.SysProcAttr = &syscall.SysProcAttr{
			Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL,
		}
		output, err := command.CombinedOutput()
		if err != nil || !bytes.Contains(output, []byte("--- PASS: TestInside")) {
			t.Errorf("%v\n%s", err, output)
		}
	}
}

func (i image) unpack(t *testing.T, root string) {
	t.Helper()
	for _, listed := range i.names {
		name := filepath.Clean(listed)
		file, path := i.files[name], filepath.Join(root, name)
		var err error
		switch file.Typeflag {
		case tar.TypeDir:
			if err = os.MkdirAll(path, 0o755); err == nil {
				err = os.Chmod(path, os.FileMode(file.Mode))
			}
		case tar.TypeSymlink:
			err = os.Symlink(file.Linkname, path)
		default:
			err = os.WriteFile(path, file.content, os.FileMode(file.Mode))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// container is the command as any runtime would start it: the image as its root, no environment, a
// user that no file knows.
func container(ctx context.Context, root string, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "/"+program, arguments...)
	command.Dir, command.Env = "/", []string{}
	command.SysProcAttr = &syscall.SysProcAttr{
		Chroot: root, Credential: &syscall.Credential{Uid: anybody, Gid: 0, Groups: []uint32{anybody}},
	}
	return command
}

func TestInside(t *testing.T) {
	root := os.Getenv(inside)
	if root == "" {
		t.Skip("TestRunsWithNothingButItself runs it")
	}
	must(t, exec.Command("ip", "link", "set", "lo", "up").Run())
	must(t, syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))

	// What a runtime adds: who answers for names, and, as a Pod would mount it, a kubeconfig.
	authority := newAuthority(t)
	server := authority.serve(t)
	must(t, os.WriteFile(filepath.Join(root, "etc/resolv.conf"), []byte("nameserver 127.0.0.1\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "kubeconfig"), fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: test, namespace: test}}]
clusters: [{name: test, cluster: {server: "https://%s:%d"}}]
users: [{name: test, user: {token: not-a-secret}}]
`, hostname, server.port), 0o644))
	must(t, syscall.Mount(root, root, "", syscall.MS_BIND, ""))
	must(t, syscall.Mount("", root, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	if err := os.WriteFile(filepath.Join(root, "written"), nil, 0o600); err == nil {
		t.Fatal("the root is not read-only")
	}
	answerNames(t)

	t.Run("says its version", func(t *testing.T) {
		output, err := container(t.Context(), root, "--version").CombinedOutput()
		if err != nil || !strings.Contains(string(output), "0.") {
			t.Errorf("%v: %s", err, output)
		}
	})
	t.Run("helps", func(t *testing.T) {
		output, err := container(t.Context(), root, "--help").CombinedOutput()
		if err != nil || !strings.Contains(string(output), "--leader-elect") {
			t.Errorf("%v: %s", err, output)
		}
	})
	t.Run("has no shell", func(t *testing.T) {
		command := container(t.Context(), root)
		command.Path = "/bin/sh"
		if err := command.Run(); err == nil {
			t.Error("it has one")
		}
	})
	operate := []string{"--kubeconfig=/kubeconfig", "--leader-elect=false", "--metrics-bind-address=0"}
	t.Run("trusts public authorities alone", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		command := container(ctx, root, operate...)
		output, err := command.StdoutPipe()
		must(t, err)
		command.Stderr = command.Stdout
		must(t, command.Start())
		refused := false
		for lines := bufio.NewScanner(output); !refused && lines.Scan(); {
			refused = strings.Contains(lines.Text(), "not trusted by the system's certificates")
		}
		_ = command.Process.Kill()
		_ = command.Wait()
		if !refused || len(server.requests) != 0 {
			t.Error("it trusts an authority of this test's, or never called")
		}
	})
	t.Run("finds a name and trusts what is in the bundle's place", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "ca.crt")
		must(t, os.WriteFile(file, authority.pem, 0o644))
		must(t, syscall.Mount(file, filepath.Join(root, bundle), "", syscall.MS_BIND, ""))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var output bytes.Buffer
		command := container(ctx, root, operate...)
		command.Stdout, command.Stderr = &output, &output
		must(t, command.Start())
		select {
		case <-server.requests:
		case <-ctx.Done():
			t.Error("no request came")
		}
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("%s", &output)
		}
	})
}

// answerNames answers every question for an address with 127.0.0.1, and all others with nothing.
func answerNames(t *testing.T) {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:53")
	must(t, err)
	t.Cleanup(func() { _ = socket.Close() })
	go func() {
		question := make([]byte, 512)
		for {
			size, from, err := socket.ReadFrom(question)
			if err != nil {
				return
			}
			end := 12
			for end < size && question[end] != 0 {
				end += int(question[end]) + 1
			}
			if end+5 > size {
				continue
			}
			answer := append([]byte{question[0], question[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question[12:end+5]...)
			if question[end+2] == 1 { // A
				answer[7] = 1
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1)
			}
			_, _ = socket.WriteTo(answer, from)
		}
	}()
}

type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template(1), template(1), key.Public(), key)
	must(t, err)
	certificate, err := x509.ParseCertificate(der)
	must(t, err)
	return authority{certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func template(serial int64) *x509.Certificate {
	made := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: fmt.Sprintf("Test %d", serial)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: serial == 1, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if made.IsCA {
		made.KeyUsage = x509.KeyUsageCertSign
	} else {
		made.DNSNames, made.ExtKeyUsage = []string{hostname}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	return made
}

type server struct {
	port     int
	requests chan string // what was asked
}

func (a authority) serve(t *testing.T) server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template(2), a.certificate, key.Public(), a.key)
	must(t, err)
	made := server{requests: make(chan string, 1000)}
	listening := httptest.NewUnstartedServer(http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		made.requests <- request.URL.Path
		http.Error(writer, "not here", http.StatusServiceUnavailable)
	}))
	listening.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	listening.Config.ErrorLog = log.New(io.Discard, "", 0)
	listening.StartTLS()
	t.Cleanup(listening.Close)
	made.port = listening.Listener.Addr().(*net.TCPAddr).Port
	return made
}
