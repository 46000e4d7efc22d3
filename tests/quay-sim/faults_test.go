package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Each row strikes one regenerate; the next one works.
func TestFaultsOfARegenerate(t *testing.T) {
	s := start(t)
	for _, row := range []struct {
		fault   string // without the match
		status  int
		content string // in the body
		commits bool
	}{
		{`"action": "error-before"`, 500, "<h1>Internal Server Error", false},
		{`"action": "error-after"`, 500, "<h1>Internal Server Error", true},
		{`"action": "rate-limited"`, 429, "<h1>Too Many Requests", false},
		{`"action": "rate-limited", "commit": true`, 429, "<h1>Too Many Requests", true},
		{`"action": "bad-gateway"`, 502, "<h1>Quay Loading", false},
		{`"action": "gateway-timeout"`, 504, "<h1>Gateway Time-out", false},
		{`"action": "gateway-timeout", "commit": true`, 504, "<h1>Gateway Time-out", true},
		{`"action": "html-200"`, 200, "<h1>Welcome", true},
		{`"action": "html-200", "commit": false`, 200, "<h1>Welcome", false},
		{`"action": "empty-200"`, 200, "", true},
		{`"action": "huge-body", "bytes": 3000000`, 200, strings.Repeat("x", 3000000), true},
		{`"action": "wrong-name"`, 200, `"name":"somebody+else"`, true},
		{`"action": "no-token"`, 200, `"name":"acme+puller"`, true},
		{`"action": "redirect"`, 301, "<h1>Redirecting", false},
		{`"action": "answer", "status": 418, "contentType": "text/plain", "body": "teapot", "headers": {"Retry-After": "7"}`, 418, "teapot", false},
		{`"action": "delay-before", "delay": "1ms"`, 200, `"token":`, true},
		{`"action": "delay-after", "delay": "1ms"`, 200, `"token":`, true},
		{`"action": "drip", "delay": "1us"`, 200, `"token":`, true},
	} {
		t.Run(row.fault, func(t *testing.T) {
			s.call("DELETE", "/faults", "", nil)
			s.fault(`{"match": {"endpoint": "regenerate"}, "times": 1, ` + row.fault + `}`)
			before := s.robot("acme+puller")
			r := s.regenerate()
			if r.StatusCode != row.status || !strings.Contains(string(r.body), row.content) || (row.content == "" && len(r.body) > 0) {
				t.Errorf("%d, %d bytes", r.StatusCode, len(r.body))
			}
			after := s.robot("acme+puller")
			if committed := after.Token != before.Token; committed != row.commits || (committed && after.Regenerations != before.Regenerations+1) {
				t.Errorf("committed: %v", committed)
			}
			if row.status == 301 && r.Header.Get("Location") != "https://127.0.0.1"+regeneratePuller {
				t.Errorf("Location: %s", r.Header.Get("Location"))
			}
			if row.status == 418 && (r.Header.Get("Retry-After") != "7" || r.Header.Get("Content-Type") != "text/plain") {
				t.Errorf("headers: %v", r.Header)
			}
			if strings.Contains(row.fault, "no-token") && strings.Contains(string(r.body), `"token"`) {
				t.Error("the token is there")
			}
			entries := s.journal("endpoint=regenerate&done=true")
			if last := entries[len(entries)-1]; !strings.Contains(row.fault, last.Fault) || last.Committed != row.commits {
				t.Errorf("journal: %+v", last)
			}
			if r := s.regenerate(); r.StatusCode != 200 {
				t.Errorf("after the fault: %d", r.StatusCode)
			}
		})
	}
}

func TestResetsAreSeenByTheClientBeforeAndAfterTheCommit(t *testing.T) {
	s := start(t)
	for _, row := range []struct {
		action  string
		commits bool
		half    bool
	}{{"reset-before", false, false}, {"reset-after", true, false}, {"half-body", true, true}} {
		t.Run(row.action, func(t *testing.T) {
			s.fault(`{"match": {"endpoint": "regenerate", "robot": "acme+puller"}, "times": 1, "action": "` + row.action + `"}`)
			before := s.robot("acme+puller")
			r, err := s.try("POST", regeneratePuller, s.bearer())
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("no reset: %v", err)
			}
			if row.half && (r.StatusCode != 200 || len(r.body) == 0 || int64(len(r.body)) != r.ContentLength/2) {
				t.Errorf("%d bytes of %d", len(r.body), r.ContentLength)
			}
			if committed := s.robot("acme+puller").Token != before.Token; committed != row.commits {
				t.Errorf("committed: %v", committed)
			}
		})
	}
}

func TestAHeldRequestStopsBeforeAndAfterItsCommit(t *testing.T) {
	s := start(t)
	f := s.fault(`{"match": {"endpoint": "regenerate"}, "times": 1, "action": "hold"}`)
	before := s.robot("acme+puller")
	answered := make(chan reply, 1)
	go func() {
		r, err := s.try("POST", regeneratePuller, s.bearer())
		if err != nil {
			t.Error(err)
		}
		answered <- r
	}()
	for _, stage := range []string{"before", "after"} {
		var held Fault
		s.call("GET", fmt.Sprintf("/faults/%d?wait=10s", f.ID), "", &held)
		if len(held.Held) != 1 || held.Held[0].Stage != stage {
			t.Fatalf("held: %+v", held.Held)
		}
		if changed := s.robot("acme+puller").Token != before.Token; changed != (stage == "after") {
			t.Errorf("%s the commit: changed %v", stage, changed)
		}
		select {
		case <-answered:
			t.Error("the request was answered")
		default:
		}
		s.call("POST", fmt.Sprintf("/faults/%d/release", f.ID), "", nil)
	}
	if r := <-answered; r.StatusCode != 200 {
		t.Errorf("answer: %d", r.StatusCode)
	}
	if status, _ := s.tryCall("POST", fmt.Sprintf("/faults/%d/release?wait=1ms", f.ID), ""); status != 409 {
		t.Errorf("a release of nothing: %d", status)
	}
	s.call("DELETE", fmt.Sprintf("/faults/%d", f.ID), "", nil)
	if status, _ := s.tryCall("GET", fmt.Sprintf("/faults/%d", f.ID), ""); status != 404 {
		t.Errorf("a deleted fault: %d", status)
	}
}

func TestACommitMayLandAfterTheClientHasGone(t *testing.T) {
	for _, action := range []string{"commit-late", "hold"} {
		t.Run(action, func(t *testing.T) {
			s := start(t)
			f := s.fault(`{"match": {"endpoint": "regenerate"}, "times": 1, "at": ["before"], "action": "` + action + `"}`)
			before := s.robot("acme+puller")
			ctx, leave := context.WithCancel(context.Background())
			left := make(chan error, 1)
			go func() {
				request, _ := http.NewRequestWithContext(ctx, "POST", s.at.URL+regeneratePuller, nil)
				request.Header.Set("Authorization", "Bearer "+s.token)
				_, err := s.client.Do(request)
				left <- err
			}()
			if n := len(s.journal("endpoint=regenerate&wait=10s")); n != 1 {
				t.Fatalf("%d requests came", n)
			}
			if s.robot("acme+puller").Token != before.Token {
				t.Fatal("committed while the client waits")
			}
			leave()
			if err := <-left; !errors.Is(err, context.Canceled) {
				t.Errorf("the client got %v", err)
			}
			if action == "hold" {
				s.call("POST", fmt.Sprintf("/faults/%d/release", f.ID), "", nil)
			}
			if entries := s.journal("committed=true&wait=10s"); len(entries) != 1 || entries[0].FingerprintBefore != before.Fingerprint {
				t.Errorf("no commit after the client left: %+v", entries)
			}
			if s.robot("acme+puller").Token == before.Token {
				t.Error("the token did not change")
			}
		})
	}
}

func TestFaultsMatchByEndpointRobotMethodAndPathAndCount(t *testing.T) {
	s := start(t)
	s.fault(`{"match": {"robot": "acme+pusher", "endpoint": "robot-get"}, "action": "answer", "status": 501}`)
	s.fault(`{"match": {"path": "/user/robots$", "method": "GET"}, "skip": 1, "times": 2, "action": "answer", "status": 502}`)
	s.fault(`{"match": {"endpoint": "auth", "robot": "acme+puller"}, "action": "answer", "status": 503}`)
	s.fault(`{"match": {"endpoint": "v2-challenge"}, "times": 1, "action": "answer", "status": 504}`)
	status := func(path string) int { return s.send("GET", path, s.bearer()).StatusCode }
	pusher := strings.Replace(puller, "puller", "pusher", 1)
	got := []int{status(puller), status(pusher), status(pusher), status(regeneratePuller),
		status("/api/v1/user/robots"), status("/api/v1/user/robots"), status("/api/v1/user/robots"), status("/api/v1/user/robots"),
		s.login("acme+puller", "x", "").StatusCode, s.login("acme+pusher", "x", "").StatusCode, status("/v2/"), status("/v2/")}
	want := []int{200, 501, 501, 405, 200, 502, 502, 200, 503, 401, 504, 401}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, bad := range []string{`{"action": "explode"}`, `{"action": "answer"}`, `{"action": "hold", "at": ["sometimes"]}`,
		`{"action": "reset-before", "commit": true}`, `{"action": "error-after", "match": {"path": "("}}`, `{"action": "error-after", "tmies": 1}`} {
		if status, _ := s.tryCall("POST", "/faults", bad); status != 400 {
			t.Errorf("%s: %d", bad, status)
		}
	}
}

func TestAListCanBeDamagedToo(t *testing.T) {
	s := start(t)
	s.fault(`{"match": {"endpoint": "robot-list"}, "times": 1, "action": "no-token"}`)
	if r := s.send("GET", "/api/v1/organization/acme/robots", s.bearer()); strings.Contains(string(r.body), `"token"`) {
		t.Error("the tokens are there")
	}
	s.fault(`{"match": {"endpoint": "robot-list"}, "times": 1, "action": "half-body"}`)
	if _, err := s.try("GET", "/api/v1/organization/acme/robots", s.bearer()); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("half a list: %v", err)
	}
}

func TestDelaysAreOnTheRightSideOfTheCommit(t *testing.T) {
	s := start(t)
	const delay = 200 * time.Millisecond
	for _, action := range []string{"delay-before", "delay-after"} {
		s.call("DELETE", "/journal", "", nil)
		s.fault(fmt.Sprintf(`{"match": {"endpoint": "regenerate"}, "times": 1, "action": %q, "delay": %q}`, action, delay))
		s.regenerate()
		entry := s.journal("committed=true&done=true&wait=10s")[0]
		toCommit := time.Duration(entry.CommitNs - entry.Time.UnixNano())
		if late := toCommit >= delay; late != (action == "delay-before") || time.Duration(entry.DurationNs) < delay {
			t.Errorf("%s: committed after %v of %v", action, toCommit, time.Duration(entry.DurationNs))
		}
	}
}

func TestAHugeBodyDoesNotEndByItself(t *testing.T) {
	s := start(t)
	s.fault(`{"match": {"endpoint": "robot-get"}, "times": 1, "action": "huge-body"}`)
	request, _ := http.NewRequest("GET", s.at.URL+puller, nil)
	response, err := s.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, io.LimitReader(response.Body, 16<<20))
	if n != 16<<20 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}
