"""How the models of a bundle are made: one shared loop, one file per stage."""
