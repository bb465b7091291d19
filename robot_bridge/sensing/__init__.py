"""From camera and joint messages to synchronised looks at the cell."""
