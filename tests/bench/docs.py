"""The figures as tables of README.md and ARCHITECTURE.md, each between two marks that say so."""

import pathlib

from . import budgets, discovery, join, latency, rows

TOP = pathlib.Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- begin: scripts/bench --readme -->", "<!-- end: scripts/bench --readme -->"


def between_marks(text, table):
    """`text` with `table` between its marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no {BEGIN} with {END} behind it")
    return f"{before}{begin}\n{table}\n{end}{after}"


def _table(head, lines):
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *lines))


def _shown(value, unit):
    if value is None:
        return "-"
    return f"{value:,.0f} {unit}" if value >= 100 or unit == "bytes" else f"{value:.1f} {unit}"


def _beside_stock(figures, most_nodes):
    wanted = [(f"a lookup's CPU time, {rows.nodes_text(nodes)}", rows.port2(nodes)) for nodes in (1, 1000, most_nodes)]
    wanted += [("the same by 256 clients at once, 1 node", rows.port2(1, rows.CLIENTS[-1])),
               ("the slowest of 1,000 such lookups", rows.tail(1)),
               ("a list of names, 1,000 nodes", rows.names(1000)),
               ("the same, and a registration and its end before it", rows.change(1000)),
               ("memory of its own, 1 node", rows.memory(1)), ("memory of its own, 1,000 nodes", rows.memory(1000)),
               ("10,000 connections at once, all answered after", rows.STORM_TIME),
               ("start, to the first answer", rows.START), ("size of the program", rows.SIZE)]
    for what, row in wanted:
        unit = row.rsplit(", ", 1)[1]
        stock, ours = figures.median("stock", row), figures.median("static", row)
        ratio = figures.ratio(row, "static", "stock")
        gone = figures.median("stock", rows.STORM_LOST) if row == rows.STORM_TIME else None
        yield [what, _shown(stock, unit) + (f", but {gone:,.0f} never" if gone else ""), _shown(ours, unit),
               "-" if ratio is None else f"{ratio:.2f}x"]


def _alone(own):
    starts = [own.median("kepmd", join.row(size)) for size in join.SIZES]
    if None not in starts:
        yield [f"a node starts beside {', '.join(f'{size - 1}' for size in join.SIZES)} others, and sees them all after",
               ", ".join(f"{value:,.0f} ms" for value in starts)]
    for what, row, unit in (
            ("a change at the API server is in the registry (median)", latency.row("the registry", "median"), "ms"),
            ("... later than somebody sees it who only reads the watch (99 of 100)", latency.BEYOND, "ms"),
            ("requests to the API server at rest, an hour", discovery.REQUESTS, ""),
            (f"a LIST of {discovery.MANY:,} endpoints, CPU time", discovery.LIST_CPU, "ms"),
            ("an event, of a slice of 100 endpoints, CPU time", discovery.EVENT_CPU, "ms"),
            (f"memory of its own with {discovery.FEW:,} peers", discovery.MEMORY, "MB")):
        value = own.median("kepmd", row)
        if value is not None:
            yield [what, _shown(value, unit).strip()]


def readme_table(figures, own, most_nodes, made):
    return "\n\n".join([_table(["", "stock", "kepmd", ""], _beside_stock(figures, most_nodes)),
                        _table(["", "kepmd"], _alone(own)), made])


def budget_table(judged, made):
    lines = [[what, f"{bar:g} {unit}".strip(), f"{budgets.shown(value, unit)} {unit}".strip(), verdict]
             for what, bar, value, unit, verdict in judged]
    return _table(["", "bar", "measured", ""], lines) + "\n\n" + made


def write(figures, own, judged, most_nodes, made):
    for file, table in (("README.md", readme_table(figures, own, most_nodes, made)),
                        ("ARCHITECTURE.md", budget_table(judged, made))):
        page = TOP / file
        page.write_text(between_marks(page.read_text(encoding="utf-8"), table), encoding="utf-8")
