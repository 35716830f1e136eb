"""What is measured of each server, as rows {name: value}. Units are part of a row's name, after the last comma."""

import sys

from .servers import NotAnswered, size_kb, start_ms

STOCK_NODES_MAX = 1000  # about as many as stock bears
FEW = 4000              # requests in a row
ENOUGH_US = 400_000     # or about so much of the server's time, if they are dear
CLIENTS = (1, 16, 256)
STORM = 10000           # each end of the connections must fit into its process's descriptors
STORM_TIME = f"{STORM:,} connections at once until all are answered, ms"
STORM_LOST = f"of these connections not answered, of {STORM:,}"
NODES = (1, 100, 1000, 10000)


def _count(server, what, clients):
    """Some requests for a start; how many make a fair row?"""
    once = server.ask(what, clients, max(100, 2 * clients))["cpu"]
    return int(max(2 * clients, 100, min(FEW, ENOUGH_US / once)))


def _ask(rows, server, what, name, clients=1, tail=False):
    try:
        report = server.ask(what, clients, _count(server, what, clients))
    except NotAnswered as reason:
        print(f"    {reason}", file=sys.stderr)
        return
    rows[f"CPU per {name}, us"] = report["cpu"]
    if tail:
        rows[f"slowest of 1,000 {name}, us"] = report["p999"]


def _nodes(count):
    return "1 node" if count == 1 else f"{count:,} nodes"


def bare_rows(server):
    rows = {}
    for clients in CLIENTS:
        _ask(rows, server, "node0", _with("PORT2, 1 node", clients))
    return rows


def _with(name, clients):
    return name if clients == 1 else f"{name}, {clients} clients"


def rows_at(server, nodes):
    rows = {}
    here = _nodes(nodes)
    server.hold(nodes)
    rows[f"memory of its own, {here}, KB"] = server.memory_kb("Private_Dirty:")
    rows[f"proportional memory, {here}, KB"] = server.memory_kb("Pss:")
    for clients in CLIENTS:
        _ask(rows, server, "node0", _with(f"PORT2, {here}", clients), clients, tail=clients == CLIENTS[-1])
    _ask(rows, server, "nobody", f"PORT2 for an unknown name, {here}")
    _ask(rows, server, "NAMES", f"NAMES, {here}")
    _ask(rows, server, "ALIVE2", f"ALIVE2 and its end, {here}")
    return rows


def epmd_rows(server, most_nodes):
    """All rows of one epmd that was just started."""
    rows = {}
    rows["proportional memory, no node, KB"] = server.memory_kb("Pss:")
    for nodes in (*NODES, most_nodes):
        if nodes <= most_nodes:
            rows.update(rows_at(server, nodes))
    return rows


def storm_rows(server):
    report = server.storm(STORM)
    return {STORM_TIME: report["took"] / 1000, STORM_LOST: report["failed"]}


def program_rows(binary):
    return {"start, from -daemon to the first answer, ms": start_ms(binary), "size of the program, KB": size_kb(binary)}
