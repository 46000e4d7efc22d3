package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const subject = "system:serviceaccount:lab:puller"

// issuer is an API server that signs ServiceAccounts' tokens and shows its keys.
type issuer struct {
	*httptest.Server
	rsa       *rsa.PrivateKey
	ec        *ecdsa.PrivateKey
	caFile    string
	documents map[string]string // what is answered instead, by path
	calls     atomic.Int32
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{documents: map[string]string{}}
	var err error
	if i.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if i.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	point, err := i.ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	keys := fmt.Sprintf(`{"keys": [{"kid": "r", "kty": "RSA", "n": %q, "e": "AQAB"}, {"kid": "e", "kty": "EC", "crv": "P-256", "x": %q, "y": %q}, {"kid": "o", "kty": "OKP"}]}`,
		encode(i.rsa.N.Bytes()), encode(point[1:33]), encode(point[33:]))
	i.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.calls.Add(1)
		if document, ok := i.documents[r.URL.Path]; ok {
			fmt.Fprint(w, document)
			return
		}
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": %q}`, i.URL, i.URL+"/openid/v1/jwks")
		case "/openid/v1/jwks":
			fmt.Fprint(w, keys)
		default:
			http.NotFound(w, r)
		}
	}))
	i.Config.ErrorLog = log.New(io.Discard, "", 0) // of those who do not trust it
	i.StartTLS()
	t.Cleanup(i.Close)
	i.caFile = filepath.Join(t.TempDir(), "issuer-ca.pem")
	if err := os.WriteFile(i.caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return i
}

// sign makes a token of the claims that a ServiceAccount's has, changed as said; nil takes a claim away.
func (i *issuer) sign(header, change map[string]any) string {
	claims := map[string]any{"iss": i.URL, "sub": subject, "aud": []string{"quay"}, "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()}
	for name, value := range change {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	encode := func(value any) string {
		text, _ := json.Marshal(value)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := encode(header) + "." + encode(claims)
	sum := sha256.Sum256([]byte(signed))
	var signature []byte
	if header["alg"] == "ES256" {
		r, s, _ := ecdsa.Sign(rand.Reader, i.ec, sum[:])
		signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	} else {
		signature, _ = rsa.SignPKCS1v15(rand.Reader, i.rsa, crypto.SHA256, sum[:])
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

var rs256, es256 = map[string]any{"alg": "RS256", "kid": "r"}, map[string]any{"alg": "ES256", "kid": "e"}

func (i *issuer) good() string { return i.sign(rs256, nil) }

// federated is a simulator whose robot acme+puller takes the tokens of an issuer's lab/puller.
func federated(t *testing.T) (*simulator, *issuer) {
	t.Helper()
	i := newIssuer(t)
	s := start(t, func(o *options) { o.issuerCA = i.caFile })
	s.federate("acme+puller", i.URL)
	return s, i
}

func (s *simulator) federate(robot, issuer string) {
	s.t.Helper()
	s.call("PUT", "/robots/"+robot, fmt.Sprintf(`{"federation": [{"issuer": %q, "subject": %q}]}`, issuer, subject), nil)
}

func basic(name, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

const exchangePath = "/oauth2/federation/robot/token"

func (s *simulator) exchange(robot, jwt string) reply {
	s.t.Helper()
	return s.send("GET", exchangePath, basic(robot, jwt))
}

func TestEveryAnswerOfTheExchange(t *testing.T) {
	s, i := federated(t)
	s.call("PUT", "/robots/acme+alone", "", nil)
	other := newIssuer(t)
	closed := newIssuer(t)
	closed.Close()
	nonsense, moved, elsewhere := newIssuer(t), newIssuer(t), newIssuer(t)
	nonsense.documents["/.well-known/openid-configuration"] = "<html>"
	moved.documents["/.well-known/openid-configuration"] = `{"issuer": "` + moved.URL + `", "jwks_uri": "` + closed.URL + `/jwks"}`
	elsewhere.documents["/.well-known/openid-configuration"] = `{"issuer": "https://elsewhere.example.com", "jwks_uri": "` + elsewhere.URL + `/openid/v1/jwks"}`
	past := func(d time.Duration) map[string]any { return map[string]any{"exp": time.Now().Add(-d).Unix()} }
	denied := func(text string) expected {
		return expected{401, "application/json", `{"error": ` + quoted(text) + `}`}
	}
	good := expected{status: 200}
	broken, loading := expected{500, "text/html", ""}, expected{502, "text/html", ""}
	for _, row := range []struct {
		name, robot, token string
		header             string // instead of robot and token
		issuer             string // of the robot's federation, instead of i
		want               expected
	}{
		{name: "good", token: i.good(), want: good},
		{name: "good, ES256", token: i.sign(es256, nil), want: good},
		{name: "any audience", token: i.sign(rs256, map[string]any{"aud": "whatever"}), want: good},
		{name: "no audience", token: i.sign(rs256, map[string]any{"aud": nil}), want: good},
		{name: "expired for 5 s", token: i.sign(rs256, past(5*time.Second)), want: good},
		{name: "expired", token: i.sign(rs256, past(40*time.Second)), want: says("Invalid token: Signature has expired")},
		{name: "no exp", token: i.sign(rs256, map[string]any{"exp": nil}), want: says(`Invalid token: Token is missing the "exp" claim`)},
		{name: "no kid", token: i.sign(map[string]any{"alg": "RS256"}, nil), want: says("Invalid token: Missing `kid` header")},
		{name: "another key", token: other.sign(rs256, map[string]any{"iss": i.URL}), want: says("Invalid token: Signature verification failed")},
		{name: "another key, ES256", token: other.sign(es256, map[string]any{"iss": i.URL}), want: says("Invalid token: Signature verification failed")},
		{name: "an algorithm that is none", token: i.sign(map[string]any{"alg": "none", "kid": "r"}, nil), want: says("Invalid token: Signature verification failed")},
		{name: "another subject", token: i.sign(rs256, map[string]any{"sub": "system:serviceaccount:lab:other"}), want: says("Token does not match robot")},
		{name: "another issuer", token: other.good(), want: says("issuer " + other.URL + " not configured for this robot")},
		{name: "robot without federation", robot: "acme+alone", token: i.good(), want: says("Robot does not have federated login configured")},
		{name: "no such robot", robot: "acme+nobody", token: i.good(), want: says("Could not find robot with specified username")},
		{name: "a user", robot: "admin", token: i.good(), want: denied("Invalid robot")},
		{name: "no header", header: "X-Nothing: here", want: denied("No auth header")},
		{name: "a bearer", header: "Authorization: Bearer " + i.good(), want: denied("Invalid basic auth header")},
		{name: "kid that the issuer does not know", token: i.sign(map[string]any{"alg": "RS256", "kid": "old"}, nil), want: broken},
		{name: "key of another kind", token: i.sign(map[string]any{"alg": "RS256", "kid": "o"}, nil), want: broken},
		{name: "no JWT", token: "abc", want: broken},
		{name: "static token", token: s.robot("acme+puller").Token, want: broken},
		{name: "http issuer", token: i.sign(rs256, map[string]any{"iss": "http://127.0.0.1"}), issuer: "http://127.0.0.1", want: broken},
		{name: "issuer that answers nonsense", token: nonsense.good(), issuer: nonsense.URL, want: broken},
		{name: "issuer whose keys cannot be reached", token: moved.good(), issuer: moved.URL, want: broken},
		{name: "issuer that calls itself otherwise", token: elsewhere.good(), issuer: elsewhere.URL, want: says("Invalid token: Invalid issuer")},
		{name: "issuer that refuses", token: closed.good(), issuer: closed.URL, want: loading},
	} {
		t.Run(row.name, func(t *testing.T) {
			s.federate("acme+puller", i.URL)
			if row.issuer != "" {
				s.federate("acme+puller", row.issuer)
			}
			robot := "acme+puller"
			if row.robot != "" {
				robot = row.robot
			}
			calls := other.calls.Load()
			var r reply
			if row.header != "" {
				r = s.send("GET", exchangePath, row.header)
			} else {
				r = s.exchange(robot, row.token)
			}
			if row.want.status != 200 {
				s.check(t, r, row.want)
			} else if token := registryTokenOf(t, r); token.Subject != "acme+puller" {
				t.Errorf("%+v", token)
			}
			if other.calls.Load() != calls {
				t.Error("an issuer that is not configured was called")
			}
		})
	}
	s.check(t, s.send("POST", exchangePath, basic("acme+puller", i.good())), expected{405, "text/html", ""})
}

func says(text string) expected {
	return expected{400, "application/json", `{"message": ` + quoted(text) + `}`}
}

func quoted(text string) string {
	encoded, _ := json.Marshal(text)
	return string(encoded)
}

// federatedClaims are those of an issued token.
type federatedClaims struct {
	Issuer   string          `json:"iss"`
	Audience string          `json:"aud"`
	Subject  string          `json:"sub"`
	Expires  int64           `json:"exp"`
	Access   json.RawMessage `json:"access"`
	token    string
}

func registryTokenOf(t *testing.T, r reply) (c federatedClaims) {
	t.Helper()
	if r.StatusCode != 200 {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	c.token, _ = fields(t, r.body)["token"].(string)
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(c.token, ".")[1])
	if err != nil || json.Unmarshal(payload, &c) != nil {
		t.Fatal("the token cannot be read")
	}
	return c
}

func TestTheIssuedTokenIsARobotsPasswordForAnHour(t *testing.T) {
	s, i := federated(t)
	issued := registryTokenOf(t, s.exchange("acme+puller", i.good()))
	lifetime := time.Until(time.Unix(issued.Expires, 0))
	if issued.Issuer != "quay" || issued.Audience != s.host || issued.Subject != "acme+puller" || lifetime > time.Hour || lifetime < 59*time.Minute || string(issued.Access) != "{}" {
		t.Errorf("%+v", issued)
	}
	if s.robot("acme+puller").LastAccessed != nil {
		t.Error("the exchange moved last_accessed")
	}
	if access := registryToken(t, s.login("acme+puller", issued.token, "repository:acme/app:pull")).Access; len(access) != 1 || strings.Join(access[0].Actions, "") != "pull" {
		t.Errorf("%+v", access)
	}
	registryToken(t, s.login("acme+puller", issued.token, ""))
	if s.robot("acme+puller").LastAccessed == nil {
		t.Error("a login did not move last_accessed")
	}
	s.regenerate()
	s.send("DELETE", puller+"/federation", s.bearer())
	registryToken(t, s.login("acme+puller", issued.token, ""))

	s.check(t, s.login("acme+pusher", issued.token, ""), unauthorized("Token does not match robot"))
	damaged := issued.token[:len(issued.token)-8] + "AAAAAAAA"
	s.check(t, s.login("acme+puller", damaged, ""), expected{500, "text/html", ""})
	s.check(t, s.login("acme+puller", i.good(), ""), expected{500, "text/html", ""})
	s.check(t, s.send("GET", "/v2/", "Authorization: Bearer "+issued.token), unauthorized("Token contained invalid or malformed access grants"))
	s.check(t, s.send("GET", puller, "Authorization: Bearer "+issued.token), expected{401, "text/html", `{"error": "Issuer quay not configured"}`})

	s.call("PUT", "/organizations/acme", `{"disabled": true}`, nil)
	s.check(t, s.login("acme+puller", issued.token, ""), unauthorized("Robot acme+puller owner acme is disabled"))
}

func TestAnIssuedTokenEnds(t *testing.T) {
	s, i := federated(t)
	s.call("PUT", "/switches", `{"federatedTokenLifetime": "-1s"}`, nil)
	s.check(t, s.login("acme+puller", registryTokenOf(t, s.exchange("acme+puller", i.good())).token, ""), expected{500, "text/html", ""})
}

func TestFederationIsReadReplacedAndDeleted(t *testing.T) {
	const one, two = `{"issuer": "https://a.example.com", "subject": "x"}`, `{"issuer": "http://b.example.com", "subject": "y"}`
	list := func(entries ...string) expected {
		return expected{200, "application/json", "[" + strings.Join(entries, ",") + "]"}
	}
	for path, name := range map[string]string{puller: "acme+puller", "/api/v1/user/robots/ci": "admin+ci"} {
		s := start(t)
		path += "/federation"
		s.check(t, s.send("GET", path, s.bearer()), list())
		s.check(t, s.post(path, "["+one+","+two+"]"), list(one, two))
		s.check(t, s.send("GET", path, s.bearer()), list(one, two))
		s.check(t, s.post(path, `[{"issuer": "https://a.example.com", "subject": "x", "audiences": ["quay"]}]`), list(one))
		if known := s.robot(name).Federation; len(known) != 1 || known[0].Subject != "x" {
			t.Errorf("%s: %+v", name, known)
		}
		s.check(t, s.post(path, "[]"), list())
		s.check(t, s.post(path, "["+two+"]"), list(two))
		for range 2 {
			if r := s.send("DELETE", path, s.bearer()); r.StatusCode != 204 || len(r.body) != 0 {
				t.Errorf("DELETE: %d %s", r.StatusCode, r.body)
			}
		}
		s.check(t, s.send("GET", path, s.bearer()), list())
	}
}

func TestEveryErrorOfFederation(t *testing.T) {
	const federation, good = puller + "/federation", `[{"issuer": "https://a.example.com", "subject": "x"}]`
	refused := expected{403, "application/json", insufficientScope}
	noRobot := expected{400, "application/json", noSuchRobotBody}
	for _, row := range []struct {
		name, prepare, path string
		get, post           expected
	}{
		{"not an owner", `/organizations/acme {"admins": []}`, federation, refused, refused},
		{"only a member", `/organizations/acme {"admins": [], "members": ["admin"]}`, federation, refused, refused},
		{"user on an organization", `/tokens/automation {"scopes": ["user:admin"]}`, federation, refused, refused},
		{"org on a user", `/tokens/automation {"scopes": ["org:admin"]}`, "/api/v1/user/robots/ci/federation", refused, refused},
		{"no such robot", "", "/api/v1/organization/acme/robots/nobody/federation", noRobot, noRobot},
		{"no such robot of the user", "", "/api/v1/user/robots/nobody/federation", noRobot, noRobot},
		{"expired token", `/tokens/automation {"expired": true}`, federation, expected{401, "application/json", invalidToken}, expected{403, "text/html", csrf}},
		{"no robots API", `/switches {"noRobotsAPI": true}`, federation,
			expected{404, "application/json", `{"error": "not found"}`}, expected{404, "application/json", `{"error": "not found"}`}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			if path, body, ok := strings.Cut(row.prepare, " "); ok {
				s.call("PUT", path, body, nil)
			}
			s.check(t, s.send("GET", row.path, s.bearer()), row.get)
			s.check(t, s.post(row.path, good), row.post)
			s.check(t, s.send("DELETE", row.path, s.bearer()), row.post)
		})
	}

	s := start(t)
	for body, text := range map[string]string{
		`[{"issuer": "https://a", "subject": "x"}, {"issuer": "https://a", "subject": "x"}]`: "Duplicate federation config entry",
		`[{"issuer": "ftp://a", "subject": "x"}]`:                                            "Issuer must be a URL",
	} {
		s.check(t, s.post(federation, body), says(text))
	}
	for _, body := range []string{`{"issuer": "https://a", "subject": "x"}`, `[{"issuer": "https://a"}]`, `[{"subject": "x"}]`, `[1]`, `null`, ``} {
		r := s.post(federation, body)
		if detail, _ := fields(t, r.body)["detail"].(string); r.StatusCode != 400 || !strings.Contains(detail, "'required': ['issuer', 'subject']") {
			t.Errorf("%s: %d %s", body, r.StatusCode, r.body)
		}
	}
	if known := s.robot("acme+puller").Federation; len(known) != 0 {
		t.Errorf("%+v", known)
	}
	s.call("PUT", "/switches", `{"readOnly": true}`, nil)
	s.check(t, s.post(federation, good), expected{503, "application/json", readOnly})
	s.call("PUT", "/switches", `{"readOnly": false, "databaseLocked": true, "lockedWait": "1ms"}`, nil)
	s.check(t, s.post(federation, good), expected{500, "text/html", ""})
	if known := s.robot("acme+puller").Federation; len(known) != 0 {
		t.Errorf("%+v", known)
	}
	s.call("PUT", "/switches", `{"databaseLocked": false, "auditLogBroken": true}`, nil)
	s.check(t, s.post(federation, good), expected{500, "text/html", ""})
	if known := s.robot("acme+puller").Federation; len(known) != 1 {
		t.Errorf("a broken audit log undid the change: %+v", known)
	}
}

// post sends a body with the API token.
func (s *simulator) post(path, body string) reply {
	s.t.Helper()
	request, err := http.NewRequest("POST", s.at.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	request.Header.Set("Content-Type", "application/json")
	r, err := s.do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func TestFederationInTheLogTheJournalAndUnderFaults(t *testing.T) {
	s, i := federated(t)
	jwt := i.good()
	s.post(puller+"/federation", `[{"issuer": "`+i.URL+`", "subject": "`+subject+`"}]`)
	issued := registryTokenOf(t, s.exchange("acme+puller", jwt)).token
	s.login("acme+puller", issued, "repository:acme/app:pull")
	s.send("DELETE", puller+"/federation", s.bearer())
	var kinds []string
	entries := s.logs(acmeLogs).Logs
	for _, entry := range entries {
		kinds = append(kinds, entry.Kind)
	}
	if got := strings.Join(kinds, " "); got != "delete_robot_federation federated_robot_token_exchange create_robot_federation" {
		t.Fatal(got)
	}
	if e := entries[1]; e.Performer != nil || len(e.Metadata) != 3 || e.Metadata["robot"] != "puller" || e.Metadata["issuer"] != i.URL || e.Metadata["subject"] != subject {
		t.Errorf("exchange: %+v", e)
	}
	if e := entries[2]; e.Metadata["robot"] != "puller" || e.Metadata["config"] == nil || e.Metadata["oauth_token_id"] == nil || e.Performer.Name != "admin" {
		t.Errorf("create: %+v", e)
	}

	if got := s.journal("endpoint=federation&robot=acme%2Bpuller&done=true&count=2&wait=10s"); len(got) != 2 || got[0].Method != "POST" || got[1].Status != 204 {
		t.Errorf("federation: %+v", got)
	}
	if got := s.journal("endpoint=federation-exchange&robot=acme%2Bpuller&done=true&wait=10s"); len(got) != 1 || got[0].Status != 200 {
		t.Errorf("exchange: %+v", got)
	}
	_, content := s.tryCall("GET", "/journal", "")
	for _, secret := range []string{jwt, issued, strings.Split(jwt, ".")[2], strings.Split(issued, ".")[2]} {
		if strings.Contains(string(content), secret) {
			t.Error("the journal has a token")
		}
	}

	s.federate("acme+puller", i.URL)
	s.call("PUT", "/switches", `{"auditLogBroken": true}`, nil)
	s.check(t, s.exchange("acme+puller", jwt), expected{500, "text/html", ""})
	s.call("PUT", "/switches", `{"auditLogBroken": false, "databaseLocked": true, "lockedLoginWait": "1ms"}`, nil)
	s.check(t, s.exchange("acme+puller", jwt), expected{504, "text/html", ""})
	s.call("DELETE", "/switches", "", nil)

	s.fault(`{"match": {"endpoint": "federation-exchange", "robot": "acme+puller"}, "times": 1, "action": "bad-gateway"}`)
	s.check(t, s.exchange("acme+puller", jwt), expected{502, "text/html", ""})
	s.fault(`{"match": {"endpoint": "federation", "method": "POST"}, "times": 1, "action": "error-after"}`)
	s.check(t, s.post(puller+"/federation", `[{"issuer": "https://a", "subject": "x"}]`), expected{500, "text/html", ""})
	if known := s.robot("acme+puller").Federation; len(known) != 1 || known[0].Issuer != "https://a" {
		t.Errorf("error-after had no effect: %+v", known)
	}
}

func TestTheIssuerIsAskedAtEachExchangeAndItsKeysTwiceWhenACheckFails(t *testing.T) {
	s, i := federated(t)
	for want, token := range []string{2: i.good(), 3: i.sign(rs256, map[string]any{"exp": 1})} {
		if token == "" {
			continue
		}
		before := i.calls.Load()
		s.exchange("acme+puller", token)
		if got := int(i.calls.Load() - before); got != want {
			t.Errorf("%d calls, want %d", got, want)
		}
	}
}

func TestTheIssuersCAMayComeLater(t *testing.T) {
	i := newIssuer(t)
	s := start(t)
	s.federate("acme+puller", i.URL)
	s.check(t, s.exchange("acme+puller", i.good()), expected{502, "text/html", ""})
	s.call("PUT", "/switches", `{"issuerCA": "`+i.caFile+`"}`, nil)
	s.call("DELETE", "/switches", "", nil)
	if r := s.exchange("acme+puller", i.good()); r.StatusCode != 200 {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
	if status, _ := s.tryCall("PUT", "/switches", `{"issuerCA": "/missing"}`); status != 400 {
		t.Errorf("a missing file: %d", status)
	}
}
