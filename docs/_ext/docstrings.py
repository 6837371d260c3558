"""Make the house's docstrings fit for Sphinx, before napoleon reads them.

In a docstring of this package ``k : how many to keep.`` says what a parameter means (its type stands in the signature),
while napoleon takes the text after a colon for the type; and a bar is an absolute value or a norm, while
reStructuredText takes it for a substitution.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.util.inspect import TypeAliasForwardRef

SECTIONS = {"Attributes", "Parameters", "Other Parameters", "Raises", "Returns", "Yields"}
LITERAL = re.compile(r"(``.+?``|`[^`]+`)")
COLON = "\ue000"  # stands for a colon while napoleon reads


def describe_fields(lines: list[str], returns: str) -> list[str]:
    """Turn ``name : text`` into ``name`` above an indented ``text`` inside the sections that list fields.

    What is returned may be a plain sentence; it is set under the annotation `returns`.
    """
    out: list[str] = []
    section = ""
    for number, line in enumerate(lines):
        underline = lines[number + 1].strip() if number + 1 < len(lines) else ""
        is_head = bool(underline) and set(underline) == {"-"}
        if is_head:
            section = line.strip() if line.strip() in SECTIONS else ""
        field = re.match(r"(\S[^:]*?) : (.+)", line)
        if section and field:
            # in a list of attributes a blank would split the names
            name = field[1].replace(", ", ",") if section == "Attributes" else field[1]
            out += [name, "    " + field[2]]
            continue
        if section == "Returns" and set(line.strip()) == {"-"} and " : " not in underline:
            out += [line, returns]
            section = "Returns, a sentence"
            continue
        if section == "Returns, a sentence" and line[:1].strip() and not is_head:
            out.append("    " + line)
            continue
        if section and not is_head and line[:1].strip() and number and not lines[number - 1].strip():
            out += ["Notes", "-----"]  # a paragraph behind the fields would otherwise be taken for another field
            section = ""
        out.append(line)
    return out


def escape_bars(lines: list[str]) -> list[str]:
    """Write a backslash before each bar outside literals and doctests."""
    out: list[str] = []
    doctest = False
    for line in lines:
        doctest = line.lstrip().startswith(">>>") or (doctest and bool(line.strip()))
        if doctest:
            out.append(line)
        else:
            parts = LITERAL.split(line)
            out.append("".join(part if place % 2 else part.replace("|", r"\|") for place, part in enumerate(parts)))
    return out


def before_napoleon(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite fields and bars; hide the colons of attributes, before which napoleon would expect a type."""
    returns = getattr(obj, "__annotations__", {}).get("return", "result")
    lines[:] = escape_bars(describe_fields(lines, str(returns)))
    if what in ("attribute", "property"):
        lines[:] = [line.replace(":", COLON) for line in lines]


def after_napoleon(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Put the colons back."""
    lines[:] = [line.replace(COLON, ":") for line in lines]


def shorten(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Write the default of a dataclass factory so that Sphinx can parse and wrap the signature."""
    return (signature.replace("<factory>", "...") if signature else signature), returns


def setup(app: Any) -> dict[str, bool]:
    """Napoleon's listener has priority 500."""
    TypeAliasForwardRef.__repr__ = lambda alias: alias.name  # type: ignore[method-assign]  # inside unions and tuples
    app.connect("autodoc-process-docstring", before_napoleon, priority=400)
    app.connect("autodoc-process-docstring", after_napoleon, priority=600)
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True}
