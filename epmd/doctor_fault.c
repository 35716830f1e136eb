/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "doctor_fault.h"

#define OPEN_EPMD_PORT                                                                  \
	"let pods reach each other's epmd port (4369, or ERL_EPMD_PORT, which must be the " \
	"same in all pods), in NetworkPolicies and firewalls; and " \
	"see whether an epmd runs there and is not bound to loopback alone (ERL_EPMD_ADDRESS)"
#define OPEN_DIST_PORT                                                                        \
	"let pods reach each other's distribution port: any, unless the nodes say \"-kernel " \
	"inet_dist_listen_min 9100 inet_dist_listen_max 9100\""
#define LONG_NAMES                                                                    \
	"start all nodes with -name; in a mix release RELEASE_DISTRIBUTION=name and " \
	"RELEASE_NODE=sample@${POD_IP}"

const struct fault_text fault_texts[FAULTS] = {
    [FAULT_PORT_VARIABLE] =
	{"port-variable", "port",
         "set ERL_EPMD_PORT to a port, or unset it; where Kubernetes set it, for "
         "a Service named \"erl-epmd\", put \"enableServiceLinks: false\" into "
         "the pod's spec"},
    [FAULT_NO_DAEMON] = {"no-daemon", "daemon",
                         "start a node with a name, which starts the epmd of its erts-*/bin: put "
                         "this one there; a sidecar's must be started first"},
    [FAULT_SILENT_DAEMON] = {"silent-daemon", "daemon",
                             "end it (by its process id: \"ss -ltnp\" tells that) and start a node "
                             "or epmd anew; nodes register again by themselves"},
    [FAULT_STOCK_EPMD] =
	{"stock-epmd", "daemon",
         "put this epmd in its place, in each erts-*/bin of the image; where it runs "
         "as a sidecar, start the node with \"-start_epmd false\""},
    [FAULT_OLDER_EPMD] = {"older-epmd", "daemon",
                          "start the node anew, with one epmd in the image"},
    [FAULT_DIST_PORT] = {"dist-port", "daemon",
                         "unset ERL_DIST_PORT; for a fixed port put \"-kernel inet_dist_listen_min "
                         "9100 inet_dist_listen_max 9100\" into vm.args"},
    [FAULT_OTHER_ENVIRONMENT] = {"other-environment", "settings",
                                 "give the settings to whatever starts epmd: the container of the "
                                 "node, or of the sidecar, and there before it starts"},
    [FAULT_UNKNOWN_SETTING] = {"unknown-setting", "settings",
                               "correct its name, or unset it (epmd -h lists all settings)"},
    [FAULT_WRONG_SETTING] = {"wrong-setting", "settings",
                             "mend that setting and start epmd anew; until then nothing is "
                             "discovered"},
    [FAULT_IDLE_SETTING] = {"idle-setting", "settings",
                            "set ERL_EPMD_DISCOVERY=kubernetes, or unset the other"},
    [FAULT_LOOPBACK_ONLY] = {"loopback-only", "address",
                             "unset it (\"-address\"), or add the pod's own address"},
    [FAULT_NO_CREDENTIALS] = {"no-credentials", "api",
                              "leave automountServiceAccountToken at true, for the pod and for its "
                              "service account; with a kubeconfig, name files that are there"},
    [FAULT_NO_API] = {"no-api", "api",
                      "let the pod reach the API server, in NetworkPolicies and firewalls; see "
                      "whether it runs at that address"},
    [FAULT_WRONG_CA] = {"wrong-ca", "api",
                        "give the CA that signed the API server's certificate: the pod's own "
                        "ca.crt, or certificate-authority of the kubeconfig; a proxy between the "
                        "two must not open TLS"},
    [FAULT_UNAUTHORIZED] = {"unauthorized", "api",
                            "see whether the service account still exists and the token is one of "
                            "this cluster; then start the pod anew"},
    [FAULT_RBAC_LIST] = {"rbac-list", "api",
                         "give that namespace a Role that allows list and watch on "
                         "endpointslices.discovery.k8s.io, and a RoleBinding from it to the pod's "
                         "service account"},
    [FAULT_RBAC_WATCH] = {"rbac-watch", "api",
                          "add the verb watch to the Role that allows list; until then changes are "
                          "not seen as they happen"},
    [FAULT_API_ERROR] = {"api-error", "api",
                         "see what the API server logs; what is known stays served, and it is "
                         "asked again"},
    [FAULT_PEERS_FILE] = {"peers-file", "file", "mend the file; it is read again when it changes"},
    [FAULT_DNS_NAME] = {"dns-name", "dns",
                        "give the name of a headless Service (clusterIP: None), and see whether "
                        "\"getent hosts NAME\" finds it in this pod; peers that are known stay"},
    [FAULT_NO_SERVICE] =
	{"no-service", "services",
         "it is the Service, not the pods, that must have the label (or the name), "
         "and in that namespace: see \"kubectl get services --show-labels\""},
    [FAULT_NO_ENDPOINTS] = {"no-endpoints", "services",
                            "let the Service's own selector match the pods' labels, and set "
                            "publishNotReadyAddresses: true"},
    [FAULT_OWN_POD] = {"own-pod", "services",
                       "let the Service's own selector match this pod's labels too, and set "
                       "publishNotReadyAddresses: true"},
    [FAULT_NO_NODE] =
	{"no-node", "node",
         "start the node with a name (-name, RELEASE_DISTRIBUTION=name), and let it "
         "use this epmd: without \"-erl_epmd_port\", and with the same ERL_EPMD_PORT"},
    [FAULT_OTHER_NAME] = {"other-name", "node",
                          "set ERL_EPMD_BASENAME to the name before the @ of the nodes that shall "
                          "meet"},
    [FAULT_HIDDEN_NODE] = {"hidden-node", "node",
                           "start it without -hidden, if it shall join its peers"},
    [FAULT_TLS_NODE] = {"tls-node", "node",
                        "connect such nodes from the application (epmd has found them for it), or "
                        "do without TLS distribution"},
    [FAULT_FOREIGN_NODE] = {"foreign-node", "node",
                            "run epmd as the node's own user, and in its process namespace, or as "
                            "root"},
    [FAULT_NODE_SILENT] =
	{"node-silent", "node",
         "let the node listen on this host's addresses (inet_dist_use_interface), "
         "and in epmd's network namespace"},
    [FAULT_NOT_ALLOWED] = {"not-allowed", "node",
                           "allow kepmd@HOST and kepmd-look@HOST too, in net_kernel:allow/1"},
    [FAULT_SHORT_NAME] = {"short-name", "node", LONG_NAMES},
    [FAULT_HOST_PART] = {"host-part", "node",
                         "name the node by its pod's address (RELEASE_NODE=sample@${POD_IP}), or "
                         "set ERL_EPMD_HOST_MODE to the form that its name has"},
    [FAULT_NO_COOKIE] = {"no-cookie", "cookie",
                         "set RELEASE_COOKIE, or name a file with the cookie by "
                         "ERL_EPMD_COOKIE_FILE"},
    [FAULT_OWN_COOKIE] = {"own-cookie", "cookie",
                          "give epmd the node's own cookie by ERL_EPMD_COOKIE_FILE"},
    [FAULT_NO_LINK] = {"no-link", "node",
                       "see what the node and epmd have logged; epmd tries again"},
    [FAULT_PEER_UNNAMED] = {"peer-unnamed", "peers",
                            "set ERL_EPMD_HOST_MODE to a form for which the endpoints have what it "
                            "takes: ip always works"},
    [FAULT_PEER_EPMD] = {"peer-epmd", "peers", OPEN_EPMD_PORT},
    [FAULT_PEER_NO_NODE] = {"peer-no-node", "peers",
                            "see whether the node there runs and is named so (epmd -names there); "
                            "else set ERL_EPMD_BASENAME to the name before its @"},
    [FAULT_PORT_NAME] = {"port-name", "peers",
                         "give the Service a port of that name, or set ERL_EPMD_DIST to a number"},
    [FAULT_PEER_PORT] = {"peer-port", "join", OPEN_DIST_PORT},
    [FAULT_PAIR] = {"pair", "join",
                    "look at what is between these two alone: other peers are reached; "
                    "NetworkPolicies, routes, and firewalls of their nodes"},
    [FAULT_UNSTABLE] = {"unstable", "join",
                        "look for \"pair\" and \"peer-port\" on all nodes: where two cannot reach "
                        "each other, global breaks the links of others"},
    [FAULT_PEER_TLS] = {"peer-tls", "join",
                        "connect such nodes from the application, or do without TLS distribution"},
    [FAULT_PEER_NAME] =
	{"peer-name", "join",
         "name the node there by its pod's address (RELEASE_NODE=sample@${POD_IP}), "
         "or set ERL_EPMD_HOST_MODE to the form that its name has"},
    [FAULT_PEER_HIDDEN] = {"peer-hidden", "join",
                           "start it without -hidden, if it shall be joined"},
    [FAULT_PEER_NOT_ALLOWED] = {"peer-not-allowed", "join",
                                "allow its peers, kepmd@HOST and kepmd-look@HOST, in "
                                "net_kernel:allow/1 there"},
    [FAULT_RELEASE] = {"release", "join",
                       "bring both to OTP releases that are no more than two apart"},
    [FAULT_PEER_SHORT_NAME] = {"peer-short-name", "join", LONG_NAMES},
    [FAULT_COOKIE] = {"cookie", "cookie",
                      "give all nodes one cookie, such as RELEASE_COOKIE from one Secret: each "
                      "fresh mix release makes another"},
    [FAULT_UNRESOLVED] = {"unresolved", "join",
                          "let the node resolve its peers' host parts and ask the epmd there, or "
                          "name nodes by address (ERL_EPMD_HOST_MODE=ip)"},
};
