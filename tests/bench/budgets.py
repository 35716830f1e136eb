"""The bars that the project has set itself, and how far each is reached."""

from .rows import STOCK_NODES_MAX

FEW_SYSCALLS = "CPU per PORT2, 1 node, us"
MANY_NODES = f"CPU per PORT2, {STOCK_NODES_MAX:,} nodes, us"
START = "start, from -daemon to the first answer, ms"
MEMORY = "memory of its own, 1 node, KB"


def budgets(figures, most_nodes):
    """(what, bar, value, unit) for each; value None where it was not measured."""
    most = f"CPU per PORT2, {most_nodes:,} nodes, us"
    per_node = None
    few, many = figures.median("static", MEMORY), figures.median("static", f"memory of its own, {most_nodes:,} nodes, KB")
    if few is not None and many is not None:
        per_node = (many - few) * 1024 / (most_nodes - 1)
    return [
        ("CPU per PORT2, 1 node, of stock's", 0.8, figures.ratio(FEW_SYSCALLS, "static", "stock"), "x"),
        ("CPU per PORT2, 1,000 nodes, of stock's", 0.06, figures.ratio(MANY_NODES, "static", "stock"), "x"),
        ("CPU per PORT2, of a bare server's on the same loop", 1.25, figures.ratio(FEW_SYSCALLS, "shared", "bare"), "x"),
        (f"CPU per PORT2, {most_nodes:,} nodes, of that with one", 1.25,
         figures.ratio(most, "static", "static", FEW_SYSCALLS), "x"),
        ("start, of stock's", 1.0, figures.ratio(START, "static", "stock"), "x"),
        ("memory of its own, discovery off", 300, few, "KB"),
        ("memory of a registered node", 1024, per_node, "bytes"),
        ("size of the program", 4096, figures.median("static", "size of the program, KB"), "KB"),
    ]


def text(judged):
    lines = []
    for what, bar, value, unit in judged:
        verdict = "not measured" if value is None else "met" if value <= bar else "MISSED"
        shown = "-" if value is None else f"{value:.2f}" if unit == "x" else f"{value:,.0f}"
        lines.append(f"{what:52} {shown:>8} {unit:5}  bar {bar:g}: {verdict}")
    return "\n".join(lines)
