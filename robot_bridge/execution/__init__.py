"""The state machine and the commanded motion: from a plan that was let through to a command that is due."""
