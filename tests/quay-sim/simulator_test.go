package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// simulator is a running quay-sim and its clients.
type simulator struct {
	t       *testing.T
	at      description
	host    string
	client  *http.Client // does not follow redirects, trusts the simulator's CA
	control *http.Client
	token   string // the API token of the default world
}

// start runs a simulator with the default world until the test ends.
func start(t *testing.T, change ...func(*options)) *simulator {
	t.Helper()
	folder, err := os.MkdirTemp("", "quay-sim") // t.TempDir is too long for a unix socket
	if err != nil {
		t.Fatal(err)
	}
	o := options{listen: "127.0.0.1:0", control: filepath.Join(folder, "control"), issuer: "quay", seed: 7}
	for _, f := range change {
		f(&o)
	}
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan []byte, 1), make(chan error, 1)
	go func() { ended <- run(ctx, o, func(line []byte) { ready <- line }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		os.RemoveAll(folder)
	})
	s := &simulator{t: t}
	select {
	case line := <-ready:
		if err := json.Unmarshal(line, &s.at); err != nil {
			t.Fatal(err)
		}
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	s.host = strings.TrimPrefix(s.at.URL, "https://")
	if s.at.CA != "" {
		s.client = s.trusting(s.at.CA)
	}
	s.control = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", o.control)
	}}}
	var token APIToken
	s.call("GET", "/tokens/automation", "", &token)
	s.token = token.Token
	return s
}

// trusting is a client that trusts one CA, with a connection for each request.
func (s *simulator) trusting(caFile string) *http.Client {
	s.t.Helper()
	pem, err := os.ReadFile(caFile)
	if err != nil {
		s.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}},
	}
}

// call makes a call of the control API that must succeed.
func (s *simulator) call(method, path, body string, into any) {
	s.t.Helper()
	status, content := s.tryCall(method, path, body)
	if status != 200 {
		s.t.Fatalf("%s %s: %d %s", method, path, status, content)
	}
	if into != nil {
		if err := json.Unmarshal(content, into); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *simulator) tryCall(method, path, body string) (int, []byte) {
	s.t.Helper()
	request, err := http.NewRequest(method, "http://quay"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := s.control.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, content
}

func (s *simulator) robot(name string) robotView {
	s.t.Helper()
	var view robotView
	s.call("GET", "/robots/"+name, "", &view)
	return view
}

func (s *simulator) fault(definition string) Fault {
	s.t.Helper()
	var f Fault
	s.call("POST", "/faults", definition, &f)
	return f
}

func (s *simulator) journal(query string) []Entry {
	s.t.Helper()
	var entries []Entry
	s.call("GET", "/journal?"+query, "", &entries)
	return entries
}

// reply is a response that was read to its end.
type reply struct {
	*http.Response
	body []byte
}

// try makes one request; header is "Name: value" lines.
func (s *simulator) try(method, path string, header ...string) (reply, error) {
	request, err := http.NewRequest(method, s.at.URL+path, nil)
	if err != nil {
		return reply{}, err
	}
	for _, line := range header {
		if name, value, ok := strings.Cut(line, ": "); ok {
			request.Header.Set(name, value)
		}
	}
	return s.do(request)
}

func (s *simulator) do(request *http.Request) (reply, error) {
	response, err := s.client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return reply{response, body}, err
}

func (s *simulator) send(method, path string, header ...string) reply {
	s.t.Helper()
	r, err := s.try(method, path, header...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// prepare gives the API token these scopes ("a", "b") and makes a change of the world, a path and a
// body; "" makes none.
func (s *simulator) prepare(scopes, change string) {
	s.call("PUT", "/tokens/automation", `{"scopes": [`+scopes+`]}`, nil)
	if path, body, ok := strings.Cut(change, " "); ok {
		s.call("PUT", path, body, nil)
	}
}

func (s *simulator) bearer() string { return "Authorization: Bearer " + s.token }

const (
	puller           = "/api/v1/organization/acme/robots/puller"
	regeneratePuller = puller + "/regenerate"
)

func (s *simulator) regenerate() reply {
	s.t.Helper()
	return s.send("POST", regeneratePuller, s.bearer())
}

// login makes a registry login.
func (s *simulator) login(robot, password, scope string) reply {
	s.t.Helper()
	request, _ := http.NewRequest("GET", "/", nil)
	request.SetBasicAuth(robot, password)
	path := "/v2/auth?service=" + s.host
	if scope != "" {
		path += "&scope=" + scope
	}
	return s.send("GET", path, "Authorization: "+request.Header.Get("Authorization"))
}

// expected is an answer: JSON that must be equal, or HTML for a body of "".
type expected struct {
	status      int
	contentType string
	body        string // $HOST stands for the simulator's host and port
}

func (s *simulator) check(t *testing.T, r reply, want expected) {
	t.Helper()
	contentType := r.Header.Get("Content-Type")
	if r.StatusCode != want.status || !strings.HasPrefix(contentType, want.contentType) {
		t.Errorf("got %d %s, want %d %s", r.StatusCode, contentType, want.status, want.contentType)
	}
	if want.body == "" {
		if !bytes.HasPrefix(r.body, []byte("<!doctype html>")) {
			t.Errorf("the body is no HTML")
		}
		return
	}
	if got, wanted := compact(t, string(r.body)), compact(t, strings.ReplaceAll(want.body, "$HOST", s.host)); got != wanted {
		t.Errorf("body\n%s, want\n%s", got, wanted)
	}
}

// compact orders the keys of JSON.
func compact(t *testing.T, text string) string {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("no JSON: %v: %s", err, text)
	}
	ordered, _ := json.Marshal(value)
	return string(ordered)
}
