"""One server, several replicas of its models on several GPUs or machines (`vidplan serve --ray`)."""
