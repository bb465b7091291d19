"""`vidplan doctor`: what works on this machine and in this cell, what is missing, and what to do about it."""
