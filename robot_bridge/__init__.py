"""Between a robot and the planner: observe, ask, guard, move. ROS stays at the edge."""
