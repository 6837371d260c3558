"""Doctests of modules that need an optional dependency are left out where it is absent."""

from importlib.util import find_spec

NEEDS = {
    "mmdp/instances/photos.py": "skimage",
    "mmdp/instances/pictures.py": "skimage",
    "mmdp/instances/token_file.py": "safetensors",
    "solvers/tensor*.py": "torch",
    "solvers/*/*gpu*.py": "torch",
    "solvers/triton_*.py": "triton",
    "solvers/*/triton_*.py": "triton",
    "lmm_integration/evaluate/*.py": "matplotlib",
    "lmm_integration/adapters/*.py": "transformers",
    "lmm_integration/decoder/*.py": "transformers",
    "lmm_integration/relevance/*.py": "transformers",
    "tests/lmm_integration/families.py": "transformers",
    "lmm_integration/pruners/*.py": "torch",
    "lmm_integration/image_budgets.py": "torch",
    "lmm_integration/conformance/*.py": "transformers",
    "lmm_integration/ask.py": "transformers",
    "lmm_integration/capture.py": "transformers",
    "lmm_integration/seen.py": "torch",
    "lmm_integration/model_files.py": "torch",
} | {
    f"lmm_integration/{name}.py": "transformers"
    for name in (
        *("context", "conversation", "generation", "pre_llm", "question"),
        *("scene", "sequence", "tokens", "units", "vision_attention"),
    )
}

collect_ignore_glob = [pattern for pattern, package in NEEDS.items() if find_spec(package) is None]
