# Two commands: `make demo` (watch it think) and `make test`. Both do all set-up in .venv; re-runs are quick.
#   PYTHON=python3.12        another interpreter (3.10 to 3.13)
#   TORCH_INDEX=URL          extra package index for torch, e.g. PyTorch's CPU index on a laptop without an NVIDIA GPU
#   ARGS="--seconds 60"      options handed to `vidplan demo`
PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
# A sourced ROS installation is used as it is; its packages and the ROS wheels must never be mixed.
comma := ,
EXTRAS := planner,bridge,sim,train,full,ray,dev$(if $(ROS_DISTRO),,$(comma)ros)

.PHONY: demo test install lint interfaces clean help
help:
	@sed -n 's/^# \{0,1\}//;1,4p' Makefile

demo: install
	@$(BIN)/vidplan demo $(ARGS)

test: install lint interfaces
	@$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

# ROS interfaces with the wheels: a minute once, then nothing. Without a compiler their tests say so and are skipped.
interfaces: install
	@$(BIN)/python ros2_ws/build_interfaces.py || test $$? = 2

lint: install
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml sim_cell/assets.txt
	@PYTHON="$(PYTHON)" sh .ci/check-host
	@echo "[1/4] environment $(VENV) (once; about 5 minutes and 3 GB in all)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(if $(ROS_DISTRO),--system-site-packages) $(VENV)
	@echo "[2/4] torch"
	@$(PIP) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) "$(TORCH)"
	@echo "[3/4] vidplan and its libraries ($(EXTRAS))"
	@$(PIP) --editable ".[$(EXTRAS)]"
	@echo "[4/4] the simulated arm's meshes"
	@$(PIP) --no-deps --require-hashes --requirement sim_cell/assets.txt
	@touch $@

clean:
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache
