package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// Federation is whose tokens are taken for a robot.
type Federation struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

// federationSchema is what Quay repeats in its error.
const federationSchema = `{'type': 'array', 'description': 'Federation configuration for the robot', 'items': {'type': 'object', 'properties': ` +
	`{'issuer': {'type': 'string', 'description': 'The issuer of the token'}, 'subject': {'type': 'string', 'description': 'The subject of the token'}}, ` +
	`'required': ['issuer', 'subject']}}`

// federation answers GET, POST and DELETE of a robot's federation.
func (q *Quay) federation(x *exchange, owner string, who caller, switches Switches) answer {
	name := owner + "+" + x.route.short
	var next []Federation
	if x.request.Method == http.MethodPost {
		// The list is looked at before the robot.
		var refusal *answer
		if next, refusal = federationOf(x); refusal != nil {
			return *refusal
		}
	}
	robot, ok := q.world.robot(name)
	if !ok {
		return noSuchRobot()
	}
	switch x.request.Method {
	case http.MethodPost:
		q.world.federate(name, next)
		return q.written(x, owner, who, switches, "create_robot_federation", map[string]any{"robot": x.route.short, "config": next}, jsonAnswer(200, next))
	case http.MethodDelete:
		q.world.federate(name, nil)
		return q.written(x, owner, who, switches, "delete_robot_federation", map[string]any{"robot": x.route.short}, answer{status: 204, contentType: jsonType})
	default:
		return jsonAnswer(200, append([]Federation{}, robot.Federation...))
	}
}

// federationOf reads the body of a POST. Keys that Quay does not know, audiences too, are dropped in silence.
func federationOf(x *exchange) ([]Federation, *answer) {
	refuse := func(a answer) ([]Federation, *answer) { return nil, &a }
	var entries []map[string]any
	if err := json.Unmarshal(x.body, &entries); err != nil || entries == nil {
		return refuse(invalidRequest(x.request.Host, "The body is not of type 'array'", federationSchema))
	}
	list := []Federation{}
	for _, entry := range entries {
		for _, key := range []string{"issuer", "subject"} {
			if _, ok := entry[key].(string); !ok {
				return refuse(invalidRequest(x.request.Host, fmt.Sprintf("'%s' is a required property", key), federationSchema))
			}
		}
		one := Federation{entry["issuer"].(string), entry["subject"].(string)}
		switch {
		case one.Issuer == "" || one.Subject == "":
			return refuse(message(400, "Missing one or more required fields (issuer, subject)"))
		case !strings.HasPrefix(one.Issuer, "http://") && !strings.HasPrefix(one.Issuer, "https://"):
			return refuse(message(400, "Issuer must be a URL"))
		case slices.Contains(list, one):
			return refuse(message(400, "Duplicate federation config entry"))
		}
		list = append(list, one)
	}
	return list, nil
}

// federate replaces a robot's list.
func (w *World) federate(name string, list []Federation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if robot, ok := w.robots[name]; ok {
		robot.Federation = list
	}
}

// errUnreachable drops the request in Quay, and nginx makes its 502 of it; any other error but a tokenError is a 500.
var errUnreachable = errors.New("the issuer cannot be reached")

// tokenError is what is wrong with a JWT, in Quay's words.
type tokenError string

func (e tokenError) Error() string { return string(e) }

// exchangeToken answers /oauth2/federation/robot/token: an issuer's JWT for a token of Quay's own.
func (q *Quay) exchangeToken(x *exchange, switches Switches) answer {
	if x.request.Method != http.MethodGet && x.request.Method != http.MethodHead {
		return methodNotAllowed("GET, HEAD, OPTIONS")
	}
	unauthenticated := func(text string) answer { return jsonAnswer(401, map[string]string{"error": text}) }
	name, token, isBasic := x.request.BasicAuth()
	switch {
	case x.request.Header.Get("Authorization") == "":
		return unauthenticated("No auth header")
	case !isBasic:
		return unauthenticated("Invalid basic auth header")
	case !strings.Contains(name, "+"):
		return unauthenticated("Invalid robot")
	}
	robot, ok := q.world.robot(name)
	if !ok {
		return noSuchRobot()
	}
	jwt, err := parseJWT(token)
	if err != nil {
		return internalError()
	}
	if len(robot.Federation) == 0 {
		return message(400, "Robot does not have federated login configured")
	}
	var subjects []string
	for _, entry := range robot.Federation {
		if entry.Issuer == jwt.payload.Issuer {
			subjects = append(subjects, entry.Subject)
		}
	}
	if len(subjects) == 0 {
		return message(400, fmt.Sprintf("issuer %s not configured for this robot", jwt.payload.Issuer))
	}
	var wrong tokenError
	switch err := q.verifyForeign(jwt, switches); {
	case errors.As(err, &wrong):
		return message(400, "Invalid token: "+string(wrong))
	case errors.Is(err, errUnreachable):
		return htmlAnswer(502, "Quay is currently loading")
	case err != nil:
		q.journal.note(x.entry, func(e *Entry) { e.Error = err.Error() })
		return internalError()
	case !slices.Contains(subjects, jwt.payload.Subject):
		return message(400, "Token does not match robot")
	}
	if failed := q.logLocked(switches); failed != nil {
		return *failed
	}
	owner, short, _ := strings.Cut(name, "+")
	q.world.log(owner, LogEntry{Kind: "federated_robot_token_exchange", IP: x.ip(),
		Metadata: map[string]any{"subject": jwt.payload.Subject, "issuer": jwt.payload.Issuer, "robot": short}})
	issued, err := q.signer.token(x.request.Host, name, struct{}{}, time.Duration(switches.FederatedTokenLifetime))
	if err != nil {
		return internalError()
	}
	return jsonAnswer(200, map[string]string{"token": issued})
}

// jsonWebToken is a JWT whose signature nobody has looked at yet.
type jsonWebToken struct {
	header struct {
		Algorithm string  `json:"alg"`
		KeyID     *string `json:"kid"`
	}
	payload struct {
		Issuer  string       `json:"iss"`
		Subject string       `json:"sub"`
		Expires *json.Number `json:"exp"`
	}
	signed    string
	signature []byte
}

func parseJWT(token string) (*jsonWebToken, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("no JWT")
	}
	t := &jsonWebToken{signed: parts[0] + "." + parts[1]}
	for i, into := range []any{&t.header, &t.payload} {
		decoded, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(decoded, into); err != nil {
			return nil, err
		}
	}
	var err error
	t.signature, err = base64.RawURLEncoding.DecodeString(parts[2])
	return t, err
}

// leeway is what Quay forgives in exp.
const leeway = 30 * time.Second

// check verifies signature and expiry, in the order in which Quay's library does.
func (t *jsonWebToken) check(key crypto.PublicKey) error {
	if !t.signedBy(key) {
		return tokenError("Signature verification failed")
	}
	if t.payload.Expires == nil {
		return tokenError(`Token is missing the "exp" claim`)
	}
	expires, err := t.payload.Expires.Float64()
	if err != nil {
		return tokenError("Expiration Time claim (exp) must be an integer.")
	}
	if float64(time.Now().Add(-leeway).UnixMilli())/1000 >= expires {
		return tokenError("Signature has expired")
	}
	return nil
}

// signedBy takes RS256 with an RSA key and ES256 with one of P-256.
func (t *jsonWebToken) signedBy(key crypto.PublicKey) bool {
	sum := sha256.Sum256([]byte(t.signed))
	switch key := key.(type) {
	case *rsa.PublicKey:
		return t.header.Algorithm == "RS256" && rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], t.signature) == nil
	case *ecdsa.PublicKey:
		half := len(t.signature) / 2
		return t.header.Algorithm == "ES256" && half == 32 &&
			ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(t.signature[:half]), new(big.Int).SetBytes(t.signature[half:]))
	}
	return false
}

// verifyForeign asks the issuer anew each time, as Quay does, and for the keys once more when a check fails.
func (q *Quay) verifyForeign(jwt *jsonWebToken, switches Switches) error {
	if jwt.header.KeyID == nil {
		return tokenError("Missing `kid` header")
	}
	if !strings.HasPrefix(jwt.payload.Issuer, "https://") {
		return errors.New("an issuer is asked over https only")
	}
	client, err := issuerClient(switches.IssuerCA)
	if err != nil {
		return err
	}
	var discovered struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := client.read(strings.TrimSuffix(jwt.payload.Issuer, "/")+"/.well-known/openid-configuration", &discovered); err != nil {
		return err
	}
	if discovered.Issuer != jwt.payload.Issuer {
		return tokenError("Invalid issuer")
	}
	for range 2 {
		key, failed := client.key(discovered.Keys, *jwt.header.KeyID)
		if failed != nil {
			return failed
		}
		if err = jwt.check(key); err == nil {
			return nil
		}
	}
	return err
}

// issuerReader reads an issuer's documents.
type issuerReader struct{ client http.Client }

// issuerClient trusts the system's CAs and those of a file, which may change while the simulator runs.
func issuerClient(caFile string) (*issuerReader, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	if caFile != "" {
		content, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		if !pool.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("%s holds no certificate", caFile)
		}
	}
	return &issuerReader{http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}},
	}}, nil
}

func (r *issuerReader) read(url string, into any) error {
	response, err := r.client.Get(url)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(into)
}

// key finds a key in the issuer's set. Whatever fails here is a 500, an issuer that has gone since too.
func (r *issuerReader) key(url, id string) (crypto.PublicKey, error) {
	var set struct {
		Keys []struct {
			ID    string `json:"kid"`
			Type  string `json:"kty"`
			N     string `json:"n"`
			E     string `json:"e"`
			Curve string `json:"crv"`
			X     string `json:"x"`
			Y     string `json:"y"`
		} `json:"keys"`
	}
	if err := r.read(url, &set); err != nil {
		return nil, fmt.Errorf("the keys: %v", err) // not wrapped: no errUnreachable
	}
	for _, key := range set.Keys {
		if key.ID != id {
			continue
		}
		switch {
		case key.Type == "RSA":
			n, err := base64.RawURLEncoding.DecodeString(key.N)
			e, failed := base64.RawURLEncoding.DecodeString(key.E)
			return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}, errors.Join(err, failed)
		case key.Type == "EC" && key.Curve == "P-256":
			x, err := base64.RawURLEncoding.DecodeString(key.X)
			y, failed := base64.RawURLEncoding.DecodeString(key.Y)
			if err := errors.Join(err, failed); err != nil {
				return nil, err
			}
			return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
		}
		return nil, fmt.Errorf("key %s is neither RSA nor EC of P-256", id)
	}
	return nil, fmt.Errorf("no key %s", id)
}

// looksLikeJWT tells what Quay takes for a JWT where a password is expected; a robot's token has no dots.
func looksLikeJWT(password string) bool { return strings.Count(password, ".") == 2 }

// loginFederated checks a token that exchangeToken made; another robot's is refused, a damaged one breaks Quay.
func (q *Quay) loginFederated(x *exchange, username, password string) *answer {
	claims, ok := q.signer.read(password)
	if !ok || !claims.federated() {
		q.journal.note(x.entry, func(e *Entry) { e.Login = "failed" })
		a := internalError()
		return &a
	}
	if claims.Subject != username {
		a := q.loginRefused(x, "wrong-credential", "Token does not match robot")
		return &a
	}
	return nil
}
