"""The action `ExecuteTask` and the service `LabelTrial`, on a node and thread of their own: they delay no command.

Needs vidplan_msgs (ros2_ws); where they are not built, the bridge takes its task over /vidplan/instruction only.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.task import Future

from robot_bridge.core import Core
from robot_bridge.events import Event
from robot_bridge.ros.messages import time_message
from robot_bridge.ros.ros_edge import Spinner, steady_timer
from robot_bridge.ros.topics import LABEL_SERVICE, TASK_ACTION, TRIAL_EVENTS
from robot_bridge.task.run import NOT_ACTIVE, Ending, Goal, Moment, Outcome, TaskRun, objection
from robot_bridge.task.trial_events import Kind, TrialTeller

STEP_PERIOD = 0.1
"""Seconds of wall clock between two looks at a running task, and two feedbacks."""


def messages() -> tuple[Any, Any, Any] | None:
    """ExecuteTask, LabelTrial and TrialEvent, or None where vidplan_msgs is not built."""
    try:
        action, srv, msg = (importlib.import_module(f"vidplan_msgs.{kind}") for kind in ("action", "srv", "msg"))
    except ImportError:
        return None
    return action.ExecuteTask, srv.LabelTrial, msg.TrialEvent


class TaskEdge:
    """One goal at a time, handed to whatever core is configured at that moment."""

    def __init__(self, spinner: Spinner, types: tuple[Any, Any, Any], core: Callable[[], Core | None]) -> None:
        """Offer action and service on the spinner's node.

        Args:
            spinner: Node and thread for them; started and closed by the caller.
            types: See `messages`.
            core: The configured bridge, or None.
        """
        self._action, self._label_type, self._event_type = types
        self._core = core
        self._teller = TrialTeller()
        self._run: TaskRun | None = None
        self._running_core: Core | None = None
        self._done: Future | None = None
        self._handle: Any = None
        self._trial = ""
        node = spinner.node
        self._events = node.create_publisher(self._event_type, TRIAL_EVENTS, 100)
        node.create_service(self._label_type, LABEL_SERVICE, self._label)
        steady_timer(node, STEP_PERIOD, self._step)
        self._server = ActionServer(
            node,
            self._action,
            TASK_ACTION,
            self._execute,
            # Whatever stands against a goal is said in its result, with a number and in words.
            goal_callback=lambda goal: GoalResponse.ACCEPT,
            cancel_callback=self._cancel,
        )

    def hear(self, happened: Event) -> None:
        """Take an event of the bridge, in the control thread."""
        run = self._run
        if run is not None:
            run.hear(happened)
            self._tell(self._teller.hear(happened), happened["t"])

    async def _execute(self, handle: Any) -> Any:
        goal = _goal(handle.request)
        core = self._core()
        refusal = objection(
            goal,
            dry_run=core.config.dry_run if core else goal.dry_run,
            active=core is not None and core.executor.active,
            busy=self._run is not None,
        )
        if refusal or core is None:
            return self._end(handle, None, refusal or NOT_ACTIVE)
        self._run, self._running_core = TaskRun(goal, core.clock(), core.config.task_patience), core
        self._handle, self._done, self._trial = handle, Future(), goal.trial_id
        self._tell(self._teller.begin(goal.instruction), core.clock())
        core.begin_task(goal.instruction, goal.seed)
        ending = await self._done
        run, self._run, self._handle = self._run, None, None
        core.instruct("")
        self._tell([(Kind.FINISHED, f"{ending.code.name.lower()} {ending.message}".strip())], core.clock())
        return self._end(handle, run, ending)

    def _step(self) -> None:
        run, core, done = self._run, self._running_core, self._done
        if run is None or core is None or done is None or done.done():
            return
        moment = _moment(core)
        ending = run.step(moment)
        if ending:
            done.set_result(ending)
            return
        progress = run.progress(moment)
        feedback = self._action.Feedback(**{name: getattr(progress, name) for name in progress.__dataclass_fields__})
        feedback.phase = int(progress.phase)
        self._handle.publish_feedback(feedback)

    def _cancel(self, handle: Any) -> CancelResponse:
        if self._run is not None and handle is self._handle:
            self._run.cancel()
        return CancelResponse.ACCEPT

    def _end(self, handle: Any, run: TaskRun | None, ending: Ending) -> Any:
        result = self._action.Result(error_code=int(ending.code), message=ending.message, outcome=int(ending.outcome))
        if run is not None:
            core = self._running_core
            result.plans, result.plans_refused, result.holds = run.plans, run.refused, run.holds
            result.duration = max(core.clock() - run.began, 0.0) if core else 0.0
        if handle.is_cancel_requested:
            handle.canceled()
        elif ending.code == 0:
            handle.succeed()
        else:
            handle.abort()
        return result

    def _label(self, request: Any, response: Any) -> Any:
        core = self._core()
        if request.progress > 100:
            response.message = f"progress: must be 0 .. 100 percent, got {request.progress}"
            return response
        if core is None or not core.config.record:
            response.message = "nothing is being recorded: start the bridge with a record folder, or use vidplan trial"
            return response
        path = Path(core.config.record) / "labels.jsonl"
        fields = {name: getattr(request, name) for name in request.get_fields_and_field_types()}
        try:
            with path.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"wall": round(time.time(), 3), **fields}) + "\n")
        except OSError as error:
            response.message = f"could not be written: {error}"
            return response
        self._trial, run = request.trial_id, self._run
        self._tell([(Kind.LABELLED, f"outcome {request.outcome}, {request.progress} %")], core.clock())
        if run is not None and request.trial_id == run.goal.trial_id:
            run.label(Outcome(request.outcome) if request.outcome in (1, 2) else Outcome.UNKNOWN)
        response.success, response.message = True, str(path)
        return response

    def _tell(self, happened: list[tuple[Kind, str]], now: float) -> None:
        for kind, detail in happened:
            message = self._event_type(trial_id=self._trial, kind=int(kind), detail=detail)
            message.header.stamp = time_message(now)
            self._events.publish(message)


def _goal(request: Any) -> Goal:
    return Goal(request.instruction, request.timeout, request.dry_run, request.seed, request.trial_id)


def _moment(core: Core) -> Moment:
    executor = core.executor
    stop = executor.stop_latch.finding
    return Moment(
        now=core.clock(),
        state=executor.state,
        active=executor.active,
        planning=executor.planning,
        followed_stamp=executor.judge.followed_stamp,
        stop=(stop.reason.value, stop.detail) if stop else None,
    )
