# The bridge with ROS 2 Jazzy and the built workspace. Cameras and arm may run in other containers or on the host.
# Build it in the checkout's root: docker build -f docker/robot.Dockerfile -t vidplan-robot .
FROM ros:jazzy-ros-base-noble

ENV PYTHONUNBUFFERED=1 \
    VIRTUAL_ENV=/opt/vidplan/.venv

# Versions are those of the base image's ROS release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 python3-venv \
    && rm -rf /var/lib/apt/lists/*

# The workspace is built by the system's Python, whose packages the interface generators need.
WORKDIR /opt/vidplan
COPY launch launch
COPY ros2_ws ros2_ws
WORKDIR /opt/vidplan/ros2_ws
RUN . /opt/ros/jazzy/setup.sh \
    && colcon build --cmake-args -DBUILD_TESTING=OFF

# Pinocchio brings NumPy 2; Jazzy's message packages, compiled against NumPy 1, use only what both share.
WORKDIR /opt/vidplan
COPY pyproject.toml README.md LICENSE vidplan.py ./
COPY plan_protocol plan_protocol
COPY robot_model robot_model
COPY robot_bridge robot_bridge
RUN python3 -m venv --system-site-packages "${VIRTUAL_ENV}" \
    && "${VIRTUAL_ENV}/bin/pip" install --no-cache-dir --editable ".[bridge]" \
    && mkdir /data \
    && chown 1000:1000 /data

COPY --chmod=755 docker/robot_entrypoint.sh /robot_entrypoint.sh
USER 1000
WORKDIR /data
HEALTHCHECK --interval=15s --timeout=12s --start-period=30s --retries=3 \
    CMD ["/robot_entrypoint.sh", "bash", "-c", "ros2 node list --no-daemon --spin-time 3 | grep -qx /vidplan_bridge"]
ENTRYPOINT ["/robot_entrypoint.sh"]
CMD ["vidplan", "bridge", "--robot", "fr3", "--dry-run"]
