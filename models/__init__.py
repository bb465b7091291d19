"""World model, uncertainty head and rewards: networks, training, bundles."""
