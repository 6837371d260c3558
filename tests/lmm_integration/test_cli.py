"""The `mmdp` command: what it prints, and how it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import mmdp
from lmm_integration.cli import app
from lmm_integration.commands.solve import kept_map
from mmdp.instances import Instance, load, save_tokens

TINY = "gaussian/20x4/0"
SMALL_GAP = ["gap", "--tokens", TINY, "--k", "3", "--methods", "greedy,brute_force", "--jobs", "1"]


def run(*arguments: str) -> Result:
    """The command in this process."""
    return CliRunner().invoke(app, list(arguments), prog_name="mmdp")


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Code in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def strict(text: str) -> dict:
    """The one JSON object that the text is; anything around it, and NaN or Infinity inside, fails the test."""
    value = json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    assert isinstance(value, dict)
    return value


def test_help_lists_the_commands():
    """`mmdp` and `mmdp --help` print the same help and succeed."""
    bare, asked = run(), run("--help")
    assert (bare.exit_code, asked.exit_code) == (0, 0)
    assert bare.stdout.strip() == asked.stdout.strip()
    for command in ("solve", "check", "gap", "demo", "instances", "conform", "version"):
        assert f"\n  {command} " in asked.stdout


def test_solve_prints_what_was_found_and_what_is_proved():
    """The human summary has value, bound, gap, status, seconds and indices; no map where there is no terminal."""
    result = run("solve", TINY, "--k", "3", "--method", "brute_force")
    assert result.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    problem = load(TINY).problem("max-min", 3)
    indices = [int(i) for i in lines["indices"].split()]
    assert float(lines["value"]) == pytest.approx(problem.value(indices), rel=1e-5)
    assert lines["bound"] == lines["value"]
    assert lines["gap"] == "0 %"
    assert lines["status"] == "optimal (proved optimal)"
    assert lines["solver"] == "brute_force:naive"
    assert float(lines["seconds"]) >= 0
    assert "■" not in result.stdout


def test_solve_says_when_nothing_is_proved():
    """A greedy answer is bounded cheaply, with a certificate; without that the summary says that nothing is proved."""
    greedy = ("solve", TINY, "--k", "3", "--method", "greedy", "--objective", "conditional-dpp")
    bare = run(*greedy, "--bound", "none")
    assert "nothing proved" in bare.stdout
    assert "not proved optimal" in bare.stdout
    assert "(certificate: ddfact)" in run(*greedy).stdout
    refused = run(*greedy, "--bound", "tight")
    assert refused.exit_code == 2
    assert refused.stderr == "mmdp: bound must be one of none, cheap, full, got 'tight'\n"


def test_solve_json_is_one_object():
    """With --json stdout is one strict JSON object; an infinite bound is null."""
    result = run("solve", TINY, "--k", "3", "--method", "greedy", "--bound", "none", "--seed", "5", "--json")
    answer = strict(result.stdout)
    assert result.stderr == ""
    assert (answer["instance"], answer["objective"], answer["n"], answer["k"]) == (TINY, "max-min", 20, 3)
    assert answer["value"] == load(TINY).problem("max-min", 3).value(answer["indices"])
    assert answer["bound"] is None
    assert answer["proved"] is False


def test_solve_takes_files_and_their_budget(tmp_path):
    """A token file is an instance; its own k is the default budget, and 64 (or n) where it has none."""
    features = np.random.default_rng(0).normal(size=(10, 3))
    save_tokens(Instance("mine", features=features, k=4), tmp_path / "own.safetensors")
    save_tokens(Instance("mine", features=features), tmp_path / "none.safetensors")
    for name, k in (("own", 4), ("none", 10)):
        answer = strict(run("solve", str(tmp_path / f"{name}.safetensors"), "--method", "greedy", "--json").stdout)
        assert (answer["instance"], answer["k"], len(answer["indices"])) == ("mine", k, k)


def test_the_kept_map_has_one_mark_per_patch():
    """The map is rows x columns, with a filled mark exactly at the kept patches."""
    lines = kept_map((24, 24), [0, 25, 575]).splitlines()
    assert [len(line.split()) for line in lines] == [24] * 24
    marks = [i for i, mark in enumerate(" ".join(lines).split()) if mark == "■"]
    assert marks == [0, 25, 575]


def test_a_terminal_gets_the_kept_map():
    """On a terminal the summary of an instance with a grid ends with 24 rows of 24 marks, k of them filled."""
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "lmm_integration",
        "solve",
        "photo/astronaut/pca",
        "--k",
        "16",
        "--method",
        "greedy",
    ]
    with subprocess.Popen(command, stdout=slave, stderr=subprocess.DEVNULL) as process:
        os.close(slave)
        shown = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            shown += piece
        assert process.wait(timeout=60) == 0
    os.close(master)
    rows = [line for line in shown.decode().splitlines() if line.startswith(("■", "·"))]
    assert len(rows) == 24
    assert "".join(rows).count("■") == 16


def test_instances_lists_every_family():
    """The list names each family with names that can be loaded, as text and as JSON."""
    families = strict(run("instances", "--json").stdout)["families"]
    assert {"photo", "gaussian", "mdplib", "tight"} <= {family["pattern"].split("/")[0] for family in families}
    text = run("instances").stdout
    for family in families:
        assert family["pattern"] in text
        assert load(family["examples"][0]).n > 0


def test_version_names_what_is_installed_without_importing_it():
    """Versions come from the package metadata: torch and transformers are named, but not loaded."""
    facts = strict(run("version", "--json").stdout)
    assert facts["mmdp"] == mmdp.__version__
    assert facts["packages"]["numpy"] == np.__version__
    assert facts["cpu_count"] == os.cpu_count()
    assert f"numpy         {np.__version__}" in run("version").stdout
    code = "import sys; from lmm_integration.cli import app\ntry: app(['version'])\nfinally: print(sorted(sys.modules))"
    loaded = python(code).stdout
    assert "'torch'" not in loaded
    assert "'ortools'" not in loaded


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["solv"], "No such command 'solv'"),
        (["solve"], "Missing argument"),
        (["solve", TINY, "--nope"], "No such option"),
        (["solve", TINY, "--k", "three"], "'--k': must be a whole number >= 0, got 'three'"),
        (["solve", TINY, "--k", "21"], "k must be between 0 and n = 20, got 21"),
        (["solve", TINY, "--method", "gredy"], "unknown method 'gredy'; did you mean 'greedy'?"),
        (["solve", TINY, "--objective", "maxmin"], "unknown objective 'maxmin'"),
        (["solve", TINY, "--backend", "quantum"], "'quantum'"),
        (["solve", TINY, "--time-limit", "-1"], "must be a finite number of seconds >= 0, got '-1'"),
        (["solve", "gausian/20x4"], "unknown instance 'gausian/20x4'; did you mean"),
        (["solve", "missing.safetensors"], "no token file at missing.safetensors"),
        (["solve", "missing.txt"], "missing.txt"),
        ([*SMALL_GAP, "--methods", "gredy"], "unknown method 'gredy'; did you mean 'greedy'?"),
        ([*SMALL_GAP, "--objectives", "max-mn"], "unknown objective 'max-mn'; did you mean 'max-min'?"),
        ([*SMALL_GAP, "--tokens", "gausian/20x4/0"], "unknown instance"),
        ([*SMALL_GAP, "--tokens", f"{TINY},,"], "without empty entries"),
        ([*SMALL_GAP, "--k", "3,x"], "--k must be a comma-separated list of whole numbers, got '3,x'"),
        ([*SMALL_GAP, "--k", "3,21"], "k must be between 0 and n = 20"),
        ([*SMALL_GAP, "--jobs", "0"], "'--jobs': must be a whole number >= 1, got '0'"),
        ([*SMALL_GAP, "--time-limit", "nan"], "must be a finite number of seconds >= 0, got 'nan'"),
        ([*SMALL_GAP, "--resume"], "--resume needs --out"),
        (["demo"], "Missing option '--out'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message):
    """Whatever is wrong is said in one line on stderr, with the value; stdout stays empty, even with usage errors."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("mmdp: ")
    assert message in result.stderr


def test_a_corrupt_token_file_is_one_line(tmp_path):
    """A file that is not what its name says is refused by name, without a traceback."""
    (tmp_path / "torn.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00not a header")
    (tmp_path / "torn.txt").write_text("3 2\n0 1 far\n")
    for name in ("torn.safetensors", "torn.txt"):
        result = run("solve", str(tmp_path / name))
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        assert name in result.stderr


def test_an_unwritable_folder_is_one_line(tmp_path):
    """A folder that cannot be made (here: below a file) is refused by name before anything runs."""
    (tmp_path / "file").touch()
    result = run(*SMALL_GAP, "--out", str(tmp_path / "file" / "study"))
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert str(tmp_path / "file") in result.stderr


def test_a_missing_extra_is_one_line(monkeypatch, tmp_path):
    """Without matplotlib the demo names the pip command before it runs anything."""
    monkeypatch.setattr("lmm_integration.commands.demo.find_spec", lambda name: None)
    result = run("demo", "--quick", "--out", str(tmp_path / "demo"))
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "pip install 'mmdp[report]'" in result.stderr
    assert not (tmp_path / "demo").exists()


def test_the_installed_script_refuses_alike():
    """The entry point of the package, in a process of its own: exit code 2, one line, no traceback."""
    done = python("from lmm_integration.cli import main; main()", "solve", TINY, "--k", "99")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "mmdp: k must be between 0 and n = 20, got 99\n"


def test_gap_loads_neither_models_nor_plots():
    """`mmdp gap` runs without transformers, torch or matplotlib, and the command line itself without numpy."""
    code = (
        "import sys\nfrom lmm_integration.cli import app\nassert 'numpy' not in sys.modules\n"
        f"try: app({SMALL_GAP!r} + ['--json'])\nfinally: print(sorted(sys.modules), file=sys.stderr)"
    )
    done = python(code)
    assert done.returncode == 0
    assert len(strict(done.stdout)["records"]) == 9
    for package in ("torch", "transformers", "matplotlib"):
        assert f"'{package}'" not in done.stderr


def test_the_lazy_package_imports_nothing():
    """`import lmm_integration` loads neither its own parts nor numpy; its names come when they are asked for."""
    code = (
        "import sys, lmm_integration as lmm\n"
        "assert not {'numpy', 'typer', 'matplotlib'} & set(sys.modules)\n"
        "assert set(lmm.__all__) <= set(dir(lmm)) and all(callable(getattr(lmm, name)) for name in lmm.__all__)\n"
        "try: lmm.nothing\nexcept AttributeError as error: print(error)"
    )
    done = python(code)
    assert "has no attribute 'nothing'" in done.stdout, done.stderr


def test_the_catalog_of_extras_is_told(monkeypatch):
    """An ImportError from a solver reaches the user as its one line with the pip command."""
    from solvers.solver import Solver

    monkeypatch.setattr(Solver, "missing", "torch")
    monkeypatch.setattr(Solver, "extra", "torch", raising=False)
    result = run("solve", TINY, "--k", "3", "--method", "random")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "needs torch: pip install" in result.stderr


def test_no_file_is_written_without_out(tmp_path, monkeypatch):
    """Without --out nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    assert run(*SMALL_GAP).exit_code == 0
    assert list(Path(tmp_path).iterdir()) == []
