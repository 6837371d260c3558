"""Weights on the disk are read without a bar."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers.utils import logging

from lmm_integration.model_files import load_model
from lmm_integration.quiet import without_bars


def test_a_folder_is_read_without_a_bar(llava_folder, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(logging, "_tqdm_active", True)
    loaded = load_model(str(llava_folder), device="cpu")
    loaded.model.save_pretrained(tmp_path)
    loaded.processor.save_pretrained(tmp_path)
    capfd.readouterr()
    type(loaded.model).from_pretrained(tmp_path)
    assert "Loading weights" in capfd.readouterr().err
    load_model(str(tmp_path), device="cpu")
    assert capfd.readouterr().err == ""
    assert logging.is_progress_bar_enabled()


def test_a_download_keeps_its_bar(monkeypatch):
    monkeypatch.setattr(logging, "_tqdm_active", True)
    with without_bars("some/id"):
        assert logging.is_progress_bar_enabled()
