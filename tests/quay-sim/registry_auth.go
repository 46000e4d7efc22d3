package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Signer makes the tokens that docker-registry accepts.
type Signer struct {
	key             *rsa.PrivateKey
	keyID           string
	issuer          string
	certificateFile string
}

func newSigner(o options, folder string) (*Signer, error) {
	if (o.signingKey == "") != (o.signingCertificate == "") {
		return nil, errors.New("--signing-key and --signing-certificate go together")
	}
	s := &Signer{issuer: o.issuer, certificateFile: o.signingCertificate}
	if o.signingKey != "" {
		pair, err := tls.LoadX509KeyPair(o.signingCertificate, o.signingKey)
		if err != nil {
			return nil, err
		}
		key, ok := pair.PrivateKey.(*rsa.PrivateKey)
		if !ok {
			return nil, errors.New("--signing-key is no RSA key")
		}
		s.key = key
	} else if err := s.make(folder); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(s.key.Public())
	if err != nil {
		return nil, err
	}
	s.keyID = keyID(der)
	return s, nil
}

func (s *Signer) make(folder string) error {
	var err error
	if s.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "quay-sim registry tokens"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, s.key.Public(), s.key)
	if err != nil {
		return err
	}
	s.certificateFile = filepath.Join(folder, "signing-certificate.pem")
	return newFile(s.certificateFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// keyID is the name that docker-registry derives from a public key.
func keyID(der []byte) string {
	sum := sha256.Sum256(der)
	letters := base32.StdEncoding.EncodeToString(sum[:30])
	return strings.Join(slices.Collect(func(yield func(string) bool) {
		for group := range slices.Chunk([]byte(letters), 4) {
			if !yield(string(group)) {
				return
			}
		}
	}), ":")
}

// access is one entry of a registry token.
type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// token signs what /v2/auth gives, with a list of what is granted, or the federation's exchange, with an object of nothing.
func (s *Signer) token(audience, subject string, granted any, lifetime time.Duration) (string, error) {
	now := time.Now()
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return "", err
	}
	var signed []string
	for _, part := range []any{
		map[string]string{"typ": "JWT", "alg": "RS256", "kid": s.keyID},
		map[string]any{
			"iss": s.issuer, "aud": audience, "sub": subject, "jti": fmt.Sprintf("%x", id), "access": granted,
			"iat": now.Unix(), "nbf": now.Add(-5 * time.Second).Unix(), "exp": now.Add(lifetime).Unix(),
		},
	} {
		encoded, err := json.Marshal(part)
		if err != nil {
			return "", err
		}
		signed = append(signed, base64.RawURLEncoding.EncodeToString(encoded))
	}
	sum := sha256.Sum256([]byte(strings.Join(signed, ".")))
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", err
	}
	return strings.Join(append(signed, base64.RawURLEncoding.EncodeToString(signature)), "."), nil
}

// ownClaims are what the simulator reads of a token of its own.
type ownClaims struct {
	Subject string          `json:"sub"`
	Expires int64           `json:"exp"`
	Access  json.RawMessage `json:"access"`
}

// federated tells a token of the federation's exchange from a registry's bearer: its access is no list.
func (c ownClaims) federated() bool { return strings.HasPrefix(string(c.Access), "{") }

// read tells what a token says if it is one of ours and still good.
func (s *Signer) read(token string) (c ownClaims, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c, false
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return c, false
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(&s.key.PublicKey, crypto.SHA256, sum[:], signature) != nil {
		return c, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	return c, err == nil && json.Unmarshal(payload, &c) == nil && time.Now().Unix() < c.Expires
}

var scopePattern = regexp.MustCompile(`^repository:((?:[.a-zA-Z0-9_-]+(?::[0-9]+)?/)?((?:[.a-zA-Z0-9_-]+/)*[.a-zA-Z0-9_-]+)):((?:push|pull|\*)(?:,(?:push|pull|\*))*)$`)

// registryAuth answers /v2/auth.
func (q *Quay) registryAuth(x *exchange) answer {
	if x.request.Method != http.MethodGet && x.request.Method != http.MethodHead {
		return methodNotAllowed("GET, HEAD, OPTIONS")
	}
	switches := q.switches.get()
	query := x.request.URL.Query()
	scopes := slices.DeleteFunc(slices.Clone(query["scope"]), func(s string) bool { return s == "" })
	robot := ""
	if authorization := x.request.Header.Get("Authorization"); authorization != "" {
		username, password, ok := x.request.BasicAuth()
		if !ok {
			return q.loginRefused(x, "malformed", "Invalid bearer token or basic credentials")
		}
		if refusal := q.login(x, username, password, switches); refusal != nil {
			return *refusal
		}
		robot = username
	} else if len(scopes) == 0 {
		return q.loginRefused(x, "anonymous", "access to the requested resource is not authorized")
	}
	granted, refusal := q.grant(x, robot, scopes)
	if refusal != nil {
		return *refusal
	}
	if robot != "" {
		if failed := q.recordLogin(x, robot, len(scopes) == 0, switches); failed != nil {
			return *failed
		}
	}
	audience := query.Get("service")
	if audience == "" {
		audience = q.serviceName(x.request)
	}
	result, subject := "granted", robot
	if robot == "" {
		result, subject = "anonymous", "(anonymous)"
	}
	q.journal.note(x.entry, func(e *Entry) {
		e.Login = result
		for _, entry := range granted {
			e.Granted = append(e.Granted, entry.Name+":"+strings.Join(entry.Actions, ","))
		}
	})
	token, err := q.signer.token(audience, subject, granted, time.Hour)
	if err != nil {
		return internalError()
	}
	a := jsonAnswer(200, map[string]string{"token": token})
	a.header = http.Header{"Cache-Control": {"no-cache, no-store, must-revalidate"}}
	return a
}

// login checks a robot's credential in the order in which Quay does.
func (q *Quay) login(x *exchange, username, password string, switches Switches) *answer {
	refuse := func(result, text string) *answer {
		a := q.loginRefused(x, result, text)
		return &a
	}
	if !strings.Contains(username, "+") {
		return refuse("wrong-credential", "Invalid Username or Password")
	}
	if switches.RobotsDisallowed && !slices.Contains(switches.RobotsWhitelist, username) {
		return refuse("robots-disallowed", "Robot account have been disabled. Please contact your administrator.")
	}
	robot, ok := q.world.robot(username)
	if !ok {
		return refuse("unknown-robot", "Could not find robot with specified username")
	}
	if looksLikeJWT(password) {
		if refusal := q.loginFederated(x, username, password); refusal != nil {
			return refusal
		}
	} else if robot.TokenRowMissing || password == "" || password != robot.Token {
		return refuse("wrong-credential", fmt.Sprintf("Could not find robot with username: %s and supplied password.", username))
	}
	if owner, disabled := q.world.ownerDisabled(username); disabled {
		return refuse("owner-disabled", fmt.Sprintf("Robot %s owner %s is disabled", username, owner))
	}
	return nil
}

func (q *Quay) loginRefused(x *exchange, result, text string) answer {
	q.journal.note(x.entry, func(e *Entry) { e.Login = result })
	a := registryError(401, "UNAUTHORIZED", text)
	a.header.Set("WWW-Authenticate", q.challenge(x.request))
	return a
}

// grant reads the scopes; a repository that is not there or not allowed gets no actions, and no error.
func (q *Quay) grant(x *exchange, robot string, scopes []string) ([]access, *answer) {
	granted := []access{}
	for _, scope := range scopes {
		match := scopePattern.FindStringSubmatch(scope)
		if match == nil {
			a := registryError(400, "INVALID_REQUEST", "Unable to decode repository and actions: "+scope)
			return nil, &a
		}
		name := strings.TrimPrefix(match[1], x.request.Host+"/")
		granted = append(granted, access{"repository", match[1], q.world.actions(robot, name, strings.Split(match[3], ","))})
	}
	return granted, nil
}

// recordLogin writes what a good login writes; where that fails the login fails.
func (q *Quay) recordLogin(x *exchange, robot string, withoutScope bool, switches Switches) *answer {
	q.pause(switches.LoginLatency)
	if !switches.ReadOnly && !switches.DatabaseLocked {
		q.world.accessed(robot, time.Duration(switches.LastAccessedThreshold))
	}
	if switches.DatabaseLocked || switches.AuditLogBroken {
		q.journal.note(x.entry, func(e *Entry) { e.Login = "failed" })
	}
	if failed := q.logLocked(switches); failed != nil {
		return failed
	}
	// With a scope the entry of the log is the pull's own, at the registry.
	if withoutScope {
		owner, _, _ := strings.Cut(robot, "+")
		metadata := map[string]any{"type": "v2auth", "kind": "robot", "robot": robot, "useragent": x.request.UserAgent()} // the full name here
		q.world.log(owner, LogEntry{Kind: "login_success", Metadata: metadata,
			IP: x.ip(), Performer: performerOf(robot)})
	}
	return nil
}

// logLocked is the answer where the audit log takes no entry.
func (q *Quay) logLocked(switches Switches) *answer {
	if switches.DatabaseLocked {
		q.pause(switches.LockedLoginWait)
		a := htmlAnswer(504, "Gateway Time-out")
		return &a
	}
	if switches.AuditLogBroken {
		a := internalError()
		return &a
	}
	return nil
}

// challenge is the header that sends a client to /v2/auth.
func (q *Quay) challenge(request *http.Request) string {
	return fmt.Sprintf(`Bearer realm="https://%s/v2/auth",service="%s"`, request.Host, q.serviceName(request))
}

func (q *Quay) serviceName(request *http.Request) string {
	if q.options.service != "" {
		return q.options.service
	}
	return request.Host
}

// registryRoot answers /v2/ where no docker-registry stands behind.
func (q *Quay) registryRoot(x *exchange) answer {
	scheme, token, _ := strings.Cut(x.request.Header.Get("Authorization"), " ")
	text := "access to the requested resource is not authorized"
	if claims, ok := q.signer.read(strings.TrimSpace(token)); ok && strings.EqualFold(scheme, "Bearer") {
		if !claims.federated() {
			return jsonAnswer(200, true)
		}
		text = "Token contained invalid or malformed access grants"
	}
	a := registryError(401, "UNAUTHORIZED", text)
	if scheme == "" { // nobody asks yet
		a.contentType, a.body = htmlType, []byte("true")
	}
	a.header.Set("WWW-Authenticate", q.challenge(x.request))
	return a
}
