"""Wire format between a robot bridge and a planner server: no torch, no ROS."""
