"""`mmdp solve --certificate` and `mmdp check`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from lmm_integration.cli import app
from mmdp.certificates import load
from mmdp.instances import load as instance

TINY = "gaussian/20x4/0"


def run(*arguments: object) -> Result:
    """The command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="mmdp")


def solved(path, *more):
    """A greedy answer in a file."""
    result = run("solve", TINY, "--k", "4", "--method", "greedy", "--certificate", path, *more)
    assert result.exit_code == 0, result.stderr
    return result


@pytest.mark.parametrize("objective", ["max-min", "conditional-dpp", "implicit-weight"])
def test_a_greedy_answer_is_checked(objective, tmp_path):
    """Written, read and verified; the file poses the same problem."""
    path = tmp_path / "a.npz"
    assert solved(path, "--objective", objective).stderr == ""
    problem, selection = load(path)
    assert problem.value(selection.indices) == instance(TINY).problem(objective, 4).value(selection.indices)
    result = run("check", path)
    assert result.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["set"].endswith(": verified")
    assert f"proved by {selection.certificate.kind}" in lines["bound"]
    answer = json.loads(run("check", path, "--json").stdout)
    assert answer["verified"] is True
    assert answer["proved_bound"] == pytest.approx(selection.bound)
    assert answer["certificate"] == selection.certificate.kind


def test_an_optimum_is_said_to_be_one(tmp_path):
    """A gap of zero."""
    path = tmp_path / "a.npz"
    run("solve", TINY, "--k", "20", "--method", "greedy", "--certificate", path)
    assert "gap       0, the set is optimal" in run("check", path).stdout


def test_a_claim_that_does_not_hold_exits_1(tmp_path):
    """One sentence on stderr, nothing on stdout; with --json an object that says the same."""
    path = tmp_path / "a.npz"
    solved(path)
    with np.load(path) as file:
        arrays = dict(file)
    arrays["selection/bound"] = np.asarray((arrays["selection/objective"] + arrays["selection/bound"]) / 2)
    np.savez(path, **arrays)
    result = run("check", path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"mmdp: {path} does not hold: the colouring certificate proves the bound ")
    assert result.stderr.count("\n") == 1
    refused = run("check", path, "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["verified"] is False


def test_a_bound_without_a_certificate_is_not_believed(tmp_path):
    """The solver says that its file proves less than it claims, and the check refuses it."""
    path = tmp_path / "a.npz"
    written = run("solve", TINY, "--k", "5", "--method", "brute_force", "--certificate", path)
    assert written.exit_code == 0
    assert written.stderr == f"mmdp: {path} holds no certificate for the bound: brute_force:naive writes none\n"
    result = run("check", path)
    assert result.exit_code == 1
    assert "comes without a certificate" in result.stderr


def test_an_answer_that_claims_no_bound_is_checked(tmp_path):
    """Its value alone."""
    path = tmp_path / "a.npz"
    assert solved(path, "--bound", "none").stderr == ""
    result = run("check", path)
    assert result.exit_code == 0
    assert "no bound" in result.stdout


def test_a_broken_file_exits_2(tmp_path):
    """A file cut short, another file, no file; and no folder to write to."""
    path = tmp_path / "a.npz"
    solved(path)
    path.write_bytes(path.read_bytes()[:200])
    for name, message in ((path, "damaged"), (tmp_path / "none.npz", "No such file"), (tmp_path, "Is a directory")):
        result = run("check", name)
        assert (result.exit_code, result.stdout) == (2, "")
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
    result = run("solve", TINY, "--certificate", tmp_path / "no" / "a.npz")
    assert (result.exit_code, result.stderr) == (2, f"mmdp: no folder {tmp_path / 'no'} to write a.npz to\n")
