"""Every source that the code or a page cites stands in the bibliography, once."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
CITED = re.compile(r"(?::cite:\w+:|\{cite:\w+\})`([^`]+)`")


def bibliography() -> Counter[str]:
    """How often each key is defined."""
    text = (ROOT / "docs" / "references.bib").read_text(encoding="utf-8")
    return Counter(re.findall(r"^@\w+\{([^,\s]+),", text, re.MULTILINE))


def test_no_key_is_defined_twice() -> None:
    """A key names one source."""
    assert [key for key, count in bibliography().items() if count > 1] == []


def test_every_citation_has_an_entry() -> None:
    """A reader can look up every source named in a docstring or on a page."""
    known = bibliography()
    packages = [path for name in ("mmdp", "solvers", "lmm_integration") for path in (ROOT / name).rglob("*.py")]
    pages = [path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts]
    missing = {
        (str(path.relative_to(ROOT)), key.strip())
        for path in [*packages, *pages]
        for keys in CITED.findall(path.read_text(encoding="utf-8"))
        for key in keys.split(",")
        if key.strip() not in known
    }
    assert missing == set()
