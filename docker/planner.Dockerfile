# The planner server. torch's wheels bring CUDA; the GPU's driver comes from the host through the NVIDIA container
# toolkit. Build it in the checkout's root: docker build -f docker/planner.Dockerfile -t vidplan-planner .
FROM python:3.12.11-slim-bookworm

ARG TORCH_VERSION=2.13.0

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

# Pinocchio needs an OpenMP runtime; its version is the base image's.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*

RUN pip install --no-cache-dir "torch==${TORCH_VERSION}" \
    && useradd --create-home --uid 1000 vidplan

WORKDIR /opt/vidplan
COPY pyproject.toml README.md LICENSE vidplan.py ./
COPY plan_protocol plan_protocol
COPY robot_model robot_model
COPY models models
COPY planner_server planner_server
RUN pip install --no-cache-dir --editable ".[planner]"

USER 1000
EXPOSE 5555
HEALTHCHECK --interval=10s --timeout=6s --start-period=300s --retries=3 CMD ["vidplan", "status"]
CMD ["vidplan", "serve", "--device", "cuda"]
