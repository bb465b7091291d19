"""The launch files: what each would start, and that everything they name exists in this repository."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_lines import assert_command_exists
from launch_standin import LAUNCH, Started, describe
from launch_tables import REQUIRED, table

from robot_bridge.config import BridgeConfig
from robot_bridge.ros.topics import INTERFACES
from robot_model import ros_names

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = {
    "real_trial": {
        *("robot_ip", "namespace", "server", "cameras", "params_file", "dry_run", "record", "bag_dir", "operator"),
        *("use_sim_time", "robot", "driver", "instruction", "backend", "gripper", "autostart"),
    },
    "sim_trial": {"instruction", "seed", "server", "bundle", "params_file", "dry_run", "duration", "record", "robot"},
    "replay": {"bag", "mapping", "robot", "server", "params_file", "instruction", "record"},
    "planner": {"bundle", "address", "device"},
}


def launch(name: str, **arguments: str) -> Started:
    return describe(LAUNCH / f"{name}.launch.py", **{**REQUIRED[name], **arguments})


def settings(started: Started) -> BridgeConfig:
    """The bridge's settings as it would check them; raises where one is unknown or out of range."""
    return BridgeConfig.from_mapping(started.node("vidplan_bridge")["parameters"])


def test_every_launch_file_is_tested() -> None:
    assert {path.name.removesuffix(".launch.py") for path in LAUNCH.glob("*.launch.py")} == set(ARGUMENTS)


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_arguments_explain_themselves(name: str) -> None:
    started = launch(name)
    assert ARGUMENTS[name] <= set(started.declared)
    for argument in started.declared.values():
        assert argument.description, argument.name


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_arguments_are_documented(name: str) -> None:
    assert table(name) in (ROOT / "docs" / "ros2.md").read_text(), f"docs/ros2.md needs this table:\n{table(name)}"


@pytest.mark.parametrize("name", sorted(ARGUMENTS))
def test_everything_named_exists(name: str) -> None:
    started = launch(name, **({"namespace": "a", "rviz": "true"} if name in ("real_trial", "replay") else {}))
    for command in started.processes:
        if command[0] == "vidplan":
            assert_command_exists(command[1:])
    for node in started.nodes:
        config = [*node["files"], *(part for part in node["arguments"] if part.startswith("share:"))]
        for file in config:
            share, _, rest = file.removeprefix("share:").partition("/")
            assert (ROOT / "ros2_ws" / "src" / share / rest).is_file(), file
        if node["package"] == "vidplan_bridge":
            setup = (ROOT / "ros2_ws/src/vidplan_bridge/setup.py").read_text()
            assert f'"{node["executable"]} = ' in setup
    if name != "planner":
        assert settings(started).robot in ("fr3", "panda")


def test_a_real_trial_sends_nothing_until_told_to() -> None:
    assert settings(launch("real_trial")).dry_run
    assert not settings(launch("real_trial", dry_run="false")).dry_run
    with pytest.raises(RuntimeError, match="none of"):
        launch("real_trial", dry_run="flase")


def test_a_real_trial_starts_driver_cameras_recorder_and_bridge() -> None:
    started = launch("real_trial", robot_ip="172.16.0.7", operator="Anna B.", bag_dir="/tmp/bags", instruction="go: 5")
    files = [file for file, _ in started.includes]
    assert files == ["share:zed_wrapper/launch/zed_camera.launch.py"] * 3 + [
        "share:franka_bringup/launch/franka.launch.py"
    ]
    assert [given["serial_number"] for _, given in started.includes[:3]] == ["11", "22", "33"]
    assert [given["camera_model"] for _, given in started.includes[:3]] == ["zed2", "zed2", "zedm"]
    driver = started.includes[3][1]
    assert driver["robot_ip"] == "172.16.0.7"
    assert driver["controllers_yaml"].endswith("/fr3_ros_controllers.yaml")
    assert started.node("controller_manager")["arguments"][0] == "fr3_arm_controller"
    (recorder,) = started.processes
    assert recorder[:3] == ["ros2", "bag", "record"]
    folder = Path(recorder[recorder.index("--output") + 1]).parent
    config = settings(started)
    assert str(folder).startswith("/tmp/bags/")
    assert folder.name.endswith("_Anna_B_")
    assert config.record == str(folder / "run")
    assert config.instruction == "go: 5"
    for topic in (config.joint_topic, config.arm_topic, config.gripper_command_topic, *config.camera_topics.values()):
        assert topic in recorder
    assert {ros_names.STATUS, ros_names.INSTRUCTION} <= {*recorder}
    assert {*map(ros_names.camera_info_topic, ros_names.CAMERAS)} <= {*recorder}
    assert len(started.ends_all) == 1


def test_zed_cameras_are_those_the_bridge_listens_to() -> None:
    config = settings(launch("real_trial"))
    assert config.camera_topics == {name: ros_names.camera_topic(name) for name in ros_names.CAMERAS}


def test_realsense_cameras() -> None:
    started = launch("real_trial", cameras="realsense", record="false", driver="false")
    assert [given["serial_no"] for _, given in started.includes] == ["_11", "_22", "_33"]
    topics = settings(started).camera_topics
    for (file, given), (role, topic) in zip(started.includes, topics.items(), strict=True):
        assert file == "share:realsense2_camera/launch/rs_launch.py"
        assert given["camera_name"] == role
        assert topic == f"/{given['camera_namespace']}/{given['camera_name']}/color/image_raw"
    assert not started.processes


def test_own_cameras_are_all_recorded() -> None:
    started = launch("real_trial", cameras="none")
    assert started.processes[0][-1] == "--all"
    assert "cameras" not in started.node("vidplan_bridge")["parameters"]


def test_cameras_that_could_be_mixed_up_are_refused() -> None:
    with pytest.raises(RuntimeError, match="three serial numbers"):
        launch("real_trial", wrist_serial="11")


def test_the_driver_is_for_the_fr3() -> None:
    with pytest.raises(RuntimeError, match="driver:=false"):
        launch("real_trial", robot="panda")
    assert settings(launch("real_trial", robot="panda", driver="false")).robot == "panda"


def test_a_namespace_moves_the_arms_topics_and_nothing_else() -> None:
    started = launch("real_trial", namespace="lab1")
    *cameras, driver = [given for _, given in started.includes]
    assert driver["namespace"] == "lab1"
    for given in cameras:
        assert set(given) == {"camera_name", "camera_model", "serial_number", "publish_tf"}
    config = settings(started)
    assert (config.joint_topic, config.arm_topic) == ("/lab1/joint_states", "/lab1/fr3_arm_controller/joint_trajectory")
    assert {config.joint_topic, config.arm_topic} <= {*started.processes[0]}


@pytest.mark.parametrize("backend", ["joint_trajectory", "follow_joint_trajectory", "forward_position", "droid_nuc"])
def test_backends_send_where_the_namespace_is(backend: str) -> None:
    gripper = "droid_nuc" if backend == "droid_nuc" else "robotiq_action"
    config = settings(launch("real_trial", backend=backend, gripper=gripper, driver="false", namespace="lab1"))
    assert (config.backend, config.gripper, config.driver_namespace) == (backend, gripper, "lab1")
    if backend != "droid_nuc":
        assert config.arm_topic == "/lab1" + BridgeConfig(robot="fr3", backend=backend).arm_topic


@pytest.mark.parametrize("backend", ["forward_position", "droid_nuc"])
def test_the_driver_here_has_only_the_stock_controller(backend: str) -> None:
    with pytest.raises(RuntimeError, match="driver:=false"):
        launch("real_trial", backend=backend)


def test_the_franka_hand_comes_with_the_driver() -> None:
    driver = launch("real_trial", gripper="franka_hand").includes[-1][1]
    assert driver["load_gripper"] == "true"


def test_the_bridges_priority_is_that_of_the_parameters_unless_given() -> None:
    assert "realtime_priority" not in launch("real_trial").node("vidplan_bridge")["parameters"]
    assert settings(launch("real_trial", realtime_priority="10")).realtime_priority == 10


def test_a_lifecycle_manager_may_start_the_bridge() -> None:
    assert settings(launch("real_trial")).autostart
    assert not settings(launch("real_trial", autostart="false")).autostart


def test_a_replay_can_reach_no_controller() -> None:
    started = launch("replay", namespace="lab1", instruction="put the fish in the bowl")
    config = settings(started)
    assert config.dry_run
    assert config.use_sim_time
    assert config.joint_topic == "/lab1/joint_states"
    (player,) = started.processes
    assert player[:4] == ["ros2", "bag", "play", "trials/a/bag"]
    assert "--clock" in player
    remapped = player[player.index("--remap") + 1 :]
    for robot in ("panda", "fr3"):
        topic = ros_names.arm_topic(robot)
        assert {f"{topic}:=/recorded{topic}", f"/lab1{topic}:=/recorded/lab1{topic}"} <= {*remapped}
    said = {entry.name for entry in INTERFACES if entry.way == "out" and not entry.name.startswith("{")}
    for topic in (ros_names.GRIPPER_COMMANDS, ros_names.INSTRUCTION, *said):
        assert f"{topic}:=/recorded{topic}" in remapped
    assert started.environment["ROS_DOMAIN_ID"] == "43"
    assert started.environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert len(started.ends_all) == 1


def test_a_replay_takes_the_bags_own_task() -> None:
    assert not any(ros_names.INSTRUCTION in part for part in launch("replay").processes[0])


def test_a_bag_with_a_mapping_is_played_by_vidplan_replay() -> None:
    started = launch("replay", mapping="lab.yaml", record="runs/a", instruction="put the fish in the bowl")
    assert not started.nodes
    assert len(started.ends_all) == 1
    (player,) = started.processes
    assert_command_exists(player[1:])
    assert player[:5] == ["vidplan", "replay", "trials/a/bag", "--mapping", "lab.yaml"]
    assert player[player.index("--domain-id") + 1] == started.environment["ROS_DOMAIN_ID"]
    with pytest.raises(RuntimeError, match="record:=FOLDER"):
        launch("replay", mapping="lab.yaml")


def test_a_replay_needs_a_bag() -> None:
    with pytest.raises(RuntimeError, match="'bag' is required"):
        describe(LAUNCH / "replay.launch.py")


def test_isolation_on_humble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DISTRO", "humble")
    for name in ("replay", "sim_trial"):
        assert launch(name).environment["ROS_LOCALHOST_ONLY"] == "1"


def test_a_simulated_trial_starts_cell_planner_and_bridge() -> None:
    started = launch("sim_trial", server="tcp://127.0.0.1:6000", duration="20", bundle="some/bundle", seed="3")
    serve, sim = started.processes
    assert serve[:4] == ["vidplan", "serve", "--address", "tcp://127.0.0.1:6000"]
    assert serve[-2:] == ["--bundle", "some/bundle"]
    assert sim[:4] == ["vidplan", "sim", "--seed", "3"]
    config = settings(started)
    assert (config.server, config.duration, config.use_sim_time) == ("tcp://127.0.0.1:6000", 20.0, True)
    assert (config.backend, config.gripper) == ("sim", "sim")
    assert started.environment["ROS_DOMAIN_ID"] == "42"
    assert len(launch("sim_trial", planner="false").processes) == 1


def test_the_planner_listens_on_this_machine_only() -> None:
    (serve,) = launch("planner", device="cuda").processes
    assert serve == ["vidplan", "serve", "--address", "tcp://127.0.0.1:5555", "--device", "cuda"]
    (serve,) = launch("planner", address="tcp://0.0.0.0:5555", curve_keys="keys/server").processes
    assert serve[-2:] == ["--curve-keys", "keys/server"]
    assert_command_exists(serve[1:])
