"""`python -m lmm_integration` is the `mmdp` command."""

from lmm_integration.cli import main

if __name__ == "__main__":
    main()
