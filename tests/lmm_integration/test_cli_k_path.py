"""`mmdp gap --k-path`."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from lmm_integration.cli import app
from lmm_integration.commands.k_path import ROWS, spread

TOKENS = ("--tokens", "gaussian/14x4/0,gaussian/14x4/1")


def run(*arguments: object) -> Result:
    """The command in this process."""
    return CliRunner().invoke(app, ["gap", "--k-path", *map(str, arguments)], prog_name="mmdp")


def test_every_budget_in_a_table():
    """One table per instance and objective; what ran is said on stderr."""
    result = run(*TOKENS, "--objectives", "max-min")
    assert result.exit_code == 0
    assert result.stderr.count("max-min farthest_first") == 2
    first = result.stdout.split("gaussian/14x4/1")[0]
    budgets = [line.split()[0] for line in first.splitlines() if line.strip().endswith("%")]
    assert budgets == [str(k) for k in range(1, 15)]


def test_json_and_files(tmp_path):
    """The same paths on stdout and in the folder, and a picture."""
    pytest.importorskip("matplotlib")
    result = run(*TOKENS, "--k", "2,4,9", "--out", tmp_path / "new", "--json")
    assert result.exit_code == 0
    paths = json.loads(result.stdout)["paths"]
    assert json.loads((tmp_path / "new" / "k_path.json").read_text()) == {"paths": paths}
    assert (tmp_path / "new" / "k_path.png").read_bytes().startswith(b"\x89PNG")
    assert [(p["instance"], p["objective"]) for p in paths][:2] == [
        ("gaussian/14x4/0", "max-min"),
        ("gaussian/14x4/0", "conditional-dpp"),
    ]
    for path in paths:
        assert [entry["k"] for entry in path["path"]] == [2, 4, 9]
        assert all(entry["value"] is None or entry["gap"] >= 0 for entry in path["path"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--resume", "--out", "somewhere"), "--k-path has nothing to resume"),
        (("--methods", "exact"), "has no order of picks"),
        (("--objectives", "best"), "unknown objective 'best'"),
        (("--k", "15"), "k must be between 0 and n = 14, got 15"),
    ],
)
def test_what_it_refuses(options, message):
    """One line, exit status 2."""
    result = run(*TOKENS, *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_long_table_is_thinned_out():
    """At most 24 rows, the ends among them."""
    rows = spread(range(1, 577))
    assert len(rows) <= ROWS
    assert (rows[0], rows[-1]) == (0, 575)
