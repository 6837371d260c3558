"""The commands of `mmdp`, one file each; every heavy import stands inside the command that needs it."""
