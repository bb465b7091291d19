"""The guard between a plan and a motor: small layers, each with its own reason code (see `reasons`)."""
