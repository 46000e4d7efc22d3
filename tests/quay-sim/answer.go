package main

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// answer is a response before it is sent, so that a fault can still change it.
type answer struct {
	status      int
	contentType string
	header      http.Header
	body        []byte
}

const (
	htmlType = "text/html; charset=utf-8"
	jsonType = "application/json"
)

func jsonAnswer(status int, body any) answer {
	encoded, err := json.Marshal(body)
	if err != nil {
		panic(err) // only types of this program come here
	}
	return answer{status: status, contentType: jsonType, body: append(encoded, '\n')}
}

// htmlAnswer is what nginx or Flask say by themselves.
func htmlAnswer(status int, title string) answer {
	return answer{status: status, contentType: htmlType, body: fmt.Appendf(nil,
		"<!doctype html>\n<html lang=en>\n<head><title>%d %s</title></head>\n<body>\n<h1>%s</h1>\n</body>\n</html>\n", status, title, title)}
}

// flaskAbort is JSON with the content type of HTML: Quay's util.http.abort.
func flaskAbort(status int, message string) answer {
	a := jsonAnswer(status, map[string]string{"error": message})
	a.contentType = htmlType
	return a
}

func message(status int, text string) answer {
	return jsonAnswer(status, map[string]string{"message": text})
}

func internalError() answer { return htmlAnswer(500, "Internal Server Error") }

func methodNotAllowed(allow string) answer {
	a := htmlAnswer(405, "Method Not Allowed")
	a.header = http.Header{"Allow": {allow}}
	return a
}

func redirect(status int, location string) answer {
	a := htmlAnswer(status, "Redirecting...")
	a.header = http.Header{"Location": {location}}
	return a
}

// problem is an error of the API proper.
func problem(host string, status int, kind, detail string) answer {
	return jsonAnswer(status, struct {
		Detail       string `json:"detail"`
		ErrorMessage string `json:"error_message"`
		ErrorType    string `json:"error_type"`
		Title        string `json:"title"`
		Type         string `json:"type"`
		Status       int    `json:"status"`
	}{detail, detail, kind, kind, "https://" + host + "/api/v1/error/" + kind, status})
}

func unauthorizedFor(host string) answer {
	return problem(host, 403, "insufficient_scope", "Unauthorized")
}

// invalidRequest is what Quay says of a body that its JSON schema does not allow.
func invalidRequest(host, text, schema string) answer {
	return problem(host, 400, "invalid_request", text+"\n\nFailed validating the schema:\n    "+schema)
}

// registryError is the shape of the registry's errors.
func registryError(status int, code, text string) answer {
	type one struct {
		Code    string         `json:"code"`
		Detail  map[string]any `json:"detail"`
		Message string         `json:"message"`
	}
	a := jsonAnswer(status, map[string][]one{"errors": {{code, map[string]any{}, text}}})
	a.header = http.Header{"Docker-Distribution-Api-Version": {"registry/2.0"}}
	return a
}
