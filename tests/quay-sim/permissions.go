package main

import (
	"fmt"
	"slices"
	"strings"
)

// repositoryName is a repository as permissions show it: without its namespace.
type repositoryName struct {
	Name     string `json:"name"`
	IsPublic bool   `json:"is_public"`
}

// repositoryRole is one right of a robot.
type repositoryRole struct {
	Repository repositoryName `json:"repository"`
	Role       string         `json:"role"`
}

// team as the list of robots shows it.
type team struct {
	Name   string            `json:"name"`
	Avatar map[string]string `json:"avatar"`
}

func teamsOf(robot Robot) []team {
	teams := []team{}
	for _, name := range robot.Teams {
		teams = append(teams, team{name, map[string]string{"name": name, "kind": "team"}})
	}
	return teams
}

// DefaultPermission of an organization is what somebody gets on repositories that will be created. Quay calls it a prototype.
type DefaultPermission struct {
	Creator  string `json:"creator,omitempty"` // a user or robot; "": anybody
	Delegate string `json:"delegate"`          // a user or robot who gets it
	Team     bool   `json:"team,omitempty"`    // … or a team
	Role     string `json:"role"`
}

func (p DefaultPermission) concerns(name string) bool {
	return p.Creator == name || (p.Delegate == name && !p.Team)
}

// removeDefaultPermissions takes away those of a user or robot. Called with mu held.
func (w *World) removeDefaultPermissions(name string) {
	for key, organization := range w.organizations {
		organization.DefaultPermissions = slices.DeleteFunc(slices.Clone(organization.DefaultPermissions),
			func(p DefaultPermission) bool { return p.concerns(name) })
		w.organizations[key] = organization
	}
}

// prototypeUser is a user or robot as prototypes show it.
type prototypeUser struct {
	Name        string            `json:"name"`
	IsRobot     bool              `json:"is_robot"`
	Kind        string            `json:"kind"`
	IsOrgMember bool              `json:"is_org_member"`
	Avatar      map[string]string `json:"avatar"`
}

// listPrototypes answers organization/ORG/prototypes.
func (q *Quay) listPrototypes(owner string) answer {
	organization, _ := q.world.organization(owner)
	user := func(name string) prototypeUser {
		isRobot := strings.Contains(name, "+")
		return prototypeUser{name, isRobot, "user", isRobot || slices.Contains(organization.Members, name) || slices.Contains(organization.Admins, name),
			performerOf(name).Avatar}
	}
	prototypes := []map[string]any{}
	for i, p := range organization.DefaultPermissions {
		prototype := map[string]any{"activating_user": nil, "role": p.Role, "id": fmt.Sprintf("%08d-0000-4000-8000-000000000000", i)}
		if p.Creator != "" {
			prototype["activating_user"] = user(p.Creator)
		}
		prototype["delegate"] = user(p.Delegate)
		if p.Team {
			prototype["delegate"] = map[string]any{"name": p.Delegate, "kind": "team", "avatar": map[string]string{"name": p.Delegate, "kind": "team"}}
		}
		prototypes = append(prototypes, prototype)
	}
	return jsonAnswer(200, map[string]any{"prototypes": prototypes})
}

// rolesOf are a robot's own rights, by repository. A team's and a public repository's are none of these.
func (w *World) rolesOf(robot string) []repositoryRole {
	w.mu.Lock()
	defer w.mu.Unlock()
	roles := []repositoryRole{}
	for _, name := range sorted(w.repositories) {
		repository := w.repositories[name]
		if role, ok := repository.Permissions[robot]; ok {
			_, short, _ := strings.Cut(name, "/")
			roles = append(roles, repositoryRole{repositoryName{short, repository.Public}, role})
		}
	}
	return roles
}

func (w *World) repository(name string) (Repository, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	repository, ok := w.repositories[name]
	return repository, ok
}

// readProtected is the other 403: of a caller with the scope that the call asks for, and without what it needs besides.
func readProtected() answer {
	return message(403, "You don't have the permission to access the requested resource. It is either read-protected or not readable by the server.")
}

// authorizePermissions asks for user:admin first and for an organization's owner with org:admin then, each with a 403 of its own.
func (q *Quay) authorizePermissions(x *exchange, who caller) *answer {
	refuse := func(a answer) *answer { return &a }
	if !who.may("user:admin") {
		return refuse(unauthorizedFor(x.request.Host))
	}
	organization, exists := q.world.organization(x.route.organization)
	mayRead := who.user.Superuser || who.user.ReadOnlySuperuser || slices.Contains(organization.Admins, who.user.Name)
	if !exists || !who.may("org:admin") || !mayRead {
		return refuse(readProtected())
	}
	return nil
}

// robotPermissions answers …/robots/SHORT/permissions.
func (q *Quay) robotPermissions(name string) answer {
	if _, ok := q.world.robot(name); !ok {
		return noSuchRobot()
	}
	return jsonAnswer(200, map[string]any{"permissions": q.world.rolesOf(name)})
}

// repositoryPermissions answers repository/NS/REPO/permissions/user/ROBOT and what follows from it with /transitive.
func (q *Quay) repositoryPermissions(x *exchange, who caller) answer {
	namespace, _, _ := strings.Cut(x.route.repository, "/")
	organization, _ := q.world.organization(namespace)
	owns := namespace == who.user.Name || who.user.Superuser || slices.Contains(organization.Admins, who.user.Name)
	if !who.may("repo:admin") || !owns {
		return unauthorizedFor(x.request.Host)
	}
	repository, ok := q.world.repository(x.route.repository)
	if !ok {
		return notFound(x.request.Host)
	}
	role, granted := repository.Permissions[x.route.robot]
	switch {
	case x.route.transitive:
		if !q.world.knows(x.route.robot) {
			return notFound(x.request.Host)
		}
		roles := []map[string]string{}
		if granted {
			roles = append(roles, map[string]string{"role": role})
		}
		return jsonAnswer(200, map[string]any{"permissions": roles})
	case !granted:
		return message(400, "User does not have permission for repo.") // not seen on a running Quay
	}
	owner, _, isRobot := strings.Cut(x.route.robot, "+")
	return jsonAnswer(200, map[string]any{"role": role, "name": x.route.robot, "is_robot": isRobot, "is_org_member": owner == namespace})
}
