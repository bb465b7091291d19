"""openpi's WebSocket client and a server that speaks its protocol, for `protocol_roundtrip.py`.

Runs in an environment of its own with `openpi-client` and `websockets` (openpi-client needs numpy < 2). The server is
what the published client demands and no more: metadata on connection, then one msgpack answer per msgpack request.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import numpy as np
from openpi_client import msgpack_numpy, websocket_client_policy
from websockets.asyncio.server import serve


async def run_server() -> None:
    async def handle(connection) -> None:
        packer = msgpack_numpy.Packer()
        await connection.send(packer.pack({"model": "none"}))
        async for message in connection:
            begun = time.monotonic()
            msgpack_numpy.unpackb(message)
            answer = {"actions": np.zeros((5, 7)), "server_timing": {"infer_ms": 1e3 * (time.monotonic() - begun)}}
            await connection.send(packer.pack(answer))

    async with serve(handle, "127.0.0.1", 0, compression=None, max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


def run_client(port: int) -> None:
    """Read a number of requests per line, answer with the milliseconds of each."""
    client = websocket_client_policy.WebsocketClientPolicy("127.0.0.1", port)
    random = np.random.default_rng(0)
    names = ("exterior_image_1_left", "exterior_image_2_left", "wrist_image_left")
    request = {f"observation/{name}": random.integers(0, 256, (192, 320, 3), np.uint8) for name in names}
    request |= {
        "observation/joint_position": np.zeros(7),
        "observation/cartesian_position": np.zeros(6),
        "observation/gripper_position": np.zeros(1),
        "prompt": "put the carrot in the bowl",
    }
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            begun = time.perf_counter()
            client.infer(request)
            times.append(1e3 * (time.perf_counter() - begun))
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(run_server())
    else:
        run_client(int(sys.argv[2]))
