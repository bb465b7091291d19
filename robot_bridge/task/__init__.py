"""One task in words, from its acceptance to a numbered end: the action `ExecuteTask` of vidplan_msgs."""
