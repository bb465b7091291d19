"""Action adapters: the one that ships, Ctrl-World's, and fitting one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.adapter import DROID_ADAPTER, load_adapter
from models.adapter_arm import ArmChain
from models.adapter_ctrl_world import OFFSET_1, OFFSET_99, VELOCITY_1, VELOCITY_99, CtrlWorldAdapter
from models.adapter_impedance import Impedance, ImpedanceAdapter, load_impedance, save_impedance
from models.adapter_recordings import read_chunks
from models.errors import BundleError, DatasetError, ShapeError
from models.training import cli
from models.training.adapter_stage import Integrating, best_gain, errors
from robot_model.adapter import STEP_ANGLE
from robot_model.conventions import DROID_RESET_JOINTS
from robot_model.franka import PANDA
from robot_model.kinematics import ArmKinematics

PUBLISHED = 0.0141
"""rad, mean absolute over 15 steps: Ctrl-World's adapter on the eleven episodes beside the checkout."""
RESET = torch.tensor(DROID_RESET_JOINTS.copy()).float()


def motion(rows: int, steps: int = 15, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Joints and smooth joint velocities."""
    generator = torch.Generator().manual_seed(seed)
    joints = RESET + 0.2 * torch.randn(rows, 7, generator=generator)
    velocities = 0.05 * torch.randn(rows, steps, 7, generator=generator).cumsum(1)
    return joints, velocities + 0.3 * torch.randn(rows, 1, 7, generator=generator)


def test_the_chain_is_that_of_the_robot_model():
    joints = motion(5)[0]
    arm = ArmKinematics(PANDA)
    flange, jacobian = ArmChain()(joints)
    assert np.abs(flange.numpy() - arm.forward(joints.numpy())).max() < 1e-6
    for row, q in zip(jacobian.numpy(), joints.numpy(), strict=True):
        assert np.abs(row - arm.jacobian(q)).max() < 1e-6


def test_a_stiff_controller_without_friction_does_what_it_is_told():
    plain = Impedance()
    at_once = {"late": 1e-6, "onset": 1e-6, "joint_damping": (1e-3,) * 7, "friction": (1e-6,) * 7}
    stiff = ImpedanceAdapter(replace(plain, joint_stiffness=(1e5,) * 7, **at_once))
    joints, velocities = motion(4)
    wanted = joints[:, None] + STEP_ANGLE * velocities.cumsum(1)
    assert (stiff(joints, velocities) - wanted).abs().max() < 0.02
    assert (ImpedanceAdapter(plain)(joints, velocities) - wanted).abs().max() > 0.1


def test_an_arm_that_is_told_nothing_stays_where_it_is():
    joints = motion(3)[0]
    reached = load_adapter()(joints, torch.zeros(3, 15, 7))
    assert torch.equal(reached, joints[:, None].expand_as(reached))


def test_friction_takes_more_of_a_slow_motion_than_of_a_fast_one():
    adapter = load_adapter()
    shares = []
    for speed in (0.05, 0.5):
        velocities = torch.zeros(1, 30, 7)
        velocities[..., 0] = speed
        moved = adapter(RESET[None], velocities)[0, -1, 0] - RESET[0]
        shares.append(moved.item() / (30 * STEP_ANGLE * speed))
    assert 0 < shares[0] < shares[1] < 0.5, "of what is commanded, the arm does a quarter or so"


def test_gradients_reach_joints_and_every_velocity():
    joints, velocities = motion(1, steps=2)
    adapter = load_adapter().double()
    inputs = [value.double().requires_grad_() for value in (joints, velocities)]
    assert torch.autograd.gradcheck(adapter, inputs, eps=1e-6, atol=1e-5)


def test_the_shipped_adapter_is_small_and_says_where_it_comes_from():
    assert DROID_ADAPTER.stat().st_size < 10_000
    made_from = json.loads(DROID_ADAPTER.read_text())["made_from"]
    assert made_from["notes"]["val"]["episodes"] == 4
    assert made_from["held_out"]["adapter"]["joints"] < 1.2 * PUBLISHED


def test_the_shipped_adapter_on_held_out_episodes(droid: Path):
    held_out = read_chunks(droid, "val", 15)
    ours = errors(load_adapter(), held_out)
    print(f"ours: {ours}")
    assert ours["joints"] < 1.2 * PUBLISHED
    gain = best_gain(read_chunks(droid, "train", 15))
    assert 1.7 * ours["joints"] < errors(Integrating(gain), held_out)["joints"]
    assert 4 * ours["joints"] < errors(Integrating(0.0), held_out)["joints"]


def test_ctrl_worlds_own_file_has_the_published_error(droid: Path):
    adapter = load_adapter(droid / "action_adapter" / "model2_15_9.pth")
    chunks = [read_chunks(droid, split, 15) for split in ("train", "val")]
    counts = np.array([len(part.joints) for part in chunks])
    found = np.average([errors(adapter, part)["joints"] for part in chunks], weights=counts)
    assert found == pytest.approx(PUBLISHED, abs=3e-4)


def test_ctrl_worlds_scaling_by_hand(tmp_path: Path):
    """The network adds up scaled velocities of joint 1 and answers them as offset of joint 2, half a range for one."""
    adapter = CtrlWorldAdapter()
    first, last = adapter.net[0], adapter.net[4]
    for layer in (0, 2, 4):
        torch.nn.init.zeros_(adapter.net[layer].weight)
        torch.nn.init.zeros_(adapter.net[layer].bias)
    first.weight.data[0, 7::7] = 1.0
    first.bias.data[0] = 1000.0  # far out, where SiLU is the identity
    adapter.net[2].weight.data[0, 0] = 1.0
    last.weight.data[1, 0], last.bias.data[1] = 1.0, -1000.0
    torch.save(adapter.state_dict(), tmp_path / "model2_15_9.pth")
    loaded = load_adapter(tmp_path / "model2_15_9.pth")
    velocities = torch.zeros(1, 15, 7)
    velocities[0, :, 0] = (VELOCITY_1[0] + VELOCITY_99[0]) / 2  # scaled: 0
    velocities[0, 3, 0] = VELOCITY_99[0]  # scaled: 1
    reached = loaded(RESET[None], velocities)[0]
    middle = [(low + high) / 2 for low, high in zip(OFFSET_1, OFFSET_99, strict=True)]
    assert (reached[0] - RESET)[1].item() == pytest.approx(OFFSET_99[1], abs=1e-3)
    assert (reached[1] - RESET).tolist() == pytest.approx(middle, abs=1e-6)
    longer = loaded(RESET[None], torch.cat([velocities, velocities[:, :2]], 1))[0]
    assert torch.allclose(longer[:15], reached)
    assert (longer[16] - reached[14]).tolist() == pytest.approx(middle, abs=1e-6)


def test_other_files_are_refused_by_name(tmp_path: Path):
    def load(weights: object) -> None:
        torch.save(weights, tmp_path / "a.pth")
        load_adapter(tmp_path / "a.pth")

    right = CtrlWorldAdapter().state_dict()
    with pytest.raises(BundleError, match=r"net\.4\.bias \(105,\) is missing; extra is unexpected"):
        load({"extra": torch.zeros(1), **{name: value for name, value in right.items() if name != "net.4.bias"}})
    with pytest.raises(BundleError, match=r"net\.0\.weight is \(512, 7\), need \(512, 112\)"):
        load({**right, "net.0.weight": torch.zeros(512, 7)})
    with pytest.raises(BundleError, match=r"net\.0\.weight .* is missing; .*; and 18 more$"):
        load({f"unet.{number}": torch.zeros(1) for number in range(20)})
    with pytest.raises(BundleError, match="not finite"):
        load({**right, "net.0.bias": torch.full((512,), torch.nan)})
    with pytest.raises(
        BundleError, match="no action adapter that can be read: it is empty, or holds something else than"
    ):
        load(Path("/"))  # a pickle of something else than tensors
    with pytest.raises(BundleError, match="is missing"):
        load([1])
    for name, text in (("b.json", "{}"), ("c.json", "no"), ("gone.json", None), ("gone.pth", None), ("d.txt", "{}")):
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(BundleError, match=name):
            load_adapter(tmp_path / name)
    values = json.loads(DROID_ADAPTER.read_text())
    values["constants"]["friction"][2] = -1.0
    (tmp_path / "e.json").write_text(json.dumps(values))
    with pytest.raises(BundleError, match=r"constants\.friction must be finite and positive"):
        load_adapter(tmp_path / "e.json")


@pytest.mark.parametrize("adapter", [ImpedanceAdapter(), CtrlWorldAdapter()])
def test_wrong_shapes_are_refused(adapter: torch.nn.Module):
    with pytest.raises(ShapeError, match=r"velocities \(B, N, 7\)"):
        adapter(torch.zeros(2, 7), torch.zeros(3, 15, 7))


def record(root: Path, adapter: ImpedanceAdapter, episodes: int, simulated: bool = False) -> None:
    """Episodes of an arm that the adapter describes, in DROID's layout."""
    for split in ("train", "val"):
        folder = root / "annotation" / split
        folder.mkdir(parents=True, exist_ok=True)
        joints, velocities = motion(episodes, steps=40, seed=int(split == "val"))
        with torch.no_grad():
            reached = torch.cat([joints[:, None], adapter(joints, velocities)], 1)[:, :-1]
        units = 15 * STEP_ANGLE if simulated else 1.0
        for index in range(episodes):
            values = {
                "observation.state.joint_position": reached[index].tolist(),
                "action.joint_velocity": (units * velocities[index]).tolist(),
                **({"vidplan": {}} if simulated else {}),
            }
            (folder / f"{index}.json").write_text(json.dumps(values))


def test_the_command_fits_an_arm_it_does_not_know(tmp_path: Path, capsys):
    lazy = replace(Impedance(), joint_damping=(12.0,) * 7, friction=(1.5,) * 7, reach=0.6)
    record(tmp_path / "data", ImpedanceAdapter(lazy), 4)
    held_out = read_chunks(tmp_path / "data", "val", 15)
    out = tmp_path / "out"
    arguments = ["adapter", "--data", str(tmp_path / "data"), "--out", str(out), "--steps", "20", "--threads", "1"]
    assert cli.main([*arguments, "--device", "cpu", "--set", "batch=12", "--set", "rate=0.4"]) == 0
    fitted = load_adapter(out / "droid-adapter.json")
    before, after = errors(ImpedanceAdapter(), held_out)["joints"], errors(fitted, held_out)["joints"]
    assert after < 0.5 * before
    said = capsys.readouterr().out
    assert "standing still" in said
    assert "integrating as commanded" in said
    assert json.loads((out / "adapter.json").read_text())["held_out"]["adapter"]["joints"] == pytest.approx(after, 0.01)


def test_recordings_of_the_simulator_are_in_its_units_and_broken_ones_are_named(tmp_path: Path, capsys):
    record(tmp_path / "real", ImpedanceAdapter(), 2)
    record(tmp_path / "sim", ImpedanceAdapter(), 2, simulated=True)
    real, sim = (read_chunks(tmp_path / kind, "train", 15) for kind in ("real", "sim"))
    assert np.allclose(real.velocities, sim.velocities, atol=1e-6)
    assert (real.joints.shape, real.velocities.shape, real.episodes) == ((50, 7), (50, 15, 7), 2)
    assert np.array_equal(real.reached[0, :-1], real.joints[1:15])
    folder = tmp_path / "real" / "annotation" / "train"
    (folder / "0.json").write_text("{")
    (folder / "7.json").write_text(json.dumps({"observation.state.joint_position": [[0.0] * 7] * 30}))
    assert read_chunks(tmp_path / "real", "train", 15).episodes == 1
    said = capsys.readouterr().err
    assert "0.json skipped" in said
    assert "7.json skipped" in said
    assert "action.joint_velocity" in said
    with pytest.raises(DatasetError, match="more than 60 steps"):
        read_chunks(tmp_path / "real", "train", 60)
    with pytest.raises(DatasetError, match="does not exist"):
        read_chunks(tmp_path / "real", "test", 15)


def test_an_adapter_survives_its_file(tmp_path: Path):
    adapter = load_impedance(DROID_ADAPTER)
    save_impedance(adapter, tmp_path / "again.json", {})
    again = load_impedance(tmp_path / "again.json")
    for name, value in adapter.state_dict().items():
        assert torch.allclose(value, again.state_dict()[name], atol=1e-4), name
