"""How good the planner is: its ranking held against the simulator's outcomes, its speed, and the whole report."""
