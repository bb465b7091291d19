"""Action proposers u: where candidate chunks come from."""
