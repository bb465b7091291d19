"""VidPlan's bridge as a ROS 2 package: a thin shell over the pip-installed package `vidplan`."""
