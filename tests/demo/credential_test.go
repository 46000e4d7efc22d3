package main

import (
	"fmt"
	"strings"
	"testing"
)

const registry, robot = "localhost:5000", "acme+puller"

func TestCredentialPrintsAsItsFingerprint(t *testing.T) {
	configuration := `{"auths":{"localhost:5000":{"username":"acme+puller","password":"abc","auth":"…"}}}`
	parsed, err := parseCredential([]byte(configuration), registry, robot)
	if err != nil || parsed.token != "abc" {
		t.Fatalf("%v, a token of %d bytes", err, len(parsed.token))
	}
	// The first 16 digits of `printf abc | sha256sum`.
	const expected = "sha256:ba7816bf8f01cfea"
	for _, format := range []string{"%s", "%v", "%+v", "%#v"} {
		if printed := fmt.Sprintf(format, parsed); printed != expected {
			t.Errorf("%s prints %s", format, printed)
		}
	}
}

func TestWrongCredentialIsRefusedWithoutShowingIt(t *testing.T) {
	for name, configuration := range map[string]string{
		"no JSON":          `{"auths":{"localhost:5000":{"password":"tell-nobody"`,
		"another registry": `{"auths":{"localhost":{"username":"acme+puller","password":"tell-nobody"}}}`,
		"another robot":    `{"auths":{"localhost:5000":{"username":"acme+other","password":"tell-nobody"}}}`,
		"no password":      `{"auths":{"localhost:5000":{"username":"acme+puller"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseCredential([]byte(configuration), registry, robot)
			if err == nil || strings.Contains(err.Error(), "tell-nobody") {
				t.Error(err)
			}
		})
	}
}
