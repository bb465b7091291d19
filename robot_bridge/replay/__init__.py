"""A recording played to the bridge: what would have been planned and commanded, beside what was done."""
