"""The stand-in API server on its own: settings as options, orders on the standard input."""

import argparse
import ast
import json
import shlex
import sys
from types import SimpleNamespace

ORDERS = """orders, one a line:
  set SERVICE IP...                  make these the pods of a Service
  add SERVICE IP [KEY=VALUE...]      (ready=False hostname='"a"' ...)
  remove SERVICE IP
  conditions SERVICE IP KEY=VALUE... (ready, serving, terminating)
  fault VERB KEY=VALUE...            (status=503 times=None stall=True error=410 ...)
  clear                              all faults
  tell COMMAND [ARGUMENT...]         all open watches: end, cut, reset, stall, bookmark, error CODE
  deny RESOURCE [VERB...]   allow RESOURCE [VERB...]
  compact   drop   stop   listen   requests   quit
The end of the input is `quit`. Each order is answered by one line: ok, or error and why."""


def literal(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def settings(words):
    return {key: literal(value) for key, _, value in (word.partition("=") for word in words)}


def print_requests(standin):
    for request in standin.requests:
        print(request.method, request.path, json.dumps(request.query), request.status)


def obey(standin, order, *words):
    orders = {
        "set": lambda service, *ips: standin.set_pods(service, ips),
        "add": lambda service, ip, *known: standin.add_pod(service, ip, **settings(known)),
        "remove": standin.remove_pod,
        "conditions": lambda service, ip, *known: standin.set_conditions(service, ip, **settings(known)),
        "fault": lambda verb, *how: standin.fault(verb, **settings(how)),
        "clear": standin.clear_faults,
        "tell": lambda command, *args: standin.tell_watches(command, *map(literal, args)),
        "deny": standin.deny, "allow": standin.allow, "compact": standin.compact,
        "drop": standin.drop_connections, "stop": standin.stop_listening, "listen": standin.listen_again,
        "requests": lambda: print_requests(standin),
    }
    if order not in orders:
        raise ValueError(f"no such order: {order}")
    orders[order](*words)


def parse_arguments():
    parser = argparse.ArgumentParser(prog="lab.standin", description=__doc__, epilog=ORDERS,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", help="loopback by default")
    parser.add_argument("--port", type=int, default=0, help="a free one by default")
    parser.add_argument("--plain", action="store_true", help="HTTP instead of HTTPS")
    parser.add_argument("--token", action="append", help="accept this bearer token only (repeatable)")
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--no-ip-san", action="store_true", help="a certificate that lacks the address")
    parser.add_argument("--version", action="append", dest="versions", help="of discovery.k8s.io (repeatable)")
    parser.add_argument("--netns", help="listen in this network namespace (needs --address)")
    parser.add_argument("--pods", action="append", default=[], metavar="SERVICE=IP,IP")
    parser.add_argument("--service-account", metavar="FOLDER", help="write token, ca.crt, namespace there")
    parser.add_argument("--kubeconfig", metavar="FILE", help="write one that leads here")
    return parser.parse_args()


def in_namespace(name):
    """Something to listen in: the namespace exists already and is not ours to remove."""
    from .namespace import enter_and_call, in_thread

    path = f"/run/netns/{name}"
    return SimpleNamespace(ip=None, inside=lambda function, *args: in_thread(enter_and_call, path, function, args))


def main():
    from .standin import Standin

    given = parse_arguments()
    with Standin(in_namespace(given.netns) if given.netns else None, given.address, given.port,
                 tls=not given.plain, tokens=set(given.token) if given.token else None,
                 ip_san=not given.no_ip_san, versions=given.versions or ("v1", "v1beta1"),
                 namespace=given.namespace) as standin:
        for pods in given.pods:
            service, _, ips = pods.partition("=")
            standin.set_pods(service, [ip for ip in ips.split(",") if ip])
        if given.service_account:
            standin.service_account_dir(given.service_account)
        if given.kubeconfig:
            standin.kubeconfig(given.kubeconfig)
        print(json.dumps({"url": standin.url, "ca": standin.authority.ca if standin.authority else None,
                          "token": standin.a_token(), **standin.env()}), flush=True)
        take_orders(standin)


def take_orders(standin):
    for line in sys.stdin:
        words = shlex.split(line)
        if words == ["quit"]:
            return
        if not words:
            continue
        try:
            obey(standin, *words)
            print("ok", flush=True)
        except (ValueError, TypeError, KeyError, OSError) as error:
            print(f"error {error}", flush=True)
