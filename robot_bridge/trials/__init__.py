"""Trials: one row each in a store, labelled by an operator or by the simulator, and one report on all of them."""
