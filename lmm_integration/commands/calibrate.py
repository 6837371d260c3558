"""`mmdp calibrate`: how deep visual tokens are worth processing, measured on a model, for a budget of operations."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmm_integration.commands.arguments import Json, Seed, names, print_json, whole

if TYPE_CHECKING:
    from lmm_integration.evaluate.accuracy.task import Question

TINY = "tiny"


def calibrate(
    model: Annotated[
        str, typer.Option(help="A Hugging Face id; a folder, one without weights is filled at random; or tiny.")
    ],
    budget: Annotated[float, typer.Option(help="Share of the dense operations of the prefill, in (0, 1].")],
    out: Annotated[
        Path, typer.Option(help="The policy goes to this JSON file, divergences to the .jsonl beside it as they come.")
    ],
    task: Annotated[Path | None, typer.Option(help="JSON lines of images, question and answer.")] = None,
    images: Annotated[
        str | None, typer.Option(help="Or picture files or folders of them, comma-separated, all asked --question.")
    ] = None,
    question: Annotated[str, typer.Option(help="What to ask about --images.")] = "Describe this image.",
    limit: Annotated[int, whole("--limit", "Questions in all.", least=1)] = 25,
    reducer: Annotated[str, typer.Option(help="The method that chooses the tokens that enter.")] = "divprune",
    relevance: Annotated[str | None, typer.Option(help="For reducers that read it, as in mmdp evaluate.")] = None,
    attn_prune: Annotated[str, typer.Option(help="qkv: deeper attention is blind; q: it still reads.")] = "qkv",
    grid: Annotated[str, typer.Option(help="Points of attention depth, MLP depth and token counts.")] = "9,9,8",
    check: Annotated[int, whole("--check", "Policies to compare summed with measured divergence on.")] = 10,
    max_new_tokens: Annotated[int, whole("--max-new-tokens", "Positions of the answer that count.", least=1)] = 1,
    dtype: Annotated[str, typer.Option(help="auto, float32, float16 or bfloat16.")] = "auto",
    device: Annotated[str | None, typer.Option(help="By default CUDA where there is one.")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """The depth policy (DOP) that changes a model's answers least within a budget; a stopped run goes on when run again."""
    points = _grid(grid)
    if not 0 < budget <= 1:
        raise ValueError(f"--budget must be a share of the dense operations in (0, 1], got {budget}")
    if attn_prune not in ("qkv", "q"):
        raise ValueError(f"--attn-prune must be qkv or q, got {attn_prune!r}")
    if not out.parent.is_dir():
        raise ValueError(f"there is no folder {out.parent} for the policy")
    if out.is_dir() or out.suffix == ".jsonl":
        raise ValueError(
            f"--out must name a file that does not end in .jsonl, as that of the divergences does, got {out}"
        )
    kept = out.with_suffix(".jsonl")
    asked = _questions(model, task, images, question, limit, seed)
    from lmm_integration.calibration.meter import Meter
    from lmm_integration.calibration.policy_file import save_policy
    from lmm_integration.calibration.run import choose
    from lmm_integration.calibration.samples import samples_of
    from lmm_integration.layer_tokens import inner_layers
    from lmm_integration.model_files import bundled_folder, load_model
    from lmm_integration.operation_pruner import prunes_operations
    from lmm_integration.pruners.named import method_named

    sign = None
    if relevance is None and (bundled := bundled_folder(model)) is not None:
        relevance, sign = str(bundled / "clip"), 1  # as in `mmdp evaluate`
    method = method_named(reducer, relevance, sign)
    if inner_layers(method, 32) or prunes_operations(method):
        raise ValueError(f"--reducer must be a method that prunes the input, got {reducer!r}")
    loaded = load_model(model, dtype=dtype, device=device)
    if loaded.random_weights:
        print("mmdp: the folder holds no weights, so the model's are random and the policy is noise", file=sys.stderr)
    meter = Meter(
        loaded.model,
        samples_of(loaded.model, loaded.processor, asked),
        reducer=method,
        attn_prune=attn_prune,  # type: ignore[arg-type]
        max_new_tokens=max_new_tokens,
        path=kept,
        about={"model": model},
    )
    chosen = _with_progress(
        lambda on_point: choose(meter, budget, grid=points, check=check, seed=seed, on_point=on_point), kept
    )
    policy = chosen.policy
    save_policy(out, policy, chosen.calibration, budget, chosen.found)
    facts = {
        "model": model,
        "samples": len(meter.samples),
        "layers": meter.layers,
        "attention_depth": policy.attention_depth,
        "mlp_depth": policy.mlp_depth,
        "tokens": policy.tokens,
        "keep": meter.share(policy.tokens),
        "summed_divergence": policy.loss,
        **chosen.found,
        "flops": policy.cost,
        "share": policy.share,
        "policy": str(out),
    }
    if json:
        print_json(facts)
        return
    print(f"{policy.tokens} of {meter.full_tokens} visual tokens enter (keep {facts['keep']:.4g}),")
    print(f"attention in {policy.attention_depth} and MLPs in {policy.mlp_depth} of {meter.layers} layers:")
    print(
        f"{policy.share:.1%} of the operations, divergence {chosen.joint:.4g} nats measured, {policy.loss:.4g} summed"
    )
    if chosen.checked > 1:
        print(f"rank correlation of the two over {chosen.checked} other policies: {chosen.rank_correlation:.2f}")
    print(f"in {out}; lmm_integration.calibration.load_dop({str(out)!r}) prunes by it")


def _grid(text: str) -> tuple[int, int, int]:
    try:
        attention, mlp, tokens = (int(entry) for entry in text.split(","))
    except ValueError as error:
        raise ValueError(f"--grid must be three whole numbers, comma-separated, got {text!r}") from error
    if min(attention, mlp) < 2 or tokens < 1:
        raise ValueError(f"--grid needs 2 depths or more and 1 token count or more, got {text!r}")
    return attention, mlp, tokens


def _questions(
    model: str, task: Path | None, images: str | None, question: str, limit: int, seed: int
) -> list[Question]:
    if task is not None and images is not None:
        raise ValueError("--task or --images, not both")
    if images is not None:
        from lmm_integration.capture import pictures_in
        from lmm_integration.evaluate.accuracy.task import Question

        files = pictures_in([Path(name) for name in names(images, "--images")])[:limit]
        return [Question(str(file), (file,), question, "unknown") for file in files]
    if task is not None:
        from lmm_integration.evaluate.accuracy.sampling import stratified
        from lmm_integration.evaluate.accuracy.task import read_task

        return stratified(read_task(task), limit, seed)
    if model.split(":")[0] == TINY:
        from lmm_integration import tiny

        return tiny.calibration_questions(limit, seed=seed)
    raise ValueError("--task or --images is needed: only the tiny model brings its own questions")


def _with_progress(run: Any, kept: Path) -> Any:
    from lmm_integration.commands.progress import Progress

    try:
        with Progress(1) as progress:
            return run(lambda sample, done, total: progress.show(sample, done, total))
    except KeyboardInterrupt:
        print(f"mmdp: interrupted: what was measured is in {kept}; run it again to go on", file=sys.stderr)
        raise typer.Exit(130) from None
