package environment

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"syscall"
	"time"
)

// serve answers on the control socket, for tests that are no Go programs:
//
//	GET  /processes                 {"etcd": 123, ...}, 0 for what does not run
//	POST /processes/NAME/stop       SIGTERM, answers when it ended
//	POST /processes/NAME/kill       SIGKILL, answers when it ended
//	POST /processes/NAME/start      answers when it is ready, on the same port; kube-controller-manager
//	                                never runs before: see Start
//	POST /kubeconfig                {"namespace": …, "serviceAccount": …} → {"path": …}
//	POST /namespaces                {"name": …}: see CreateNamespace
//	POST /images                    {"image": "alice/app:latest"}: see PushImage
//
// Errors are 4xx or 5xx with {"error": …}.
func (e *Environment) serve() error {
	listener, err := net.Listen("unix", e.ControlSocket)
	if err != nil {
		return err
	}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /processes", func(writer http.ResponseWriter, _ *http.Request) {
		pids := map[string]int{}
		for name, process := range e.processes() {
			pids[name] = process.pid()
		}
		answer(writer, pids, nil)
	})
	routes.HandleFunc("POST /processes/{name}/{action}", func(writer http.ResponseWriter, request *http.Request) {
		name := request.PathValue("name")
		switch request.PathValue("action") {
		case "stop":
			answer(writer, struct{}{}, e.Stop(name, syscall.SIGTERM))
		case "kill":
			answer(writer, struct{}{}, e.Stop(name, syscall.SIGKILL))
		case "start":
			answer(writer, struct{}{}, e.Start(request.Context(), name))
		default:
			answer(writer, nil, errors.New("the actions are stop, kill and start"))
		}
	})
	routes.HandleFunc("POST /kubeconfig", func(writer http.ResponseWriter, request *http.Request) {
		var body struct{ Namespace, ServiceAccount string }
		var path string
		err := json.NewDecoder(request.Body).Decode(&body)
		if err == nil {
			path, err = e.Kubeconfig(request.Context(), body.Namespace, body.ServiceAccount)
		}
		answer(writer, map[string]string{"path": path}, err)
	})
	routes.HandleFunc("POST /namespaces", func(writer http.ResponseWriter, request *http.Request) {
		var body struct{ Name string }
		err := json.NewDecoder(request.Body).Decode(&body)
		if err == nil {
			err = e.CreateNamespace(request.Context(), body.Name)
		}
		answer(writer, struct{}{}, err)
	})
	routes.HandleFunc("POST /images", func(writer http.ResponseWriter, request *http.Request) {
		var body struct{ Image string }
		err := json.NewDecoder(request.Body).Decode(&body)
		if err == nil {
			err = e.PushImage(request.Context(), body.Image)
		}
		answer(writer, struct{}{}, err)
	})
	e.control = &http.Server{Handler: routes, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = e.control.Serve(listener) }() // until Down closes it
	return nil
}

func answer(writer http.ResponseWriter, content any, err error) {
	writer.Header().Set("Content-Type", "application/json")
	if err != nil {
		writer.WriteHeader(http.StatusUnprocessableEntity)
		content = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(writer).Encode(content)
}
