"""Ways to a robot: what becomes of guarded commands. One file per way; `choose` picks by name."""
