"""Where the time of a request goes, stage by stage, with and without pruning."""
