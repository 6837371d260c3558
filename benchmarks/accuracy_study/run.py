"""All pictures and budgets of a tower, side by side, resumed after an interruption."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.accuracy_study import design
from benchmarks.accuracy_study.records import FOLDER, Record, committed, line_of, read_records, write_committed
from lmm_integration import tiny
from lmm_integration.json_lines import drop_torn_line
from solvers.environment import environment

RUN = "run.json"
Cell = tuple[int, int, tuple[str, ...]]  # image, k, families


def plan(images: int) -> list[Cell]:
    """Budget by budget, those of the first `images` images."""
    return [(image, k, design.families_of(image, k)) for k, which in design.PLAN for image in which if image < images]


def run_study(tower: str, out: Path, jobs: int, minutes: float, images: int) -> list[Record]:
    """Measure what is missing, write each record as it comes, and commit what there is; returns all records.

    Committed records of other weights stay until there are as many of these.

    Raises
    ------
    ValueError : a tower whose weights are not there.
    """
    folder = tiny.folder(tower)
    path = out / f"{tower}-{digest_of(folder)}.jsonl"  # a model trained anew is asked anew
    out.mkdir(parents=True, exist_ok=True)
    drop_torn_line(path)
    done = read_records(path)
    have = {(record.image, record.k) for record in done}
    if _machines().get(tower, {}).get("weights") == digest_of(folder):
        others = [record for record in read_records(committed(tower)) if (record.image, record.k) not in have]
        with path.open("a", encoding="utf-8") as file:
            file.writelines(map(line_of, others))
        done += others
        have |= {(record.image, record.k) for record in others}
    missing = [cell for cell in plan(images) if cell[:2] not in have]
    started = time.monotonic()
    try:
        with path.open("a", encoding="utf-8") as file:
            for count, record in enumerate(_measured(folder, missing, jobs), start=1):
                file.write(line_of(record))
                file.flush()
                done.append(record)
                spent = (time.monotonic() - started) / 60
                if count % 10 == 0 or count == len(missing):
                    print(f"{tower}: {len(have) + count} of {len(have) + len(missing)}, {spent:.1f} min", flush=True)
                if spent > minutes:
                    print("stopped; the next call goes on from here")
                    break
    except KeyboardInterrupt:
        print("stopped; the next call goes on from here")
    if _machines().get(tower, {}).get("weights") != digest_of(folder) and len(done) < len(
        read_records(committed(tower))
    ):
        print(f"{committed(tower)} has more records, of other weights, and stays; these are in {path}")
        return done
    write_committed(tower, done)
    _note_machine(tower, digest_of(folder), done)
    return done


def digest_of(folder: Path) -> str:
    """Of the weights."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:12]


def _measured(folder: Path, cells: list[Cell], jobs: int) -> Iterable[Record]:
    from joblib import Parallel, delayed

    work = Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch=2 * jobs, batch_size=1)
    yield from work(delayed(_measure)(folder, *cell) for cell in cells)


def _measure(folder: Path, image: int, k: int, families: tuple[str, ...]) -> Record:
    from benchmarks.accuracy_study.measure import measure

    return measure(_decoder(folder), image, k, families)


@functools.lru_cache(maxsize=1)
def _decoder(folder: Path):  # type: ignore[no-untyped-def]
    """Loaded once in every process."""
    import torch

    from benchmarks.accuracy_study.measure import load_decoder

    torch.set_num_threads(1)
    return load_decoder(folder)


def _note_machine(tower: str, digest: str, done: list[Record]) -> None:
    """Keep date, machine and versions beside the data, and the seconds of one core."""
    facts = _machines()
    facts[tower] = {
        "finished": datetime.now(UTC).isoformat(timespec="minutes"),
        "weights": digest,
        "core_seconds": round(sum(record.seconds for record in done)),
        **environment(),
    }
    (FOLDER / RUN).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _machines() -> dict[str, dict[str, Any]]:
    path = FOLDER / RUN
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
