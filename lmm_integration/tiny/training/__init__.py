"""How the tiny model was trained: one command makes everything anew (`python -m lmm_integration.tiny.training`)."""
