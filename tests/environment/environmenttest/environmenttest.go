// Package environmenttest is what tests of an environment have in common: its programs, and waiting
// for what other processes do.
package environmenttest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// sources is the folder tests/.
func sources() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "../..")
}

// Built answers a directory of the cache of Go programs ("control-plane", "helm", …); instant once
// `make test` has prepared it.
func Built(t testing.TB, what string) string {
	t.Helper()
	build := exec.Command(filepath.Join(sources(), "control-plane/build.sh"), what)
	build.Stderr = os.Stderr
	output, err := build.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(output))
}

// Program builds a command below tests/ into directory, under its own name, and answers its path.
func Program(t testing.TB, directory, command string) string {
	t.Helper()
	build := exec.Command("go", "build", "-o", directory+string(filepath.Separator), "./"+command)
	build.Dir = sources()
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return filepath.Join(directory, filepath.Base(command))
}

// Wait asks until the answer is nil, and answers the last one when that takes longer than limit:
// other processes do what is asked for, and nothing tells when.
func Wait(t testing.TB, limit time.Duration, ask func() error) error {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Eventually waits a minute at the most.
func Eventually(t testing.TB, ask func() error) {
	t.Helper()
	if err := Wait(t, time.Minute, ask); err != nil {
		t.Fatal(err)
	}
}

// Call asks an HTTP server on a unix socket, as the environment and quay-sim have one. body and into
// are JSON; nil: none.
func Call(t testing.TB, socket, method, path string, body, into any) {
	t.Helper()
	var content []byte
	var err error
	if body != nil {
		if content, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	request, err := http.NewRequestWithContext(t.Context(), method, "http://unix"+path, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if content, err = io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s: %s %v", method, path, response.Status, content, err)
	}
	if into == nil {
		return
	}
	if err = json.Unmarshal(content, into); err != nil {
		t.Fatal(err)
	}
}
