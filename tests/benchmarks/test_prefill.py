"""The page of the prefill benchmark says what its results hold."""

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from benchmarks.prefill import METHODS, PAGE, RESULTS, page


def test_the_page_is_written_from_the_results():
    """Every method once, the unpruned model first, each beside its operations and its cache."""
    data = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert PAGE.read_text(encoding="utf-8") == page(data)
    assert [row["method"] for row in data["records"]] == list(METHODS)
    unpruned, *pruned = data["records"]
    assert unpruned["ratio"] == unpruned["flops_ratio"] == 1
    assert all(row["flops_ratio"] < 1 and row["kv_bytes"] < unpruned["kv_bytes"] for row in pruned)


def test_on_a_gpu_the_peak_of_memory_stands_beside_it():
    data = json.loads(RESULTS.read_text(encoding="utf-8"))
    data |= {"device": "an accelerator", "records": [row | {"peak_bytes": 3 * 2**20} for row in data["records"]]}
    lines = page(data).splitlines()
    assert "on an accelerator" in lines[0]
    assert "wall clock" in lines[0]
    assert all(line.endswith("| 3 MiB |") for line in lines[4:])
