"""The ROS 2 edge: node, topics, parameters, services, messages."""
