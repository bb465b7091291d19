"""A DROID NUC without polymetis: a zerorpc server (ROUTER, msgpack, heartbeats) with the functions of DROID's own.

Like the real one, it swallows every error of a non-blocking command.
"""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

import msgpack
import numpy as np
import zmq

from robot_model.conventions import DROID_RESET_JOINTS


class FakeNuc:
    """Follows joint positions at once, unless its controller is dead.

    Attributes:
        dead: The controller does not run: commands are accepted and nothing moves.
        mute: It does not answer at all.
        commands: What `update_command` was called with.
        calls: Names of everything that was called, in order.
    """

    def __init__(self, delay: float = 0.0, heartbeat: float = 0.0) -> None:
        self.joints = np.array(DROID_RESET_JOINTS)
        self.gripper = 0.0
        self.dead = self.mute = False
        self.commands: list[list[Any]] = []
        self.calls: list[str] = []
        self.heartbeats = 0
        self._delay, self._heartbeat = delay, heartbeat
        self._socket = zmq.Context.instance().socket(zmq.ROUTER)
        self._socket.linger = 0
        self.address = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self._ended = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended = True
        self._thread.join()

    # --- the functions of DROID's server --------------------------------------------------------------------------

    def launch_controller(self) -> None:
        pass

    def launch_robot(self) -> None:
        pass

    def get_robot_state(self) -> list[dict[str, Any]]:
        state = {
            "joint_positions": self.joints.tolist(),
            "joint_velocities": [0.0] * 7,
            "gripper_position": self.gripper,
            "prev_command_successful": True,
        }
        return [state, {"robot_timestamp_seconds": 0, "robot_timestamp_nanos": 0}]

    def update_command(self, command: list, space: str, gripper_space: str, blocking: bool) -> dict[str, Any]:
        self.commands.append([command, space, gripper_space, blocking])
        if not self.dead:  # the real one starts a thread here that ignores grpc's errors
            self.joints, self.gripper = np.array(command[:7]), command[7]
        return {"joint_position": command[:7]}

    # --- zerorpc --------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while not self._ended:
            if self._socket.poll(20):
                sender, empty, packed = self._socket.recv_multipart()
                assert empty == b""
                self._answer(sender, *msgpack.unpackb(packed))
        self._socket.close()

    def _answer(self, sender: bytes, header: dict[str, Any], name: str, args: list[Any]) -> None:
        assert header["v"] == 3
        if name == "_zpc_hb":
            self.heartbeats += 1
        elif not self.mute:
            self.calls.append(name)
            if self._heartbeat:
                self._send(sender, header, "_zpc_hb", [0])
            time.sleep(self._delay)
            try:
                self._send(sender, header, "OK", [getattr(self, name)(*args)])
            except Exception as error:
                self._send(sender, header, "ERR", [type(error).__name__, str(error), "Traceback ..."])

    def _send(self, sender: bytes, header: dict[str, Any], name: str, values: list[Any]) -> None:
        reply = {"message_id": uuid.uuid4().hex, "v": 3, "response_to": header["message_id"]}
        self._socket.send_multipart([sender, b"", msgpack.packb([reply, name, values])])
