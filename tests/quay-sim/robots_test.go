package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
)

const (
	csrf         = `{"error": "CSRF token was invalid or missing."}`
	invalidToken = `{"detail": "Requires authentication", "error_message": "Requires authentication", "error_type": "invalid_token",
		"title": "invalid_token", "type": "https://$HOST/api/v1/error/invalid_token", "status": 401}`
	insufficientScope = `{"detail": "Unauthorized", "error_message": "Unauthorized", "error_type": "insufficient_scope",
		"title": "insufficient_scope", "type": "https://$HOST/api/v1/error/insufficient_scope", "status": 403}`
	noSuchRobotBody = `{"message": "Could not find robot with specified username"}`
	readOnly        = `{"is_readonly": true, "message": "System is currently read-only. Pulls will succeed but all write operations are currently suspended."}`
)

func jwt(issuer string) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return part(`{"alg":"RS256","typ":"JWT"}`) + "." + part(`{"iss":"`+issuer+`"}`) + "." + part("signature")
}

// Each row is a row of the table of what goes wrong: the answer to POST regenerate and to GET.
func TestEveryErrorOfTheRobotsAPI(t *testing.T) {
	bad := func(header string) func(*simulator) string { return func(*simulator) string { return header } }
	control := func(path, body string) func(*simulator) {
		return func(s *simulator) { s.call("PUT", path, body, nil) }
	}
	notAuthenticated := [2]expected{{403, "text/html", csrf}, {401, "application/json", invalidToken}}
	forbidden := [2]expected{{403, "application/json", insufficientScope}, {403, "application/json", insufficientScope}}
	notFound := [2]expected{{400, "application/json", noSuchRobotBody}, {400, "application/json", noSuchRobotBody}}
	noOrganization := func(name string) [2]expected {
		e := expected{400, "application/json", `{"message": "Organization does not exist: ` + name + `"}`}
		return [2]expected{e, e}
	}
	for _, row := range []struct {
		name          string
		prepare       func(*simulator)
		authorization func(*simulator) string // default: the world's API token
		path          string                  // default: acme's robot puller
		want          [2]expected             // POST regenerate, GET
	}{
		{"bearer missing", nil, bad(""), "", notAuthenticated},
		{"bearer empty", nil, bad("Authorization: Bearer "), "", notAuthenticated},
		{"bearer malformed", nil, bad("Authorization: Bearer %%%.x"), "", notAuthenticated},
		{"bearer unknown", nil, bad("Authorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789ABCD"), "", notAuthenticated},
		{"bearer expired", control("/tokens/automation", `{"expired": true}`), nil, "", notAuthenticated},
		{"bearer deleted", control("/tokens/automation", `{"deleted": true}`), nil, "", notAuthenticated},
		{"user disabled", control("/users/admin", `{"disabled": true}`), nil, "", notAuthenticated},
		{"basic authentication", nil, bad("Authorization: Basic YWRtaW46c2VjcmV0"), "", notAuthenticated},
		{"a robot's token as bearer", nil, func(s *simulator) string { return "Authorization: Bearer " + s.robot("acme+puller").Token }, "", notAuthenticated},
		{"a ServiceAccount's token, which has no typ", nil, bad("Authorization: Bearer " + strings.Replace(jwt("https://kubernetes.default.svc"),
			"eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9", "eyJhbGciOiJSUzI1NiJ9", 1)), "", notAuthenticated},
		{"somebody else's JWT", nil, bad("Authorization: Bearer " + jwt("https://idp.example.com")), "",
			[2]expected{{401, "text/html", `{"error": "Issuer https://idp.example.com not configured"}`}, {401, "text/html", `{"error": "Issuer https://idp.example.com not configured"}`}}},
		{"wrong scope", control("/tokens/automation", `{"scopes": ["repo:read"]}`), nil, "", forbidden},
		{"wrong scope for a user's robot", control("/tokens/automation", `{"scopes": ["org:admin"]}`), nil, "/api/v1/user/robots/ci", forbidden},
		{"not an administrator", control("/organizations/acme", `{"admins": []}`), nil, "", forbidden},
		{"only a member", control("/organizations/acme", `{"admins": [], "members": ["admin"]}`), nil, "", forbidden},
		{"no such organization", nil, nil, "/api/v1/organization/nobody/robots/puller", forbidden},
		{"no such organization, for a superuser", control("/users/admin", `{"superuser": true}`), nil, "/api/v1/organization/nobody/robots/puller", noOrganization("nobody")},
		{"a user's name as organization", nil, nil, "/api/v1/organization/admin/robots/ci", noOrganization("admin")},
		{"no such robot", nil, nil, "/api/v1/organization/acme/robots/nobody", notFound},
		{"no such robot of the user", nil, nil, "/api/v1/user/robots/nobody", notFound},
		{"robot in upper case", nil, nil, "/api/v1/organization/acme/robots/PULLER", notFound},
		{"robot by its full name", nil, nil, "/api/v1/organization/acme/robots/acme%2Bpuller", notFound},
		{"robot ..", nil, nil, "/api/v1/organization/acme/robots/..", notFound},
		{"no such robot and a bad bearer", nil, bad("Authorization: Bearer x"), "/api/v1/organization/acme/robots/nobody", notAuthenticated},
		{"slash in a name", nil, nil, "/api/v1/organization/acme/robots/pul%2Fler", [2]expected{{405, "text/html", ""}, {308, "text/html", ""}}},
		{"no robots API", control("/switches", `{"noRobotsAPI": true}`), nil, "",
			[2]expected{{404, "application/json", `{"error": "not found"}`}, {404, "application/json", `{"error": "not found"}`}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			if row.prepare != nil {
				row.prepare(s)
			}
			authorization, path := s.bearer(), puller
			if row.authorization != nil {
				authorization = row.authorization(s)
			}
			if row.path != "" {
				path = row.path
			}
			before := s.robot("acme+puller")
			post := s.send("POST", path+"/regenerate", authorization)
			s.check(t, post, row.want[0])
			get := s.send("GET", path, authorization)
			s.check(t, get, row.want[1])
			if post.Header.Get("WWW-Authenticate")+get.Header.Get("WWW-Authenticate") != "" {
				t.Error("there is a WWW-Authenticate")
			}
			if after := s.robot("acme+puller"); after.Token != before.Token || after.Regenerations != 0 {
				t.Error("the token changed")
			}
			for _, entry := range s.journal("") {
				if entry.Committed {
					t.Error("the journal has a commit")
				}
			}
		})
	}
}

func TestAUsersNameAsOrganizationIsListedAllTheSame(t *testing.T) {
	s := start(t)
	r := s.send("GET", "/api/v1/organization/admin/robots", s.bearer())
	if r.StatusCode != 200 || !strings.Contains(string(r.body), `"name":"admin+ci"`) {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}

func TestReadOnlyRegistryRefusesEvenAMissingRobot(t *testing.T) {
	s := start(t)
	s.call("PUT", "/switches", `{"readOnly": true}`, nil)
	for _, path := range []string{regeneratePuller, "/api/v1/organization/acme/robots/nobody/regenerate"} {
		r := s.send("POST", path, s.bearer())
		s.check(t, r, expected{503, "application/json", readOnly})
		if r.Header.Get("Retry-After") != "" {
			t.Error("a Retry-After was sent")
		}
	}
	if r := s.send("GET", puller, s.bearer()); r.StatusCode != 200 {
		t.Errorf("GET: %d", r.StatusCode)
	}
	s.check(t, s.send("POST", regeneratePuller), expected{403, "text/html", csrf})
	if r := s.send("GET", "/config"); !strings.Contains(string(r.body), `"registry_state":"readonly"`) {
		t.Errorf("/config: %s", r.body)
	}
}

func TestBrokenAuditLogAnswers500AndHasChangedTheToken(t *testing.T) {
	s := start(t)
	before := s.robot("acme+puller")
	s.call("PUT", "/switches", `{"auditLogBroken": true}`, nil)
	s.check(t, s.regenerate(), expected{500, "text/html", ""})
	if after := s.robot("acme+puller"); after.Token == before.Token || after.Regenerations != 1 {
		t.Error("the token did not change")
	}
	if r := s.send("GET", puller, s.bearer()); r.StatusCode != 200 {
		t.Errorf("GET: %d", r.StatusCode)
	}
}

func TestLockedDatabaseAnswers500AndHasNotChangedTheToken(t *testing.T) {
	s := start(t)
	before := s.robot("acme+puller")
	s.call("PUT", "/switches", `{"databaseLocked": true, "lockedWait": "1ms"}`, nil)
	s.check(t, s.regenerate(), expected{500, "text/html", ""})
	if after := s.robot("acme+puller"); after.Token != before.Token {
		t.Error("the token changed")
	}
	if r := s.send("GET", puller, s.bearer()); r.StatusCode != 200 {
		t.Errorf("GET: %d", r.StatusCode)
	}
	var switches Switches
	s.call("DELETE", "/switches", "", &switches)
	if switches.LockedWait.String() != "10s" || switches.LockedLoginWait.String() != "1m0s" {
		t.Errorf("the waits of a real Quay are 10 s and 60 s, not %+v", switches)
	}
}

func TestMissingTokenRowBreaksGetUntilRegenerated(t *testing.T) {
	s := start(t)
	s.call("PUT", "/robots/acme+puller", `{"tokenRowMissing": true}`, nil)
	s.check(t, s.send("GET", puller, s.bearer()), expected{500, "text/html", ""})
	if r := s.regenerate(); r.StatusCode != 200 {
		t.Errorf("POST: %d", r.StatusCode)
	}
	if r := s.send("GET", puller, s.bearer()); r.StatusCode != 200 {
		t.Errorf("GET afterwards: %d", r.StatusCode)
	}
}

func TestWrongMethodIs405AndATrailingSlashOfGetIs308(t *testing.T) {
	s := start(t)
	for _, request := range [][2]string{{"PUT", regeneratePuller}, {"PUT", puller}, {"POST", regeneratePuller + "/"}, {"POST", puller + "/"}, {"POST", "/v2/auth"}} {
		r := s.send(request[0], request[1], s.bearer())
		s.check(t, r, expected{405, "text/html", ""})
	}
	r := s.send("GET", puller+"/", s.bearer())
	s.check(t, r, expected{308, "text/html", ""})
	if to := r.Header.Get("Location"); to != s.at.URL+puller {
		t.Errorf("308 to %s", to)
	}
	if s.robot("acme+puller").Regenerations != 0 {
		t.Error("the token changed")
	}
}

func TestGetFromABrowserNeedsXRequestedWith(t *testing.T) {
	s := start(t)
	browser := "User-Agent: Mozilla/5.0 (X11; Linux x86_64)"
	s.check(t, s.send("GET", puller, s.bearer(), browser), expected{400, "text/html",
		`{"error": "API calls must be invoked with an X-Requested-With header if called from a browser"}`})
	if r := s.send("GET", puller, s.bearer(), browser, "X-Requested-With: XMLHttpRequest"); r.StatusCode != 200 {
		t.Errorf("with the header: %d", r.StatusCode)
	}
}

func TestRestrictedUserMayNotRegenerateOwnRobots(t *testing.T) {
	s := start(t)
	s.call("PUT", "/users/admin", `{"restricted": true}`, nil)
	s.check(t, s.send("POST", "/api/v1/user/robots/ci/regenerate", s.bearer()), expected{403, "application/json", insufficientScope})
	if r := s.send("GET", "/api/v1/user/robots/ci", s.bearer()); r.StatusCode != 200 {
		t.Errorf("GET: %d", r.StatusCode)
	}
}

var aToken = regexp.MustCompile(`^[A-Z0-9]{64}$`)

// fields reads a robot's body.
func fields(t *testing.T, body []byte) map[string]any {
	t.Helper()
	var robot map[string]any
	if err := json.Unmarshal(body, &robot); err != nil {
		t.Fatal(err)
	}
	return robot
}

func TestReadAndRegenerateARobotOfAnOrganizationAndOfAUser(t *testing.T) {
	s := start(t)
	for path, name := range map[string]string{puller: "acme+puller", "/api/v1/user/robots/ci": "admin+ci"} {
		read := s.send("GET", path, s.bearer()+"  ")
		robot := fields(t, read.body)
		old, _ := robot["token"].(string)
		if read.StatusCode != 200 || robot["name"] != name || !aToken.MatchString(old) || robot["unstructured_metadata"] == nil {
			t.Errorf("GET %s: %d %v", path, read.StatusCode, robot["name"])
		}
		created, _ := robot["created"].(string)
		if !regexp.MustCompile(`^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d -0000$`).MatchString(created) {
			t.Errorf("created %q is no date of RFC 2822", created)
		}
		if value, ok := robot["last_accessed"]; !ok || value != nil {
			t.Errorf("last_accessed is %v", value)
		}
		if !read.Close {
			t.Error("the connection stays open")
		}

		posted := s.send("POST", path+"/regenerate", s.bearer())
		robot = fields(t, posted.body)
		renewed, _ := robot["token"].(string)
		if posted.StatusCode != 200 || robot["name"] != name || !aToken.MatchString(renewed) || renewed == old || !posted.Close {
			t.Errorf("POST %s: %d %v", path, posted.StatusCode, robot["name"])
		}
		if _, ok := robot["unstructured_metadata"]; ok {
			t.Error("POST has unstructured_metadata")
		}
		if s.robot(name).Token != renewed {
			t.Error("the world has another token")
		}
	}
}

func TestListRobotsWithAndWithoutTokens(t *testing.T) {
	s := start(t)
	names := func(path string, withToken bool) string {
		r := s.send("GET", path, s.bearer())
		var list struct{ Robots []map[string]any }
		if err := json.Unmarshal(r.body, &list); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, robot := range list.Robots {
			names = append(names, robot["name"].(string))
			if _, ok := robot["token"]; ok != withToken {
				t.Errorf("%s: token of %s there: %v", path, robot["name"], ok)
			}
		}
		return strings.Join(names, " ")
	}
	all := "acme+puller acme+pusher acme+standby"
	for _, c := range []struct {
		path   string
		tokens bool
		want   string
	}{
		{"/api/v1/organization/acme/robots", true, all},
		{"/api/v1/organization/acme/robots?token=false", false, all},
		{"/api/v1/organization/acme/robots?limit=2", true, "acme+puller acme+pusher"},
		{"/api/v1/user/robots", true, "admin+ci"},
		{"/api/v1/user/robots?token=false&limit=5", false, "admin+ci"},
	} {
		if got := names(c.path, c.tokens); got != c.want {
			t.Errorf("%s: %s", c.path, got)
		}
	}
	s.call("PUT", "/organizations/acme", `{"admins": [], "members": ["admin"]}`, nil)
	if got := names("/api/v1/organization/acme/robots", false); got != all {
		t.Errorf("a member's list: %s", got)
	}
}

func TestTokenFalseDoesNothingOnOneRobotButAReadOnlySuperuserSeesNoToken(t *testing.T) {
	s := start(t)
	if fields(t, s.send("GET", puller+"?token=false", s.bearer()).body)["token"] == nil {
		t.Error("?token=false hid the token")
	}
	s.call("PUT", "/users/admin", `{"readOnlySuperuser": true}`, nil)
	s.call("PUT", "/organizations/acme", `{"admins": []}`, nil)
	r := s.send("GET", puller, s.bearer())
	if _, ok := fields(t, r.body)["token"]; ok || r.StatusCode != 200 {
		t.Errorf("a read-only superuser gets %d and a token: %v", r.StatusCode, ok)
	}
	s.check(t, s.regenerate(), expected{403, "application/json", insufficientScope})
}

func TestEightConcurrentRegenerationsGiveEightTokensOfWhichOneLives(t *testing.T) {
	s := start(t)
	var group sync.WaitGroup
	tokens := make([]string, 8)
	for i := range tokens {
		group.Go(func() {
			r, err := s.try("POST", regeneratePuller, s.bearer())
			if err != nil || r.StatusCode != 200 {
				t.Errorf("%d %v", r.StatusCode, err)
				return
			}
			tokens[i], _ = fields(t, r.body)["token"].(string)
		})
	}
	group.Wait()
	alive, different := 0, map[string]bool{}
	for _, token := range tokens {
		different[token] = true
		if s.login("acme+puller", token, "").StatusCode == 200 {
			alive++
		}
	}
	if alive != 1 || len(different) != 8 {
		t.Errorf("%d tokens, %d alive", len(different), alive)
	}
}

func TestConfigAndHealth(t *testing.T) {
	s := start(t)
	if r := s.send("GET", "/config"); r.StatusCode != 200 || !strings.Contains(string(r.body), `"registry_state":"normal"`) {
		t.Errorf("/config: %d %s", r.StatusCode, r.body)
	}
	if r := s.send("GET", "/health/instance"); r.StatusCode != 200 {
		t.Errorf("/health/instance: %d", r.StatusCode)
	}
	s.call("PUT", "/switches", `{"unhealthy": true}`, nil)
	if r := s.send("GET", "/health/instance"); r.StatusCode != 503 {
		t.Errorf("/health/instance: %d", r.StatusCode)
	}
}

func TestPlainHTTPIsRedirectedWithoutThePort(t *testing.T) {
	s := start(t)
	r, err := s.client.Post("http://"+s.host+regeneratePuller, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if to := r.Header.Get("Location"); r.StatusCode != http.StatusMovedPermanently || to != fmt.Sprintf("https://127.0.0.1%s", regeneratePuller) {
		t.Errorf("%d to %s", r.StatusCode, to)
	}
}
