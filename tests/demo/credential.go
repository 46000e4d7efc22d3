package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

// A credential is what a pull Secret holds. It prints as its fingerprint, never as its token.
type credential struct {
	configuration []byte // .dockerconfigjson
	token         string
	fingerprint   string
}

func (c credential) String() string   { return c.fingerprint }
func (c credential) GoString() string { return c.fingerprint }

// fingerprint is what the operator shows of a token.
func fingerprint(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "sha256:" + hex.EncodeToString(sum[:8])
}

// parseCredential reads the credential of one of the robots for the registry; its errors hold no token.
func parseCredential(configuration []byte, registry string, robots ...string) (credential, error) {
	var content struct {
		Auths map[string]struct{ Username, Password string }
	}
	if err := json.Unmarshal(configuration, &content); err != nil {
		return credential{}, fmt.Errorf("the Secret's .dockerconfigjson is no JSON of %d bytes", len(configuration))
	}
	entry, found := content.Auths[registry]
	if !found {
		return credential{}, fmt.Errorf("the Secret's .dockerconfigjson has nothing for %s", registry)
	}
	if !slices.Contains(robots, entry.Username) || entry.Password == "" {
		return credential{}, fmt.Errorf("the Secret's .dockerconfigjson has the user %q, expected %q with a password", entry.Username, robots)
	}
	return credential{configuration, entry.Password, fingerprint(entry.Password)}, nil
}
