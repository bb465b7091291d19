"""ROS's launch API as far as our launch files use it, for machines without it: constructors and argument resolution.

`launch` and `launch_ros` are on no package index, so here each class takes the arguments of the real one (Jazzy 3.4,
0.26) and nothing else, and keeps them. `describe` then does what `ros2 launch` does before it starts anything:
declares, resolves, evaluates conditions, calls functions, follows our own includes. It starts nothing.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import types
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

LAUNCH = Path(__file__).resolve().parents[2] / "launch"


@dataclass
class LaunchContext:
    launch_configurations: dict[str, str] = field(default_factory=dict)
    folder: Path = LAUNCH

    def text(self, value: Any) -> str:
        """A substitution, text, or list of them, as text."""
        if isinstance(value, (str, Path)):
            return str(value)
        if isinstance(value, (list, tuple)):
            return "".join(self.text(part) for part in value)
        return value.perform(self)


class Entity:
    condition: Any = None


class LaunchDescription:
    def __init__(self, initial_entities: Iterable[Entity] | None = None):
        self.entities = list(initial_entities or [])


class LaunchConfiguration:
    def __init__(self, variable_name: str, *, default: Any = None):
        self.name, self.default = variable_name, default

    def perform(self, context: LaunchContext) -> str:
        if self.name not in context.launch_configurations and self.default is None:
            raise KeyError(f"launch configuration '{self.name}' does not exist")
        return context.launch_configurations.get(self.name, self.default)


class PathJoinSubstitution:
    def __init__(self, substitutions: Iterable[Any]):
        self.parts = list(substitutions)

    def perform(self, context: LaunchContext) -> str:
        return "/".join(context.text(part) for part in self.parts)


class ThisLaunchFileDir:
    def perform(self, context: LaunchContext) -> str:
        return str(context.folder)


class FindPackageShare:
    def __init__(self, package: str):
        self.package = package

    def perform(self, context: LaunchContext) -> str:
        return f"share:{context.text(self.package)}"


class ParameterValue:
    def __init__(self, value: Any, *, value_type: type | None = None):
        self.value, self.value_type = value, value_type


class IfCondition:
    def __init__(self, predicate_expression: Any):
        self.predicate = predicate_expression

    def evaluate(self, context: LaunchContext) -> bool:
        text = context.text(self.predicate).lower()
        if text not in ("true", "false", "1", "0"):
            raise ValueError(f"'{text}' is no condition")
        return text in ("true", "1")


class DeclareLaunchArgument(Entity):
    def __init__(
        self, name: str, *, default_value: Any = None, description: str | None = None, choices: list[str] | None = None
    ):
        self.name, self.default_value, self.description, self.choices = name, default_value, description, choices


class SetEnvironmentVariable(Entity):
    def __init__(self, name: Any, value: Any):
        self.name, self.value = name, value


class ExecuteProcess(Entity):
    def __init__(self, *, cmd: list[Any], output: str = "log", condition: Any = None):
        self.cmd, self.condition = cmd, condition


class Node(Entity):
    def __init__(
        self,
        *,
        package: Any,
        executable: Any,
        namespace: Any = None,
        parameters: list[Any] | None = None,
        arguments: list[Any] | None = None,
        output: str = "log",
        condition: Any = None,
    ):
        self.package, self.executable, self.namespace = package, executable, namespace
        self.parameters, self.arguments, self.condition = parameters or [], arguments or [], condition


class AnyLaunchDescriptionSource:
    def __init__(self, launch_file_path: Any):
        self.path = launch_file_path


class IncludeLaunchDescription(Entity):
    def __init__(
        self, source: AnyLaunchDescriptionSource, *, launch_arguments: Iterable[Any] = (), condition: Any = None
    ):
        self.path, self.arguments, self.condition = source.path, dict(launch_arguments), condition


class GroupAction(Entity):
    def __init__(self, actions: Iterable[Entity], *, scoped: bool = True, forwarding: bool = True):
        self.actions, self.scoped, self.forwarding = list(actions), scoped, forwarding


class OpaqueFunction(Entity):
    def __init__(self, *, function: Any):
        self.function = function


class Shutdown:
    def __init__(self, *, reason: str = ""):
        self.reason = reason


class EmitEvent(Entity):
    def __init__(self, *, event: Any):
        self.event = event


class OnProcessExit:
    def __init__(self, *, target_action: Any, on_exit: list[Entity]):
        self.target_action, self.on_exit = target_action, on_exit


class RegisterEventHandler(Entity):
    def __init__(self, event_handler: OnProcessExit):
        self.handler = event_handler


MODULES = {
    "launch": {
        "LaunchContext": LaunchContext,
        "LaunchDescription": LaunchDescription,
        "LaunchDescriptionEntity": Entity,
    },
    "launch.actions": {
        action.__name__: action
        for action in (
            DeclareLaunchArgument,
            EmitEvent,
            ExecuteProcess,
            GroupAction,
            IncludeLaunchDescription,
            OpaqueFunction,
            RegisterEventHandler,
            SetEnvironmentVariable,
        )
    },
    "launch.conditions": {"IfCondition": IfCondition},
    "launch.event_handlers": {"OnProcessExit": OnProcessExit},
    "launch.events": {"Shutdown": Shutdown},
    "launch.launch_description_sources": {"AnyLaunchDescriptionSource": AnyLaunchDescriptionSource},
    "launch.substitutions": {
        "LaunchConfiguration": LaunchConfiguration,
        "PathJoinSubstitution": PathJoinSubstitution,
        "ThisLaunchFileDir": ThisLaunchFileDir,
    },
    "launch_ros": {},
    "launch_ros.actions": {"Node": Node},
    "launch_ros.parameter_descriptions": {"ParameterValue": ParameterValue},
    "launch_ros.substitutions": {"FindPackageShare": FindPackageShare},
}


@dataclass
class Started:
    """What `ros2 launch` would start, everything resolved."""

    declared: dict[str, DeclareLaunchArgument] = field(default_factory=dict)
    processes: list[list[str]] = field(default_factory=list)
    nodes: list[dict[str, Any]] = field(default_factory=list)
    includes: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Files, and every argument that reaches them."""
    environment: dict[str, str] = field(default_factory=dict)
    ends_all: list[Any] = field(default_factory=list)

    def node(self, package: str) -> dict[str, Any]:
        return next(node for node in self.nodes if node["package"] == package)


def describe(path: Path, **arguments: str) -> Started:
    """Resolve a launch file as `ros2 launch path NAME:=VALUE ...` would."""
    with mock.patch.dict(sys.modules, _modules()):
        started = Started()
        _visit_file(path, dict(arguments), started)
    return started


def _modules() -> dict[str, types.ModuleType]:
    modules = {}
    for name, content in MODULES.items():
        modules[name] = types.ModuleType(name)
        vars(modules[name]).update(content)
    return modules


def _visit_file(path: Path, arguments: dict[str, str], started: Started) -> None:
    spec = importlib.util.spec_from_file_location(path.name.removesuffix(".launch.py"), path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    context = LaunchContext(dict(arguments), path.parent)
    for entity in module.generate_launch_description().entities:
        _visit(entity, context, started)


def _visit(entity: Entity, context: LaunchContext, started: Started) -> None:
    if entity.condition is not None and not entity.condition.evaluate(context):
        return
    if isinstance(entity, DeclareLaunchArgument):
        _declare(entity, context, started)
    elif isinstance(entity, SetEnvironmentVariable):
        started.environment[context.text(entity.name)] = context.text(entity.value)
    elif isinstance(entity, OpaqueFunction):
        for inner in entity.function(context):
            _visit(inner, context, started)
    elif isinstance(entity, ExecuteProcess):
        started.processes.append([context.text(part) for part in entity.cmd])
    elif isinstance(entity, Node):
        started.nodes.append(_node(entity, context))
    elif isinstance(entity, RegisterEventHandler):
        started.ends_all.append(entity.handler.target_action)
    elif isinstance(entity, GroupAction):
        inherited = context.launch_configurations if entity.forwarding else {}
        inside = LaunchContext(dict(inherited), context.folder) if entity.scoped else context
        for inner in entity.actions:
            _visit(inner, inside, started)
    else:
        assert isinstance(entity, IncludeLaunchDescription), entity
        file = context.text(entity.path)
        # As in the real thing: what is included also gets our own arguments, and its own stay behind.
        context.launch_configurations.update({name: context.text(value) for name, value in entity.arguments.items()})
        started.includes.append((file, dict(context.launch_configurations)))
        if not file.startswith("share:"):
            _visit_file(Path(file), context.launch_configurations, started)


def _declare(argument: DeclareLaunchArgument, context: LaunchContext, started: Started) -> None:
    name = argument.name
    if name not in context.launch_configurations:
        if argument.default_value is None:
            raise RuntimeError(f"launch argument '{name}' is required")
        context.launch_configurations[name] = context.text(argument.default_value)
    value = context.launch_configurations[name]
    if argument.choices and value not in argument.choices:
        raise RuntimeError(f"'{value}' is none of {argument.choices} for '{name}'")
    started.declared[name] = argument


def _node(node: Node, context: LaunchContext) -> dict[str, Any]:
    files, values = [], {}
    for entry in node.parameters:
        if isinstance(entry, dict):
            values.update({name: _parameter(value, context) for name, value in entry.items()})
        else:
            files.append(context.text(entry))
    return {
        "package": context.text(node.package),
        "executable": context.text(node.executable),
        "arguments": [context.text(part) for part in node.arguments],
        "files": files,
        "parameters": values,
    }


def _parameter(value: Any, context: LaunchContext) -> Any:
    """A parameter as the node gets it; text of no declared type is read as YAML, so it must be a plain name."""
    if isinstance(value, ParameterValue):
        text = context.text(value.value)
        if value.value_type is bool:
            return {"true": True, "false": False}[text.lower()]
        assert value.value_type in (str, float, int)
        return value.value_type(text)
    if isinstance(value, (bool, float, int)):
        return value
    if isinstance(value, list):
        return [context.text(entry) for entry in value]
    text = context.text(value)
    assert re.fullmatch(r"[a-z/][\w/]*", text), f"'{text}' needs a ParameterValue with its type"
    return text
