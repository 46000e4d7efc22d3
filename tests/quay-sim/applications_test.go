package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

const applicationsPath = "/api/v1/organization/acme/applications"

// tokensPath is where the tokens of the world's application are.
func (s *simulator) tokensPath() string {
	s.t.Helper()
	var token APIToken
	s.call("GET", "/tokens/automation", "", &token)
	return applicationsPath + "/" + token.Application + "/tokens"
}

// mint makes a token that must be made.
func (s *simulator) mint(body string) tokenBody {
	s.t.Helper()
	r := s.post(s.tokensPath(), body)
	var made tokenBody
	if err := json.Unmarshal(r.body, &made); err != nil || r.StatusCode != 200 {
		s.t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	return made
}

func (s *simulator) tokens(query string) (list struct {
	Tokens   []tokenBody
	NextPage string `json:"next_page"`
}) {
	s.t.Helper()
	r := s.send("GET", s.tokensPath()+query, s.bearer())
	if err := json.Unmarshal(r.body, &list); err != nil || r.StatusCode != 200 {
		s.t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	return list
}

func TestAnApplicationIsListedMadeAndDeletedWithItsTokens(t *testing.T) {
	s := start(t)
	old := s.token
	var list struct{ Applications []map[string]any }
	json.Unmarshal(s.send("GET", applicationsPath, s.bearer()).body, &list)
	if len(list.Applications) != 1 || list.Applications[0]["name"] != "automation" || list.Applications[0]["client_secret"] == "" {
		t.Fatalf("%+v", list)
	}
	for _, key := range []string{"description", "application_uri", "client_id", "client_secret", "redirect_uri", "avatar_email"} {
		if _, ok := list.Applications[0][key]; !ok {
			t.Errorf("no %s", key)
		}
	}
	r := s.post(applicationsPath, `{"name": "rotator"}`)
	made := fields(t, r.body)
	client, _ := made["client_id"].(string)
	if r.StatusCode != 200 || made["name"] != "rotator" || !regexp.MustCompile(`^[A-Z0-9]{20}$`).MatchString(client) {
		t.Fatalf("%d %v", r.StatusCode, made)
	}
	r = s.post(applicationsPath+"/"+client+"/tokens", `{"name": "rot", "scope": "org:admin"}`)
	s.token, _ = fields(t, r.body)["token"].(string)
	if r := s.send("DELETE", applicationsPath+"/"+client, s.bearer()); r.StatusCode != 204 {
		t.Errorf("DELETE: %d", r.StatusCode)
	}
	s.check(t, s.send("GET", puller, s.bearer()), expected{401, "application/json", invalidToken})
	s.token = old
	if r := s.send("DELETE", applicationsPath+"/"+client, s.bearer()); r.StatusCode != 404 {
		t.Errorf("again: %d", r.StatusCode)
	}
	if r := s.post(applicationsPath, `{}`); r.StatusCode != 400 {
		t.Errorf("without a name: %d", r.StatusCode)
	}
}

func TestAnAPITokenRenewsItself(t *testing.T) {
	s := start(t)
	s.call("PUT", "/tokens/automation", `{"scopes": ["org:admin"]}`, nil)
	old, now := s.token, time.Now()
	made := s.mint(`{"name": "rot", "scope": "org:admin", "expiration": 3600}`)
	expires, err := time.Parse(time.RFC3339Nano, made.ExpiresAt)
	if err != nil || expires.Before(now.Add(time.Hour-time.Second)) || expires.After(now.Add(time.Hour+time.Minute)) {
		t.Errorf("expires_at %s", made.ExpiresAt)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9]{40}$`).MatchString(made.Token) || *made.Name != "rot" || made.Scope != "org:admin" || made.CreatedBy != "admin" || made.LastAccessed != nil ||
		!regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(made.UUID) {
		t.Errorf("%+v", made)
	}
	s.token = made.Token
	if r := s.send("GET", puller, s.bearer()); r.StatusCode != 200 {
		t.Errorf("with the new one: %d", r.StatusCode)
	}
	list := s.tokens("").Tokens
	if len(list) != 2 || list[0].UUID != made.UUID || list[1].Name != nil || list[0].Token+list[1].Token != "" || list[0].LastAccessed == nil {
		t.Fatalf("%+v", list)
	}
	if r := s.send("DELETE", s.tokensPath()+"/"+list[1].UUID, s.bearer()); r.StatusCode != 204 || len(r.body) != 0 {
		t.Errorf("DELETE: %d", r.StatusCode)
	}
	s.check(t, s.send("GET", puller, "Authorization: Bearer "+old), expected{401, "application/json", invalidToken})
	s.check(t, s.send("POST", regeneratePuller, "Authorization: Bearer "+old), expected{403, "text/html", csrf})
	again := s.send("DELETE", s.tokensPath()+"/"+list[1].UUID, s.bearer())
	if again.StatusCode != 404 || fields(t, again.body)["error_type"] != "not_found" {
		t.Errorf("again: %d %s", again.StatusCode, again.body)
	}
	if left := s.tokens("").Tokens; len(left) != 1 || left[0].UUID != made.UUID {
		t.Errorf("%+v", left)
	}

	entries := s.logs(acmeLogs).Logs
	if len(entries) != 2 {
		t.Fatalf("%+v", entries)
	}
	revoked, created := entries[0], entries[1]
	if created.Kind != "create_oauth_api_token" || created.Metadata["oauth_token_uuid"] != made.UUID || created.Metadata["scope"] != "org:admin" ||
		created.Metadata["token_display_name"] != "rot" || created.Metadata["application_name"] != "automation" || created.Metadata["client_id"] == nil {
		t.Errorf("%+v", created)
	}
	if revoked.Kind != "revoke_oauth_api_token" || revoked.Metadata["oauth_token_uuid"] != list[1].UUID || revoked.Metadata["oauth_token_id"] == created.Metadata["oauth_token_id"] {
		t.Errorf("%+v", revoked)
	}
	_, content := s.tryCall("GET", "/journal", "")
	if strings.Contains(string(content), made.Token) {
		t.Error("the journal has a token")
	}
}

func TestEveryAnswerOfMinting(t *testing.T) {
	long := strings.Repeat("x", 256)
	forbidden := expected{403, "application/json", insufficientScope}
	good, schema := expected{status: 200}, expected{status: 400}
	for _, row := range []struct {
		name, scopes string // of the caller; org:admin by default
		prepare      string
		body         string
		want         expected
		lifetime     time.Duration // where it is good; ten years by default
	}{
		{name: "org", body: `{"name": "a", "scope": "org:admin"}`, want: good},
		{name: "1.5 seconds", body: `{"name": "a", "scope": "org:admin", "expiration": 1.5}`, want: good, lifetime: 1500 * time.Millisecond},
		{name: "more than ten years", body: `{"name": "a", "scope": "org:admin", "expiration": 1e12}`, want: good},
		{name: "a name of 255 characters", body: `{"name": "` + long[1:] + `", "scope": "org:admin"}`, want: good},
		{name: "both asking for user", scopes: `"org:admin", "user:admin"`, body: `{"name": "a", "scope": "user:admin"}`, want: good},
		{name: "both asking for both", scopes: `"org:admin", "user:admin"`, body: `{"name": "a", "scope": "org:admin user:admin"}`, want: good},
		{name: "org asking for user too", body: `{"name": "a", "scope": "org:admin user:admin"}`, want: forbidden},
		{name: "org asking for repo too", body: `{"name": "a", "scope": "org:admin repo:read"}`, want: forbidden},
		{name: "org asking for super", body: `{"name": "a", "scope": "super:user"}`, want: forbidden},
		{name: "user", scopes: `"user:admin"`, body: `{"name": "a", "scope": "user:admin"}`, want: forbidden},
		{name: "other", prepare: `/organizations/acme {"admins": []}`, body: `{"name": "a", "scope": "org:admin"}`, want: forbidden},
		{name: "super", scopes: `"super:user"`, prepare: `/users/admin {"superuser": true}`, body: `{"name": "a", "scope": "super:user"}`, want: forbidden},
		{name: "unknown scope", body: `{"name": "a", "scope": "nonsense"}`, want: says("Invalid scope: nonsense")},
		{name: "empty scope", body: `{"name": "a", "scope": ""}`, want: says("Invalid scope: ")},
		{name: "no name", body: `{"scope": "org:admin"}`, want: schema},
		{name: "no scope", body: `{"name": "a"}`, want: schema},
		{name: "empty name", body: `{"name": "", "scope": "org:admin"}`, want: schema},
		{name: "long name", body: `{"name": "` + long + `", "scope": "org:admin"}`, want: schema},
		{name: "expiration 0", body: `{"name": "a", "scope": "org:admin", "expiration": 0}`, want: schema},
		{name: "expiration as text", body: `{"name": "a", "scope": "org:admin", "expiration": "60"}`, want: schema},
		{name: "no body", want: schema},
		{name: "limit", prepare: `/switches {"applicationTokenLimit": 1}`, body: `{"name": "a", "scope": "org:admin"}`,
			want: says("Token limit reached: maximum 1 non-expired tokens per application")},
		{name: "read only", prepare: `/switches {"readOnly": true}`, body: `{"name": "a", "scope": "org:admin"}`, want: expected{503, "application/json", readOnly}},
		{name: "a dead token", prepare: `/tokens/automation {"expired": true}`, body: `{"name": "a", "scope": "org:admin"}`, want: expected{403, "text/html", csrf}},
		{name: "before v3.18", prepare: `/switches {"before318": true}`, body: `{"name": "a", "scope": "org:admin"}`, want: expected{405, "text/html", ""}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			if row.scopes == "" {
				row.scopes = `"org:admin"`
			}
			s.prepare(row.scopes, row.prepare)
			now := time.Now()
			r := s.post(s.tokensPath(), row.body)
			switch row.want.status {
			case 200:
				expires, err := time.Parse(time.RFC3339Nano, fmt.Sprint(fields(t, r.body)["expires_at"]))
				if row.lifetime == 0 {
					row.lifetime = tenYears
				}
				if off := expires.Sub(now.Add(row.lifetime)); r.StatusCode != 200 || err != nil || off < -time.Second || off > time.Minute {
					t.Errorf("%d %s", r.StatusCode, r.body)
				}
			case 400:
				if row.want.body != "" {
					s.check(t, r, row.want)
				} else if detail, _ := fields(t, r.body)["detail"].(string); r.StatusCode != 400 || !strings.Contains(detail, "'required': ['name', 'scope']") {
					t.Errorf("%d %s", r.StatusCode, r.body)
				}
			default:
				s.check(t, r, row.want)
			}
		})
	}
}

func TestApplicationsThatAreNotThereOrAnotherOrganizations(t *testing.T) {
	s := start(t)
	s.call("PUT", "/organizations/zeta", `{"admins": ["admin"]}`, nil)
	s.call("PUT", "/applications/ZETAS", `{"organization": "zeta", "name": "z"}`, nil)
	for _, client := range []string{"NOBODYS", "ZETAS"} {
		path := applicationsPath + "/" + client + "/tokens"
		for _, r := range []reply{s.send("GET", path, s.bearer()), s.post(path, `{"name": "a", "scope": "org:admin"}`), s.send("DELETE", path+"/x", s.bearer())} {
			if r.StatusCode != 404 || fields(t, r.body)["error_type"] != "not_found" {
				t.Errorf("%s: %d %s", client, r.StatusCode, r.body)
			}
		}
	}
	for _, scope := range []string{"user:admin", "super:user"} {
		s.call("PUT", "/tokens/automation", `{"scopes": ["`+scope+`"]}`, nil)
		s.check(t, s.send("GET", applicationsPath, s.bearer()), expected{403, "application/json", insufficientScope})
		s.check(t, s.send("GET", s.tokensPath(), s.bearer()), expected{403, "application/json", insufficientScope})
	}
}

func TestTokensAreListedByPagesWithoutTheExpired(t *testing.T) {
	s := start(t)
	for range tokensPerPage + 1 {
		s.mint(`{"name": "same", "scope": "org:admin"}`)
	}
	first := s.tokens("")
	second := s.tokens("?next_page=" + first.NextPage)
	if len(first.Tokens) != tokensPerPage || len(second.Tokens) != 2 || second.NextPage != "" || second.Tokens[1].Name != nil {
		t.Errorf("%d and %d tokens", len(first.Tokens), len(second.Tokens))
	}
	s.call("PUT", "/tokens/same", `{"expiresAt": "2020-01-01T00:00:00Z"}`, nil)
	if left := s.tokens("?next_page=" + first.NextPage).Tokens; len(left) != 1 {
		t.Errorf("%d are left", len(left))
	}
}

func TestATokenEndsInRealTime(t *testing.T) {
	s := start(t)
	s.token = s.mint(`{"name": "short", "scope": "org:admin", "expiration": 3600}`).Token
	for after, status := range map[time.Duration]int{time.Minute: 200, -time.Millisecond: 401} {
		s.call("PUT", "/tokens/short", `{"expiresAt": "`+time.Now().Add(after).Format(time.RFC3339Nano)+`"}`, nil)
		if r := s.send("GET", puller, s.bearer()); r.StatusCode != status {
			t.Errorf("%v before its end: %d", after, r.StatusCode)
		}
	}
}

func TestAnUnclearMintLeavesATokenThatTheListShows(t *testing.T) {
	s := start(t)
	s.call("PUT", "/switches", `{"auditLogBroken": true}`, nil)
	s.check(t, s.post(s.tokensPath(), `{"name": "lost", "scope": "org:admin"}`), expected{500, "text/html", ""})
	if list := s.tokens("").Tokens; len(list) != 2 || *list[0].Name != "lost" {
		t.Errorf("%+v", list)
	}
	s.call("PUT", "/switches", `{"auditLogBroken": false, "databaseLocked": true, "lockedWait": "1ms"}`, nil)
	s.check(t, s.post(s.tokensPath(), `{"name": "never", "scope": "org:admin"}`), expected{500, "text/html", ""})
	if list := s.tokens("").Tokens; len(list) != 2 {
		t.Errorf("%+v", list)
	}
}

func TestLastAccessedOfATokenMovesOnceInAThreshold(t *testing.T) {
	s := start(t)
	last := func() *time.Time {
		var token APIToken
		s.call("GET", "/tokens/automation", "", &token)
		return token.LastAccessed
	}
	if last() != nil {
		t.Error("used before its first use")
	}
	s.send("GET", puller, s.bearer())
	first := last()
	s.send("GET", puller, s.bearer())
	if again := last(); first == nil || !again.Equal(*first) {
		t.Errorf("%v, then %v", first, again)
	}
	s.call("PUT", "/switches", `{"lastAccessedThreshold": "0s"}`, nil)
	s.send("GET", puller, s.bearer())
	if moved := last(); !moved.After(*first) {
		t.Errorf("%v, then %v", first, moved)
	}
}

func TestAQuayBefore318HasNoApplicationTokens(t *testing.T) {
	s := start(t)
	path := s.tokensPath()
	s.call("PUT", "/switches", `{"before318": true}`, nil)
	for _, missing := range []string{path, path + "/x", "/api/v1/user/robots/ci/federation"} {
		s.check(t, s.send("GET", missing, s.bearer()), expected{308, "text/html", ""})
		s.check(t, s.send("GET", missing+"/", s.bearer()), expected{200, "text/html", ""})
		s.check(t, s.send("DELETE", missing, s.bearer()), expected{405, "text/html", ""})
	}
	for _, there := range []string{applicationsPath, puller + "/federation"} {
		if r := s.send("GET", there, s.bearer()); r.StatusCode != 200 {
			t.Errorf("%s: %d", there, r.StatusCode)
		}
	}
}

func TestTheWorldComesBackWithItsApplications(t *testing.T) {
	s := start(t)
	s.mint(`{"name": "rot", "scope": "org:admin", "expiration": 60}`)
	_, content := s.tryCall("GET", "/world", "")
	before := s.tokens("").Tokens
	s.call("POST", "/world", string(content), nil)
	if after := s.tokens("").Tokens; len(after) != 2 || after[0].UUID != before[0].UUID || after[0].ExpiresAt != before[0].ExpiresAt {
		t.Errorf("%+v", after)
	}
	if status, _ := s.tryCall("PUT", "/tokens/x", `{"user": "admin", "application": "NOBODYS"}`); status != 400 {
		t.Errorf("a token of no application: %d", status)
	}
}
