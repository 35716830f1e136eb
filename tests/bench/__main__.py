"""What scripts/bench measures: rounds of stock, bare server, our shared and our static build, in turn."""

import argparse
import datetime
import os
import platform
import sys

from lab.beam import STOCK_ROOT, erts_folder
from lab.built import BuildError, Unavailable, built

from . import budgets, discovery, join, report, rows, servers

MOST_NODES = 20000
PLOTTED = ("CPU per PORT2, 1 node, us", "CPU per PORT2, 1,000 nodes, us", "CPU per NAMES, 1,000 nodes, us",
           "CPU per PORT2, {most:,} nodes, us", "memory of its own, 1 node, KB", "memory of its own, 1,000 nodes, KB",
           "start, from -daemon to the first answer, ms", rows.STORM_TIME, rows.STORM_LOST)


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Our epmd beside stock epmd, measured in turn.")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is started anew (default: 5)")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    parser.add_argument("--svg", metavar="FILE", help="write a plot of the main ones there")
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


def measure_round(figures, name, binary, args, most_nodes):
    print(f"  {name}", file=sys.stderr)
    with servers.Server(binary, args.load) as server:
        figures.add(name, rows.epmd_rows(server, rows.STOCK_NODES_MAX if name == "stock" else most_nodes))
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
        for name, binary in epmds.items():
            measure_round(figures, name, binary, args, most_nodes)
        with servers.Bare(args.bare, args.load) as server:
            figures.add("bare", rows.bare_rows(server))
    own = own_figures(epmds.get("static", args.binary), args.binary)
    judged = budgets.judge(figures, own, most_nodes)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"
    day = datetime.date.today().isoformat()
    print(f"{day}, {machine}; medians (lowest..highest)\n")
    print(report.table(figures, [*epmds, "bare"], "stock"))
    print(f"\nJoining and discovery\n{report.table(own, ['kepmd'], None)}")
    print(f"\nBudgets (static build; the bare server shares its libraries with the shared one)\n{budgets.text(judged)}")
    if args.json:
        with open(args.json, "w", encoding="ascii") as file:
            file.write(report.as_json([figures, own], judged, machine, day))
    if args.svg:
        with open(args.svg, "w", encoding="ascii") as file:
            file.write(report.plot(figures, [row.format(most=most_nodes) for row in PLOTTED], "static", "stock",
                                   f"kepmd beside stock epmd ({machine}, {day})"))


if __name__ == "__main__":
    main()
