"""Policies behind openpi's WebSocket protocol: both of its sides, and DROID's observation and action keys."""
