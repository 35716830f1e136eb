"""What scripts/bench measures: rounds of stock, our static and shared build and a bare server, side by side."""

import argparse
import contextlib
import datetime
import os
import platform
import sys

from lab.beam import STOCK_ROOT, erts_folder
from lab.built import BuildError, Unavailable, built

from . import budgets, discovery, docs, join, report, rows, servers

MOST_NODES = 20000


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Our epmd beside stock epmd, measured in turn.")
    parser.add_argument("--rounds", type=int, default=1, help="how often each is started anew (default: 1)")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    parser.add_argument("--svg", metavar="FILE", help="write a plot of the main ones there")
    parser.add_argument("--readme", action="store_true", help="write the main ones into README.md, "
                        "and the budgets into ARCHITECTURE.md")
    parser.add_argument("binary", help=argparse.SUPPRESS)
    parser.add_argument("bare", help=argparse.SUPPRESS)
    parser.add_argument("load", help=argparse.SUPPRESS)
    return parser.parse_args()


def static_epmd():
    try:
        return str(built("build-static"))
    except (Unavailable, BuildError) as reason:
        print(f"without the static build: {reason}", file=sys.stderr)
        return None


def plotted(most_nodes):
    return (rows.port2(1), rows.port2(rows.STOCK_NODES_MAX), rows.port2(most_nodes), rows.names(rows.STOCK_NODES_MAX),
            rows.memory(1), rows.memory(rows.STOCK_NODES_MAX), rows.START, rows.STORM_TIME, rows.STORM_LOST)


def measure_round(figures, epmds, args, most_nodes):
    print("  requests", file=sys.stderr)
    with contextlib.ExitStack() as stack:
        started = {name: stack.enter_context(servers.Server(binary, args.load)) for name, binary in epmds.items()}
        rows.add_requests(figures, started, stack.enter_context(servers.Bare(args.bare, args.load)), most_nodes)
    print("  storms and starts", file=sys.stderr)
    for name, binary in epmds.items():
        with servers.Server(binary, args.load) as server:
            figures.add(name, rows.storm_rows(server))
        figures.add(name, rows.program_rows(binary))


def own_figures(binary, shared):
    """What stock has no row for."""
    figures = report.Figures()
    reason = join.unavailable()
    if reason:
        print(f"without joining: {reason}", file=sys.stderr)
    else:
        print("joining", file=sys.stderr)
        figures.add_all("kepmd", join.rows(binary))
    print("discovery", file=sys.stderr)
    figures.add_all("kepmd", discovery.rows(binary, shared))
    return figures


def main():
    args = arguments()
    most_nodes = min(MOST_NODES, servers.raise_descriptor_limit())
    epmds = {"stock": f"{STOCK_ROOT}/{erts_folder()}/bin/epmd", "static": static_epmd(), "shared": args.binary}
    epmds = {name: binary for name, binary in epmds.items() if binary}
    figures = report.Figures()
    for number in range(args.rounds):
        print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
        measure_round(figures, epmds, args, most_nodes)
    own = own_figures(epmds.get("static", args.binary), args.binary)
    judged = budgets.judge(figures, own, most_nodes)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"
    day = datetime.date.today().isoformat()
    print(f"{day}, {machine}; medians (lowest..highest); ratios are medians of those of each burst\n")
    print(report.table(figures, [*epmds, rows.BARE], "stock"))
    print(f"\nJoining and discovery\n{report.table(own, ['kepmd'], None)}")
    print(f"\nBudgets (static build; the bare server shares its libraries with the shared one)\n{budgets.text(judged)}")
    if args.json:
        with open(args.json, "w", encoding="ascii") as file:
            file.write(report.as_json([figures, own], judged, machine, day))
    if args.svg:
        with open(args.svg, "w", encoding="ascii") as file:
            file.write(report.plot(figures, plotted(most_nodes), "static", "stock",
                                   f"kepmd beside stock epmd ({machine}, {day})"))
    if args.readme:
        made = (f"Medians of {args.rounds * rows.BURSTS} bursts, stock and kepmd (static) in turn, on {day}; {machine}: "
                f"`scripts/bench --rounds {args.rounds}`.")
        docs.write(figures, own, judged, most_nodes, made)


if __name__ == "__main__":
    main()
