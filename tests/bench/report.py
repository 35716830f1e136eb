"""Rounds of figures as a table in text or Markdown, as JSON, and as a plot."""

import json
import statistics


class Figures:
    """{server: {row: [values]}}, in the order of their coming; a value is None where it could not be measured."""

    def __init__(self):
        self.servers = {}

    def add(self, server, rows):
        for row, value in rows.items():
            self.servers.setdefault(server, {}).setdefault(row, []).append(value)

    def add_all(self, server, rows):
        """Rows that have all of their values."""
        self.servers.setdefault(server, {}).update(rows)

    def rows(self):
        return list(dict.fromkeys(row for rows in self.servers.values() for row in rows))

    def median(self, server, row):
        values = self.values(server, row)
        return statistics.median(values) if values else None

    def values(self, server, row):
        return [value for value in self.servers.get(server, {}).get(row, []) if value is not None]

    def ratio(self, row, server, against, against_row=None):
        """The median of those of each burst or round; None where one has no figure, or the other's is 0."""
        pairs = zip(self.servers.get(server, {}).get(row, []), self.servers.get(against, {}).get(against_row or row, []))
        ratios = [mine / theirs for mine, theirs in pairs if mine is not None and theirs]
        return statistics.median(ratios) if ratios else None


def _number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}"


def _cell(values):
    if not values:
        return "-"
    text = _number(statistics.median(values))
    if len(values) > 1:
        text += f" ({_number(min(values))}..{_number(max(values))})"
    return text


def table(figures, servers, against):
    """Medians (lowest..highest); the last columns are ratios of the others against AGAINST, if any."""
    others = [server for server in servers if server != against] if against else []
    head = ["", *servers, *(f"{server}/{against}" for server in others)]
    lines = [head]
    for row in figures.rows():
        ratios = [figures.ratio(row, server, against) for server in others]
        lines.append([row, *(_cell(figures.values(server, row)) for server in servers),
                      *("-" if ratio is None else f"{ratio:.2f}x" for ratio in ratios)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(line[0].ljust(widths[0]) + "".join("  " + cell.rjust(width)
                                                       for cell, width in zip(line[1:], widths[1:]))
                     for line in lines)


def as_json(figures, judged, machine, day):
    """`figures` are those of several; `judged` as budgets.judge gives it."""
    rounds = {server: rows for each in figures for server, rows in each.servers.items()}
    return json.dumps({"day": day, "machine": machine, "rounds": rounds,
                       "budgets": [dict(zip(("what", "bar", "value", "unit", "verdict"), row)) for row in judged]},
                      indent=1) + "\n"


# --- the plot ------------------------------------------------------------------------

BAR, GAP, LEFT, WIDE, TOP = 14, 12, 330, 400, 46
COLOURS = {"stock": "#9aa0a6", "ours": "#2f6f4f"}


def plot(figures, rows, ours, against, title):
    """Two bars for each of ROWS, in figures of its own: the longer one fills the width."""
    parts, y = [], TOP
    for row in rows:
        pair = [("stock", figures.median(against, row)), ("ours", figures.median(ours, row))]
        most = max((value for _, value in pair if value), default=1)
        name, unit = row.rsplit(", ", 1)
        parts.append(f'<text x="{LEFT - 10}" y="{y + BAR + 4}" text-anchor="end">{name}</text>')
        for who, value in pair:
            length = 0 if value is None else max(1, value / most * WIDE)
            label = f"{who} does not get so far" if value is None else f"{_number(value)} {unit}"
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.0f}" height="{BAR - 2}" fill="{COLOURS[who]}"/>'
                         f'<text x="{LEFT + length + 6:.0f}" y="{y + BAR - 4}">{label}</text>')
            y += BAR
        y += GAP
    legend = (f'<rect x="{LEFT}" y="26" width="10" height="10" fill="{COLOURS["stock"]}"/><text x="{LEFT + 15}" y="35">'
              f'stock epmd</text><rect x="{LEFT + 100}" y="26" width="10" height="10" fill="{COLOURS["ours"]}"/>'
              f'<text x="{LEFT + 115}" y="35">kepmd, static</text>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDE + 130}" height="{y}" '
            f'font-family="sans-serif" font-size="12" fill="#202124">\n'
            f'<rect width="100%" height="100%" fill="#ffffff"/>\n<text x="10" y="16" font-weight="bold">{title}</text>\n'
            + legend + "\n" + "\n".join(parts) + "\n</svg>\n")
