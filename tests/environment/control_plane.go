package environment

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
)

// One line in the audit log for each request: a watch when it begins, all others when they end.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [watch]
  omitStages: [ResponseComplete]
- level: Metadata
  omitStages: [ResponseStarted]
`

// A controlPlane is etcd and a kube-apiserver with TLS, RBAC, the node authorizer and
// ServiceAccount tokens. Its controller-manager collects garbage by owner references and makes the
// pods of Deployments, and no more: nothing empties a namespace that is being deleted.
type controlPlane struct {
	etcd, apiserver   *process
	controllerManager *process // nil without the program
	proxy             *process // alone, where the cluster exists already: see newExisting
	authority         *authority
	api               *api
	ca                string // file
	audit             string // file
	etcdPort          port
	peerPort          port
	securePort        port
}

// newControlPlane writes keys and certificates and starts nothing yet.
func newControlPlane(directory string, programs programs, options Options) (made *controlPlane, err error) {
	made = &controlPlane{
		ca:    filepath.Join(directory, "ca.crt"),
		audit: filepath.Join(directory, "audit.log"),
	}
	if err = os.MkdirAll(directory, 0o700); err != nil {
		return nil, err
	}
	for _, wanted := range []*port{&made.etcdPort, &made.peerPort, &made.securePort} {
		if *wanted, err = holdPort(); err != nil {
			return nil, err
		}
	}
	if made.authority, err = newAuthority("Kubernetes CA of an environment"); err != nil {
		return nil, err
	}
	serving, servingKey, err := made.authority.issueTo(directory, "kube-apiserver", pkix.Name{CommonName: "kube-apiserver"},
		"127.0.0.1", "localhost", "10.96.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
	if err != nil {
		return nil, err
	}
	kubelet, kubeletKey, err := made.authority.issueTo(directory, "kubelet-client", pkix.Name{CommonName: "kube-apiserver"})
	if err != nil {
		return nil, err
	}
	admin, adminKey, err := made.authority.issue(pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}})
	if err != nil {
		return nil, err
	}
	tokens := filepath.Join(directory, "service-account.key")
	policy := filepath.Join(directory, "audit-policy.yaml")
	for file, content := range map[string][]byte{made.ca: made.authority.pem(), policy: []byte(auditPolicy)} {
		if err = os.WriteFile(file, content, 0o600); err != nil {
			return nil, err
		}
	}
	if err = writeTokenKey(tokens); err != nil {
		return nil, err
	}
	if made.api, err = newAPI("https://"+made.securePort.address(), made.authority, admin, adminKey); err != nil {
		return nil, err
	}

	etcd := "http://" + made.etcdPort.address()
	peer := "http://" + made.peerPort.address()
	made.etcd = &process{
		name: "etcd",
		arguments: append(programs.etcd, "--data-dir="+filepath.Join(directory, "etcd"), "--name=environment",
			"--listen-client-urls="+etcd, "--advertise-client-urls="+etcd, "--listen-peer-urls="+peer,
			"--initial-advertise-peer-urls="+peer, "--initial-cluster=environment="+peer,
			"--log-level=warn", fmt.Sprintf("--unsafe-no-fsync=%t", !options.DurableEtcd),
			fmt.Sprintf("--quota-backend-bytes=%d", options.EtcdQuota)),
		log:   filepath.Join(directory, "etcd.log"),
		ready: answers(http.DefaultClient, etcd+"/health", http.StatusOK),
	}
	made.apiserver = &process{
		name: "kube-apiserver",
		arguments: append(programs.apiserver, "--etcd-servers="+etcd, "--bind-address=127.0.0.1",
			fmt.Sprintf("--secure-port=%d", made.securePort.number),
			"--tls-cert-file="+serving, "--tls-private-key-file="+servingKey, "--client-ca-file="+made.ca,
			"--kubelet-client-certificate="+kubelet, "--kubelet-client-key="+kubeletKey,
			"--kubelet-certificate-authority="+made.ca, "--kubelet-preferred-address-types=InternalIP",
			// Where it can really be reached: others look there for its keys.
			"--service-account-issuer="+made.api.server, "--service-account-jwks-uri="+made.api.server+"/openid/v1/jwks",
			"--service-account-key-file="+tokens,
			"--service-account-signing-key-file="+tokens, "--service-cluster-ip-range=10.96.0.0/16",
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
			// Watches end with the server; otherwise it would wait a minute for them on SIGTERM.
			"--shutdown-watch-termination-grace-period=1s",
			"--endpoint-reconciler-type=none", "--allow-privileged=true", "--profiling=false",
			"--audit-policy-file="+policy, "--audit-log-path="+made.audit, "--audit-log-format=json"),
		log:   filepath.Join(directory, "kube-apiserver.log"),
		ready: answers(made.api.client, made.api.server+"/readyz", http.StatusOK),
	}
	if len(programs.controllerManager) != 0 {
		err = made.addControllerManager(directory, programs.controllerManager)
	}
	return made, err
}

// addControllerManager gives it the rights that it has in a whole cluster: its own are few, the
// collector works with those of its ServiceAccount.
func (c *controlPlane) addControllerManager(directory string, program []string) error {
	certificate, key, err := c.authority.issue(pkix.Name{CommonName: "system:kube-controller-manager"})
	if err != nil {
		return err
	}
	kubeconfig := filepath.Join(directory, "controller-manager.kubeconfig")
	user := map[string]any{"client-certificate-data": certificate, "client-key-data": key}
	c.controllerManager = &process{
		name: "kube-controller-manager",
		arguments: append(program, "--kubeconfig="+kubeconfig,
			"--controllers=garbage-collector-controller,deployment-controller,replicaset-controller",

			"--use-service-account-credentials=true", "--concurrent-gc-syncs=1", "--leader-elect=false",
			"--secure-port=0", "--profiling=false"),
		log:   filepath.Join(directory, "kube-controller-manager.log"),
		ready: c.api.collects(),
	}
	return c.api.writeKubeconfig(kubeconfig, "default", user)
}

// createNamespace makes a namespace as a whole cluster would: with what the controller-manager adds,
// without which no pod starts in it. One that is there already is completed.
func (c *controlPlane) createNamespace(ctx context.Context, name string) error {
	if c.proxy != nil { // it has a controller-manager
		return c.api.create(ctx, "/api/v1/namespaces", map[string]any{"metadata": map[string]any{"name": name}}, nil)
	}
	authority := string(c.authority.pem())
	base := "/api/v1/namespaces/" + name
	for _, object := range []struct {
		path string
		body map[string]any
	}{
		{"/api/v1/namespaces", map[string]any{"metadata": map[string]any{"name": name}}},
		{base + "/serviceaccounts", map[string]any{"metadata": map[string]any{"name": "default"}}},
		{base + "/configmaps", map[string]any{
			"metadata": map[string]any{"name": "kube-root-ca.crt"},
			"data":     map[string]any{"ca.crt": authority},
		}},
	} {
		err := c.api.create(ctx, object.path, object.body, nil)
		if err != nil && !isConflict(err) {
			return err
		}
	}
	return nil
}

// writeTokenKey makes the key that signs ServiceAccount tokens.
func writeTokenKey(file string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

func newAPI(server string, authority *authority, certificatePEM, keyPEM []byte) (*api, error) {
	certificate, err := tls.X509KeyPair(certificatePEM, keyPEM)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(authority.certificate)
	return &api{
		server: server,
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
			RootCAs: pool, Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12,
		}}},
		authority: authority.pem(), certificate: certificatePEM, key: keyPEM,
	}, nil
}
