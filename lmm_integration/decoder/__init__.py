"""What pruning inside a language model has to know about its decoder: its layers, its sequence, its cache."""
