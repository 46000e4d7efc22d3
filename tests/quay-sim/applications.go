package main

import (
	"slices"
	"strings"
)

// Application of an organization is what API tokens belong to.
type Application struct {
	ClientID     string `json:"clientID"`
	Organization string `json:"organization"`
	Name         string `json:"name"`
	Description  string `json:"description,omitempty"`
	ClientSecret string `json:"clientSecret,omitempty"`
}

// defaultApplication is the one that a token of the world belongs to when it names none.
const defaultApplication = "automation"

// putApplication completes an application. Called with mu held.
func (w *World) putApplication(application Application) Application {
	if application.ClientID == "" {
		application.ClientID = w.newToken(20, upperAndDigits)
	}
	if application.ClientSecret == "" {
		application.ClientSecret = w.newToken(40, upperAndDigits)
	}
	w.applications[application.ClientID] = application
	return application
}

// applicationFor finds or makes the default application of the first organization that a user owns; "" where
// there is none. Called with mu held.
func (w *World) applicationFor(user string) string {
	for _, name := range sorted(w.organizations) {
		if !slices.Contains(w.organizations[name].Admins, user) {
			continue
		}
		for _, application := range w.applicationsIn(name) {
			if application.Name == defaultApplication {
				return application.ClientID
			}
		}
		return w.putApplication(Application{Organization: name, Name: defaultApplication}).ClientID
	}
	return ""
}

// applicationsIn are those of an organization, by name. Called with mu held.
func (w *World) applicationsIn(organization string) []Application {
	var found []Application
	for _, application := range w.applications {
		if application.Organization == organization {
			found = append(found, application)
		}
	}
	slices.SortFunc(found, func(a, b Application) int { return strings.Compare(a.Name+"\x00"+a.ClientID, b.Name+"\x00"+b.ClientID) })
	return found
}

// removeApplication kills all its tokens. Called with mu held.
func (w *World) removeApplication(id string) {
	delete(w.applications, id)
	for _, token := range w.tokens {
		if token.Application == id {
			token.Deleted = true
		}
	}
}
