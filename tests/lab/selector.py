"""Label and field selectors, as query parameters carry them."""

import re

REQUIREMENT = re.compile(
    r"\s*(?:"
    r"(?P<absent>!)\s*(?P<absent_key>[\w./-]+)"
    r"|(?P<key>[\w./-]+)\s*(?:"
    r"(?P<set>in|notin)\s*\((?P<values>[^)]*)\)"
    r"|(?P<operator>==|=|!=)\s*(?P<value>[\w.-]*)"
    r")?"
    r")\s*(?:,|$)")


def parse_requirement(match):
    """A predicate on a dict of labels."""
    if match["absent"]:
        return lambda labels: match["absent_key"] not in labels
    key = match["key"]
    if match["set"]:
        values = {value.strip() for value in match["values"].split(",")}
        if match["set"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if match["operator"] is None:
        return lambda labels: key in labels
    if match["operator"] == "!=":
        return lambda labels: labels.get(key) != match["value"]
    return lambda labels: labels.get(key) == match["value"]


def parse(text):
    """A predicate for a whole selector; ValueError if it is not one. Empty selects everything."""
    requirements, position = [], 0
    while position < len(text):
        match = REQUIREMENT.match(text, position)
        if not match or match.end() == position:
            raise ValueError(f"unable to parse requirement: {text!r}")
        requirements.append(parse_requirement(match))
        position = match.end()
    return lambda labels: all(holds(labels) for holds in requirements)


def for_objects(label_selector, field_selector):
    """A predicate on objects; fields are metadata.name and metadata.namespace, as for any kind."""
    by_label, by_field = parse(label_selector), parse(field_selector)

    def selects(thing):
        metadata = thing["metadata"]
        fields = {"metadata.name": metadata["name"], "metadata.namespace": metadata["namespace"]}
        return by_label(metadata.get("labels") or {}) and by_field(fields)

    return selects
