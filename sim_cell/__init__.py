"""A MuJoCo stand-in for a DROID cell: arm, objects and three cameras, speaking a stock ROS 2 interface."""
