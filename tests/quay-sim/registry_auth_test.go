package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func unauthorized(text string) expected {
	return expected{401, "application/json", fmt.Sprintf(`{"errors": [{"code": "UNAUTHORIZED", "detail": {}, "message": %q}]}`, text)}
}

func TestChallengeLeadsToTheTokenServer(t *testing.T) {
	s := start(t)
	r := s.send("GET", "/v2/")
	if r.StatusCode != 401 || string(r.body) != "true" || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
		t.Errorf("/v2/: %d %s %q", r.StatusCode, r.Header.Get("Content-Type"), r.body)
	}
	if got, want := r.Header.Get("WWW-Authenticate"), `Bearer realm="https://`+s.host+`/v2/auth",service="`+s.host+`"`; got != want {
		t.Errorf("challenge %s, want %s", got, want)
	}
	if r.Close != true && r.Header.Get("Connection") == "close" {
		t.Error("/v2/ closes the connection")
	}
	login := s.login("acme+puller", s.robot("acme+puller").Token, "")
	var body struct{ Token string }
	json.Unmarshal(login.body, &body)
	if r := s.send("GET", "/v2/", "Authorization: Bearer "+body.Token); r.StatusCode != 200 {
		t.Errorf("/v2/ with the bearer: %d", r.StatusCode)
	}
	if r := s.send("GET", "/v2/", "Authorization: Bearer "+body.Token[:len(body.Token)-8]+"AAAAAAAA"); r.StatusCode != 401 {
		t.Errorf("/v2/ with a forged bearer: %d", r.StatusCode)
	}
}

// registryToken decodes the token of a login that must have succeeded.
func registryToken(t *testing.T, r reply) (token struct {
	Issuer   string `json:"iss"`
	Audience string `json:"aud"`
	Subject  string `json:"sub"`
	Expires  int64  `json:"exp"`
	Access   []access
}) {
	t.Helper()
	var body struct{ Token string }
	if r.StatusCode != 200 || json.Unmarshal(r.body, &body) != nil {
		t.Fatalf("login: %d", r.StatusCode)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(body.Token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &token); err != nil {
		t.Fatal(err)
	}
	return token
}

func TestGoodLoginGetsABearerForOneHour(t *testing.T) {
	s := start(t)
	r := s.login("acme+puller", s.robot("acme+puller").Token, "")
	token := registryToken(t, r)
	lifetime := time.Until(time.Unix(token.Expires, 0))
	if token.Issuer != "quay" || token.Audience != s.host || token.Subject != "acme+puller" || lifetime > time.Hour || lifetime < 59*time.Minute || len(token.Access) != 0 {
		t.Errorf("%+v", token)
	}
	if !r.Close {
		t.Error("the connection stays open")
	}
}

func TestAccessSaysWhatTheCredentialMayDo(t *testing.T) {
	s := start(t)
	s.call("PUT", "/repositories/acme/open", `{"public": true}`, nil)
	for _, c := range []struct{ robot, scope, want string }{
		{"acme+puller", "repository:acme/app:pull", "pull"},
		{"acme+puller", "repository:acme/app:pull,push", "pull"},
		{"acme+pusher", "repository:acme/app:pull,push", "push,pull"},
		{"acme+puller", "repository:acme/missing:pull", ""},
		{"acme+puller", "repository:nobody/app:pull", ""},
		{"acme+puller", "repository:acme/open:pull", "pull"},
	} {
		token := registryToken(t, s.login(c.robot, s.robot(c.robot).Token, c.scope))
		if len(token.Access) != 1 || token.Access[0].Actions == nil || strings.Join(token.Access[0].Actions, ",") != c.want {
			t.Errorf("%s, %s: %+v", c.robot, c.scope, token.Access)
		}
	}
}

func TestEveryRefusedLogin(t *testing.T) {
	s := start(t)
	good := func(s *simulator) string { return s.robot("acme+puller").Token }
	wrong := unauthorized("Could not find robot with username: acme+puller and supplied password.")
	for _, row := range []struct {
		name, prepare string
		robot         string
		password      func(*simulator) string
		want          expected
		login         string
	}{
		{"wrong", "", "acme+puller", func(*simulator) string { return "WRONG" }, wrong, "wrong-credential"},
		{"empty", "", "acme+puller", func(*simulator) string { return "" }, wrong, "wrong-credential"},
		{"with a space", "", "acme+puller", func(s *simulator) string { return good(s) + " " }, wrong, "wrong-credential"},
		{"with a newline", "", "acme+puller", func(s *simulator) string { return good(s) + "\n" }, wrong, "wrong-credential"},
		{"unknown robot", "", "acme+nobody", good, unauthorized("Could not find robot with specified username"), "unknown-robot"},
		{"robots disallowed", `/switches {"robotsDisallowed": true}`, "acme+puller", good,
			unauthorized("Robot account have been disabled. Please contact your administrator."), "robots-disallowed"},
		{"owner disabled", `/organizations/acme {"disabled": true}`, "acme+puller", good, unauthorized("Robot acme+puller owner acme is disabled"), "owner-disabled"},
		{"wrong while the audit log is broken", `/switches {"auditLogBroken": true}`, "acme+puller", func(*simulator) string { return "WRONG" }, wrong, "wrong-credential"},
		{"good while the audit log is broken", `/switches {"auditLogBroken": true}`, "acme+puller", good, expected{500, "text/html", ""}, "failed"},
		{"good while the database is locked", `/switches {"databaseLocked": true, "lockedLoginWait": "1ms"}`, "acme+puller", good, expected{504, "text/html", ""}, "failed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s.call("POST", "/world", "", nil)
			s.call("DELETE", "/switches", "", nil)
			s.call("DELETE", "/journal", "", nil)
			if path, body, ok := strings.Cut(row.prepare, " "); ok {
				s.call("PUT", path, body, nil)
			}
			s.check(t, s.login(row.robot, row.password(s), "repository:acme/app:pull"), row.want)
			entries := s.journal("endpoint=auth&robot=" + row.robot)
			if len(entries) != 1 || entries[0].Login != row.login {
				t.Errorf("journal: %+v", entries)
			}
		})
	}
}

func TestWhitelistedRobotLogsInWhileRobotsAreDisallowedAndRegenerateStillWorks(t *testing.T) {
	s := start(t)
	s.call("PUT", "/switches", `{"robotsDisallowed": true, "robotsWhitelist": ["acme+pusher"]}`, nil)
	if r := s.login("acme+pusher", s.robot("acme+pusher").Token, ""); r.StatusCode != 200 {
		t.Errorf("whitelisted: %d", r.StatusCode)
	}
	if r := s.regenerate(); r.StatusCode != 200 {
		t.Errorf("regenerate: %d", r.StatusCode)
	}
}

func TestMalformedScopeAndAnonymousLogins(t *testing.T) {
	s := start(t)
	token := s.robot("acme+puller").Token
	for _, scope := range []string{"repository", "repository:acme/app:steal", "repository:acme/app"} {
		s.check(t, s.login("acme+puller", token, scope), expected{400, "application/json",
			`{"errors": [{"code": "INVALID_REQUEST", "detail": {}, "message": "Unable to decode repository and actions: ` + scope + `"}]}`})
	}
	anonymous := registryToken(t, s.send("GET", "/v2/auth?service=x&scope=repository:acme/app:pull"))
	if len(anonymous.Access) != 1 || len(anonymous.Access[0].Actions) != 0 {
		t.Errorf("anonymous: %+v", anonymous.Access)
	}
	if r := s.send("GET", "/v2/auth?service=x"); r.StatusCode != 401 {
		t.Errorf("anonymous without scope: %d", r.StatusCode)
	}
	if r := s.send("GET", "/v2/auth", "Authorization: Basic %%%"); r.StatusCode != 401 {
		t.Errorf("malformed Basic: %d", r.StatusCode)
	}
}

func TestTheNextLoginAfterARegenerateRefusesTheOldToken(t *testing.T) {
	s := start(t)
	old := s.robot("acme+puller").Token
	if s.login("acme+puller", old, "").StatusCode != 200 {
		t.Fatal("the first login failed")
	}
	renewed := fields(t, s.regenerate().body)["token"].(string)
	s.check(t, s.login("acme+puller", old, ""), unauthorized("Could not find robot with username: acme+puller and supplied password."))
	if s.login("acme+puller", renewed, "").StatusCode != 200 {
		t.Error("the new token was refused")
	}
}
