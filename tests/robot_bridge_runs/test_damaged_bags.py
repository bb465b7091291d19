from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from bag_surgery import LEFT, rewrite

from robot_bridge.bags import cli as bag_cli
from robot_bridge.bags.bag import Bag, BagError
from robot_bridge.bags.episode import load_episode
from robot_bridge.bags.from_episode import write_bag
from robot_bridge.bags.writer import BagWriter
from robot_model import ros_names


@pytest.fixture(scope="module")
def sound(make_episode: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sound")
    write_bag(load_episode(make_episode(root, frames=40), "panda"), "panda", "wave", root / "sound")
    return root / "sound"


def kinds(bag: Bag) -> set[str]:
    return {problem.kind for problem in bag.problems}


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
def test_a_truncated_file_is_read_up_to_the_cut(sound: Path, tmp_path: Path, keep: float) -> None:
    shutil.copytree(sound, tmp_path / "cut")
    file = tmp_path / "cut" / "sound.mcap"
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * keep)])
    bag, whole = Bag(tmp_path / "cut"), Bag(sound)
    assert kinds(bag) == {"truncated"}
    assert bag.damaged
    assert 0 < bag.topics[LEFT].count <= whole.topics[LEFT].count
    assert sum(1 for _ in bag.messages([LEFT])) == bag.topics[LEFT].count
    assert "damaged" in bag.problems[0].text


def test_a_missing_metadata_file_is_noticed_and_survived(sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound, tmp_path / "crashed")
    (tmp_path / "crashed" / "metadata.yaml").unlink()
    bag = Bag(tmp_path / "crashed")
    assert "metadata.yaml is missing" in bag.problems[0].text
    assert bag.topics[LEFT].count == 40


def test_a_missing_topic_is_named_with_what_to_do(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(topic: str, time: int, message: Any) -> Iterable[tuple[str, int, Any]]:
        yield ("/front/image" if topic == LEFT else topic), time, message

    path = rewrite(sound, tmp_path / "renamed", change)
    bag = Bag(path)
    assert kinds(bag) == {"missing_topic"}
    assert not bag.plannable
    assert "/front/image" in bag.problems[0].text
    assert bag_cli.main(["info", str(path)]) == 1
    assert LEFT in capsys.readouterr().out


def test_a_wrong_type_is_named(sound: Path, tmp_path: Path) -> None:
    def change(topic: str, time: int, message: Any) -> Iterable[tuple[str, int, Any]]:
        if topic == ros_names.INSTRUCTION:
            yield ros_names.JOINT_STATES, time, message
        elif topic != ros_names.JOINT_STATES:
            yield topic, time, message

    bag = Bag(rewrite(sound, tmp_path / "typed", change))
    assert "recorded as std_msgs/msg/String, the bridge reads sensor_msgs/msg/JointState" in bag.problems[0].text
    assert not bag.plannable
    assert not [problem for problem in bag.problems if problem.kind == "no_instruction" and problem.damage]


def test_stamps_that_run_backwards_are_counted(sound: Path, tmp_path: Path) -> None:
    seen = []

    def change(topic: str, time: int, message: Any) -> Iterable[tuple[str, int, Any]]:
        if topic == LEFT:
            seen.append(time)
            message.header.stamp.sec -= 5 * (len(seen) in (10, 20))
        yield topic, time, message

    bag = Bag(rewrite(sound, tmp_path / "back", change))
    assert kinds(bag) == {"out_of_order"}
    assert bag.topics[LEFT].backwards == 2


def test_stamps_of_another_clock_are_noticed(sound: Path, tmp_path: Path) -> None:
    def change(topic: str, time: int, message: Any) -> Iterable[tuple[str, int, Any]]:
        yield topic, time + (3_600_000_000_000 if topic == LEFT else 0), message

    assert "clock" in kinds(Bag(rewrite(sound, tmp_path / "clock", change)))


def test_undecodable_images_are_counted(sound: Path, tmp_path: Path) -> None:
    def change(topic: str, time: int, message: Any) -> Iterable[tuple[str, int, Any]]:
        if topic == LEFT:
            message.data = message.data[: 100 if time % 3 == 0 else None]
        yield topic, time, message

    bag = Bag(rewrite(sound, tmp_path / "short", change))
    assert kinds(bag) == {"undecodable"}
    assert 0 < bag.topics[LEFT].undecodable < 40


@pytest.mark.parametrize(
    ("name", "content"), [("x.mcap", b"\x89MCAP"), ("x.mcap", b""), ("x.db3", b"?"), ("x.txt", b"")]
)
def test_what_is_no_bag_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BagError):
        Bag(tmp_path / name)


def test_nothing_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="no such bag"):
        Bag(tmp_path / "absent")
    with pytest.raises(BagError, match="holds no"):
        Bag(tmp_path)


def test_a_bag_is_never_overwritten_and_never_left_half_written(sound: Path, tmp_path: Path) -> None:
    with pytest.raises(BagError, match="exists already"):
        BagWriter(sound)
    with pytest.raises(RuntimeError):
        write_then_fail(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def write_then_fail(target: Path) -> None:
    with BagWriter(target) as bag:
        bag.write("/a", 1, bag.store.types["std_msgs/msg/String"]("x"))
        raise RuntimeError
