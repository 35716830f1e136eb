"""What is measured of servers, side by side: each row of one after the other, in short bursts, again and again, so
that what else the machine does meets all alike. Units are part of a row's name, after the last comma."""

import sys

from .servers import NotAnswered, size_kb, start_ms

STOCK_NODES_MAX = 1000  # about as many as stock bears
BURSTS = 5              # of each row in a round
FEW = 3000              # requests in a burst
ENOUGH_US = 150_000     # or about so much of the server's time, if they are dear
CLIENTS = (1, 16, 256)
STORM = 10000           # each end of the connections must fit into its process's descriptors
STORM_TIME = f"{STORM:,} connections at once until all are answered, ms"
STORM_LOST = f"of these connections not answered, of {STORM:,}"
NODES = (1, 100, 1000, 10000)
START = "start, from -daemon to the first answer, ms"
SIZE = "size of the program, KB"
BARE = "bare"


def memory(nodes):
    return f"memory of its own, {nodes_text(nodes)}, KB"


def port2(nodes, clients=1):
    return f"CPU per PORT2, {nodes_text(nodes)}{_with(clients)}, us"


def names(nodes):
    return f"CPU per NAMES, {nodes_text(nodes)}, us"


def change(nodes):
    return f"CPU per ALIVE2, its end and NAMES, {nodes_text(nodes)}, us"


def tail(nodes):
    return f"slowest of 1,000 PORT2, {nodes_text(nodes)}{_with(CLIENTS[-1])}, us"


def nodes_text(count):
    return "1 node" if count == 1 else f"{count:,} nodes"


def _with(clients):
    return "" if clients == 1 else f", {clients} clients"


def _count(server, what, clients):
    """Some requests for a start; how many make a fair burst?"""
    once = server.ask(what, clients, max(100, 2 * clients))["cpu"]
    return int(max(2 * clients, 100, min(FEW, ENOUGH_US / once)))


def _ask(figures, servers, row, what, clients=1, slowest=None, times=1):
    """Adds what a request costs each of SERVERS as ROW, for TIMES requests; None for a burst with a request that
    was not answered."""
    counts = {}
    for _ in range(BURSTS):
        for name, server in servers.items():
            try:
                if name not in counts:
                    counts[name] = _count(server, what, clients)
                report = server.ask(what, clients, counts[name])
            except NotAnswered as reason:
                print(f"    {reason}", file=sys.stderr)
                report = {"cpu": None, "p999": None}
            figures.add(name, {row: None if report["cpu"] is None else report["cpu"] * times})
            if slowest and name != BARE:
                figures.add(name, {slowest: report["p999"]})


def _add_at(figures, servers, bare, nodes):
    for name, server in servers.items():
        server.hold(nodes)
        figures.add(name, {memory(nodes): server.memory_kb("Private_Dirty:"),
                           f"proportional memory, {nodes_text(nodes)}, KB": server.memory_kb("Pss:")})
    for clients in CLIENTS:
        _ask(figures, {**servers, BARE: bare} if nodes == 1 else servers, port2(nodes, clients), "node0", clients,
             tail(nodes) if clients == CLIENTS[-1] else None)
    here = nodes_text(nodes)
    _ask(figures, servers, f"CPU per PORT2 for an unknown name, {here}, us", "nobody")
    _ask(figures, servers, names(nodes), "NAMES")
    _ask(figures, servers, f"CPU per ALIVE2 and its end, {here}, us", "ALIVE2")
    _ask(figures, servers, change(nodes), "CHANGE", times=2)


def add_requests(figures, servers, bare, most_nodes):
    """All rows of requests and memory, of SERVERS {name: Server} that were just started."""
    for name, server in servers.items():
        figures.add(name, {"proportional memory, no node, KB": server.memory_kb("Pss:")})
    for nodes in (*NODES, most_nodes):
        here = {name: server for name, server in servers.items() if nodes <= STOCK_NODES_MAX or name != "stock"}
        if nodes <= most_nodes:
            _add_at(figures, here, bare, nodes)


def storm_rows(server):
    report = server.storm(STORM)
    return {STORM_TIME: report["took"] / 1000, STORM_LOST: report["failed"]}


def program_rows(binary):
    return {START: start_ms(binary), SIZE: size_kb(binary)}
