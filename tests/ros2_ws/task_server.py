"""A program with the action `ExecuteTask`: counts plans until it is told to stop. Only to prove the interfaces."""

from __future__ import annotations

import math

import rclpy
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from vidplan_msgs.action import ExecuteTask
from vidplan_msgs.msg import Candidate, PlanStatus, StageLatency
from vidplan_msgs.srv import LabelTrial

PLANS = 3


class TaskServer(Node):
    def __init__(self) -> None:
        super().__init__("task_server")
        self.plans = self.create_publisher(PlanStatus, "/vidplan/plans", 10)
        self.create_service(LabelTrial, "/vidplan/label_trial", self.label)
        self.tick = self.create_rate(50)
        ActionServer(
            self,
            ExecuteTask,
            "/vidplan/execute_task",
            self.execute,
            goal_callback=lambda goal: GoalResponse.ACCEPT if goal.instruction else GoalResponse.REJECT,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
            callback_group=ReentrantCallbackGroup(),
        )

    def execute(self, handle) -> ExecuteTask.Result:
        goal, result = handle.request, ExecuteTask.Result()
        feedback = ExecuteTask.Feedback(phase=ExecuteTask.Feedback.PHASE_PLANNING, reward=math.nan)
        endless = goal.instruction == "wait"
        while endless or feedback.plans < PLANS:
            if handle.is_cancel_requested:
                handle.canceled()
                result.error_code, result.message = ExecuteTask.Result.ERROR_CANCELLED, "cancelled by the client"
                return result
            feedback.plans += 1
            feedback.phase, feedback.reward = ExecuteTask.Feedback.PHASE_MOVING, 0.5
            feedback.uncertainty, feedback.plan_latency, feedback.plan_age = 0.25, 0.1, 0.3
            handle.publish_feedback(feedback)
            self.plans.publish(self.status(goal.instruction, feedback.plans))
            self.tick.sleep()
        handle.succeed()
        result.outcome, result.plans, result.duration = ExecuteTask.Result.OUTCOME_UNKNOWN, feedback.plans, goal.timeout
        return result

    def status(self, instruction: str, number: int) -> PlanStatus:
        candidates = [
            Candidate(source="axes", name="+x", reward=0.4, uncertainty=0.2),
            Candidate(source="previous", name="previous", reward=0.6, uncertainty=0.1),
        ]
        stages = [StageLatency(stage="imagine", duration=0.08), StageLatency(stage="total", duration=0.1)]
        status = PlanStatus(plan=number, instruction=instruction, candidates=candidates, stages=stages, accepted=True)
        status.chosen, status.refined = 1, True
        return status

    def label(self, request: LabelTrial.Request, response: LabelTrial.Response) -> LabelTrial.Response:
        response.success = request.progress <= 100
        response.message = f"{request.trial_id}: {request.outcome}, {request.progress} %"
        return response


if __name__ == "__main__":
    rclpy.init()
    executor = MultiThreadedExecutor(num_threads=3)
    node = TaskServer()
    executor.add_node(node)
    print("ready", flush=True)
    try:
        executor.spin()
    except (KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        rclpy.try_shutdown()
