package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestEachCertificateFailsInItsOwnWay(t *testing.T) {
	s := start(t)
	for certificate, recognise := range map[string]func(error) bool{
		"wrong-host": func(err error) bool { return errors.As(err, new(x509.HostnameError)) },
		"unknown-ca": func(err error) bool { return errors.As(err, new(x509.UnknownAuthorityError)) },
		"expired": func(err error) bool {
			var invalid x509.CertificateInvalidError
			return errors.As(err, &invalid) && invalid.Reason == x509.Expired
		},
	} {
		s.call("PUT", "/switches", `{"certificate": "`+certificate+`"}`, nil)
		if _, err := s.try("GET", "/config"); !recognise(err) {
			t.Errorf("%s: %v", certificate, err)
		}
		if entries := s.journal("endpoint=tls-handshake&wait=10s"); len(entries) == 0 || entries[0].Error == "" {
			t.Errorf("%s: the journal has no failed handshake", certificate)
		}
		s.call("DELETE", "/journal", "", nil)
	}
	s.call("PUT", "/switches", `{"certificate": "unknown-ca"}`, nil)
	good := s.client
	s.client = s.trusting(s.at.OtherCA)
	if r := s.send("GET", "/config"); r.StatusCode != 200 {
		t.Errorf("with the other CA trusted: %d", r.StatusCode)
	}
	s.client = good
	s.call("PUT", "/switches", `{"certificate": "good"}`, nil)
	if r := s.send("GET", "/config"); r.StatusCode != 200 {
		t.Errorf("back to good: %d", r.StatusCode)
	}
}

func TestOnlyTLS12AndLater(t *testing.T) {
	s := start(t)
	if conn, err := tls.Dial("tcp", s.host, &tls.Config{MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true}); err == nil {
		conn.Close()
		t.Error("TLS 1.1 was accepted")
	}
}

func TestRefusedConnectionsCutOpenOnesAndComeBackOnTheSamePort(t *testing.T) {
	s := start(t)
	open, err := tls.Dial("tcp", s.host, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	for range 2 {
		s.call("PUT", "/switches", `{"refuse": true}`, nil)
		if _, err := s.try("GET", "/config"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("refused: %v", err)
		}
		s.call("PUT", "/switches", `{"refuse": false}`, nil)
		if r := s.send("GET", "/config"); r.StatusCode != 200 {
			t.Errorf("back: %d", r.StatusCode)
		}
	}
	open.SetReadDeadline(time.Now().Add(10 * time.Second))
	var timeout net.Error
	if _, err := open.Read(make([]byte, 1)); err == nil || (errors.As(err, &timeout) && timeout.Timeout()) {
		t.Errorf("the open connection lives: %v", err)
	}
}

func TestRateLimitAnswers429AfterTheBurst(t *testing.T) {
	s := start(t)
	s.call("PUT", "/switches", `{"rateLimit": {"requestsPerSecond": 0.001, "burst": 3}}`, nil)
	var statuses []int
	for range 4 {
		statuses = append(statuses, s.send("GET", puller, s.bearer()).StatusCode)
	}
	if statuses[2] != 200 || statuses[3] != 429 {
		t.Errorf("%v", statuses)
	}
	r := s.send("POST", regeneratePuller, s.bearer())
	s.check(t, r, expected{429, "text/html", ""})
	if r.Header.Get("Retry-After") != "" || s.robot("acme+puller").Regenerations != 0 {
		t.Error("a Retry-After or a commit")
	}
	if r := s.send("GET", "/config"); r.StatusCode != 200 {
		t.Errorf("/config is limited: %d", r.StatusCode)
	}
	s.call("PUT", "/switches", `{"rateLimit": null}`, nil)
	if r := s.send("GET", puller, s.bearer()); r.StatusCode != 200 {
		t.Errorf("limit lifted: %d", r.StatusCode)
	}
}

func TestOnlyALivingAPITokenCostsTheLatency(t *testing.T) {
	s := start(t)
	const latency = 150 * time.Millisecond
	s.call("PUT", "/switches", `{"latency": "150ms"}`, nil)
	s.regenerate()
	s.send("GET", puller, "Authorization: Bearer unknown")
	entries := s.journal("done=true&count=2&wait=10s")
	if len(entries) != 2 || time.Duration(entries[0].DurationNs) < latency || time.Duration(entries[1].DurationNs) >= latency {
		t.Errorf("%+v", entries)
	}
	if committed := time.Duration(entries[0].CommitNs - entries[0].Time.UnixNano()); committed < latency {
		t.Errorf("committed after %v, before the token was checked", committed)
	}
}

func TestWrongSwitchesAreRefusedAndChangeNothing(t *testing.T) {
	s := start(t)
	for _, body := range []string{`{"readonly": 1}`, `{"certificate": "pretty"}`, `{"latency": 200}`, `{"registry": "127.0.0.1:5000"}`, `{"rateLimit": {"burst": 0}}`} {
		if status, _ := s.tryCall("PUT", "/switches", body); status != 400 {
			t.Errorf("%s: %d", body, status)
		}
	}
	if r := s.regenerate(); r.StatusCode != 200 {
		t.Errorf("afterwards: %d", r.StatusCode)
	}
}

func TestJournalHoldsEveryRequestAndNoToken(t *testing.T) {
	s := start(t)
	first := s.robot("acme+puller")
	s.send("GET", puller+"?secret=hush&token="+first.Token, s.bearer(), "User-Agent: quay-rotator/1.0")
	s.regenerate()
	var pressed robotView
	s.call("POST", "/robots/acme+puller/regenerate", "", &pressed)
	s.login("acme+puller", pressed.Token, "repository:acme/app:pull")

	_, content := s.tryCall("GET", "/journal", "")
	for _, secret := range []string{first.Token, pressed.Token, s.token, "hush"} {
		if strings.Contains(string(content), secret) {
			t.Error("the journal has a secret")
		}
	}
	entries := s.journal("robot=acme%2Bpuller&done=true&count=4&wait=10s")
	if len(entries) != 4 {
		t.Fatalf("%+v", entries)
	}
	read, api, ui, login := entries[0], entries[1], entries[2], entries[3]
	if read.Endpoint != "robot-get" || read.UserAgent != "quay-rotator/1.0" || read.APIToken != "automation" || read.Status != 200 || read.Committed {
		t.Errorf("read: %+v", read)
	}
	if !api.Committed || api.FingerprintBefore != first.Fingerprint || api.FingerprintAfter != ui.FingerprintBefore || api.CommitNs == 0 {
		t.Errorf("regenerate: %+v", api)
	}
	if ui.Endpoint != "ui-regenerate" || ui.FingerprintAfter != pressed.Fingerprint || pressed.Fingerprint != fingerprint(pressed.Token) ||
		!strings.HasPrefix(pressed.Fingerprint, "sha256:") || len(pressed.Fingerprint) != 23 {
		t.Errorf("in the UI: %+v", ui)
	}
	if login.Login != "granted" || len(login.Granted) != 1 || login.Granted[0] != "acme/app:pull" {
		t.Errorf("login: %+v", login)
	}
	var counters struct{ Requests, Regenerations, UIRegenerations map[string]int }
	s.call("GET", "/counters", "", &counters)
	if counters.Regenerations["acme+puller"] != 1 || counters.UIRegenerations["acme+puller"] != 1 || counters.Requests["robot-get"] != 1 {
		t.Errorf("%+v", counters)
	}
	s.call("DELETE", "/journal", "", nil)
	if n := len(s.journal("")); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

func TestTheWorldCanBeBuiltChangedAndTakenDown(t *testing.T) {
	s := start(t)
	s.call("PUT", "/users/dora", ``, nil)
	s.call("PUT", "/organizations/team-a", `{"admins": ["dora"]}`, nil)
	s.call("PUT", "/robots/team-a+pull", `{"description": "pulls"}`, nil)
	s.call("PUT", "/repositories/team-a/app", `{"permissions": {"team-a+pull": "read"}}`, nil)
	var token APIToken
	s.call("PUT", "/tokens/doras", `{"user": "dora", "scopes": ["org:admin"]}`, &token)
	s.token = token.Token
	if r := s.send("POST", "/api/v1/organization/team-a/robots/pull/regenerate", s.bearer()); r.StatusCode != 200 || fields(t, r.body)["description"] != "pulls" {
		t.Errorf("the new robot: %d", r.StatusCode)
	}
	if access := registryToken(t, s.login("team-a+pull", s.robot("team-a+pull").Token, "repository:team-a/app:pull")).Access; strings.Join(access[0].Actions, "") != "pull" {
		t.Errorf("%+v", access)
	}
	s.call("DELETE", "/robots/team-a+pull", "", nil)
	s.call("PUT", "/robots/team-a+pull", "", nil)
	if access := registryToken(t, s.login("team-a+pull", s.robot("team-a+pull").Token, "repository:team-a/app:pull")).Access; len(access[0].Actions) != 0 {
		t.Error("a new robot inherits the permissions of the old one")
	}
	for _, path := range []string{"/robots/team-a+pull", "/repositories/team-a/app", "/tokens/doras", "/organizations/team-a", "/users/dora"} {
		s.call("GET", path, "", nil)
		s.call("DELETE", path, "", nil)
		if status, _ := s.tryCall("GET", path, ""); status != 404 {
			t.Errorf("%s: %d", path, status)
		}
	}
	for path, body := range map[string]string{"/robots/nobody+x": "", "/robots/acme+UPPER": "", "/tokens/x": `{"user": "nobody"}`, "/repositories/acme/app": `{"permissions": {"acme+puller": "own"}}`} {
		if status, _ := s.tryCall("PUT", path, body); status != 400 {
			t.Errorf("PUT %s %s: %d", path, body, status)
		}
	}
}

func TestASeedMakesTokensRepeatable(t *testing.T) {
	if a, b := start(t).robot("acme+puller").Token, start(t).robot("acme+puller").Token; a != b {
		t.Error("two tokens of one seed")
	}
	random := func(o *options) { o.seed = 0 }
	if a, b := start(t, random).robot("acme+puller").Token, start(t, random).robot("acme+puller").Token; a == b {
		t.Error("one token of no seed")
	}
}

func TestManyClientsAtOnce(t *testing.T) {
	s := start(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 10 {
				if r, err := s.try("POST", regeneratePuller, s.bearer()); err != nil || r.StatusCode != 200 {
					t.Errorf("%v", err)
				}
				if r, err := s.try("GET", "/api/v1/organization/acme/robots", s.bearer()); err != nil || r.StatusCode != 200 {
					t.Errorf("%v", err)
				}
			}
		})
	}
	for range 20 {
		s.journal("")
		s.call("GET", "/world", "", nil)
		s.call("PUT", "/repositories/acme/app", `{"permissions": {"acme+puller": "write"}}`, nil)
	}
	group.Wait()
	if n := s.robot("acme+puller").Regenerations; n != 80 {
		t.Errorf("%d regenerations", n)
	}
}
