"""Closed-loop trials in the simulated cell: five tasks, five methods, the same initial states for all."""
