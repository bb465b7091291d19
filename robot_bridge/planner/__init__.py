"""The planner's side of the bridge: greeted, asked at the right time, its answers judged."""
