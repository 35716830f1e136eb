"""The bars that the project has set itself, and how far each is reached."""

from . import discovery, latency, rows


def _per_node(figures, most_nodes):
    few, many = figures.median("static", rows.memory(1)), figures.median("static", rows.memory(most_nodes))
    return None if few is None or many is None else (many - few) * 1024 / (most_nodes - 1)


def _of_requests(figures, most_nodes):
    one, many, most = rows.port2(1), rows.port2(rows.STOCK_NODES_MAX), rows.port2(most_nodes)
    return [
        ("CPU per PORT2, 1 node, of stock's", 0.8, figures.ratio(one, "static", "stock"), "x"),
        ("CPU per PORT2, 1,000 nodes, of stock's", 0.06, figures.ratio(many, "static", "stock"), "x"),
        ("CPU per PORT2, of a bare server's on the same loop", 1.25, figures.ratio(one, "shared", rows.BARE), "x"),
        (f"CPU per PORT2, {most_nodes:,} nodes, of that with one", 1.25, figures.ratio(most, "static", "static", one), "x"),
        ("start, of stock's", 1.0, figures.ratio(rows.START, "static", "stock"), "x"),
        ("memory of its own, discovery off", 300, figures.median("static", rows.memory(1)), "KB"),
        ("memory of a registered node", 1024, _per_node(figures, most_nodes), "bytes"),
        ("size of the program", 4096, figures.median("static", rows.SIZE), "KB"),
    ]


def _of_discovery(own):
    bars = [(discovery.MEMORY, 6, "MB"), (discovery.MEMORY_LATER, 6, "MB"), (discovery.LIST_CPU, 150, "ms"),
            (discovery.EVENT_CPU, 2, "ms"), (discovery.LIST_WAIT, 5, "ms"), (latency.BEYOND, 20, "ms"), (discovery.REQUESTS, 6, "")]
    return [(row.removesuffix(f", {unit}") if unit else row, bar, own.median("kepmd", row), unit)
            for row, bar, unit in bars]


def judge(figures, own, most_nodes):
    """(what, bar, value, unit, verdict) for each; value None where it was not measured."""
    return [(what, bar, value, unit, "not measured" if value is None else "met" if value <= bar else "MISSED")
            for what, bar, value, unit in [*_of_requests(figures, most_nodes), *_of_discovery(own)]]


def shown(value, unit):
    return "-" if value is None else f"{value:,.0f}" if unit in ("KB", "bytes") else f"{value:.2f}"


def text(judged):
    width = max(len(what) for what, *_ in judged)
    lines = []
    for what, bar, value, unit, verdict in judged:
        lines.append(f"{what:{width}} {shown(value, unit):>8} {unit:5}  bar {bar:g}: {verdict}")
    return "\n".join(lines)
