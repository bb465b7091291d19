"""Subscriptions of cameras and joint states."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sensor_msgs.msg import CompressedImage, Image, JointState

from robot_bridge.config import BridgeConfig
from robot_bridge.errors import ConfigError
from robot_bridge.ros.messages import seconds
from robot_bridge.sensing.images import compressed_to_rgb, image_to_rgb
from robot_bridge.sensing.intake import Intake


def subscribe(node: Any, config: BridgeConfig, intake: Intake, quality: Any) -> None:
    """Have every sensor of the settings go to the intake.

    Args:
        node: An rclpy node.
        config: Topics; one that ends in ``/compressed`` carries CompressedImage.
        intake: Takes what comes.
        quality: Quality of service.

    Raises:
        ConfigError: ROS refuses a subscription, for instance of a topic with two types.
    """

    def image(role: str, convert: Any, message: Any) -> None:
        intake.image(role, seconds(message.header.stamp), partial(convert, message))

    def joints(message: JointState) -> None:
        stamp = seconds(message.header.stamp)
        intake.joint_state(stamp, message.name, message.position, message.velocity)

    for role, topic in config.camera_topics.items():
        compressed = topic.endswith("/compressed")
        kind, convert = (CompressedImage, compressed_to_rgb) if compressed else (Image, image_to_rgb)
        _listen(node, "cameras", kind, topic, partial(image, role, convert), quality)
    _listen(node, "joint_topic", JointState, config.joint_topic, joints, quality)


def _listen(node: Any, setting: str, kind: Any, topic: str, callback: Callable[[Any], None], quality: Any) -> None:
    try:
        node.create_subscription(kind, topic, callback, quality)
    except Exception as error:  # rclpy's own errors; whichever it is, the topic cannot be had
        raise ConfigError(
            setting, f"cannot listen to {topic} as {kind.__name__} ({error}): does it carry something else?"
        ) from error
