"""What the bridge has to say: events as plain dictionaries for records and topics, and as words for people."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from plan_protocol.messages import Plan
from robot_bridge.guard.plan import Proposal
from robot_bridge.guard.reasons import Finding

Event = dict[str, Any]


def event(name: str, now: float, **fields: Any) -> Event:
    """One event: name, robot time ``t``, wall clock time ``wall``, and its own fields."""
    return {"t": round(now, 6), "wall": round(time.time(), 6), "event": name, **fields}


def plan_fields(plan: Plan, number: int, request_id: int, latency_ms: float) -> Event:
    """What is told about a plan, besides whether it was accepted."""
    candidates = []
    for candidate in plan.candidates:
        fields = asdict(candidate)
        del fields["poses"]
        candidates.append(fields)
    return {
        "plan": number,
        "request_id": request_id,
        "observation_stamp": plan.observation_stamp,
        "candidates": candidates,
        "chosen": plan.chosen,
        "refined": plan.refined,
        "objective": list(plan.objective),
        "uncertainty": plan.uncertainty,
        "status": plan.status,
        "doubt": plan.doubt,
        "proposers": plan.proposers,
        "timings": plan.timings,
        "latency_ms": round(latency_ms, 1),
        "times": plan.times.tolist(),
        "poses": plan.poses.tolist(),
    }


def guarded_fields(proposal: Proposal, notes: tuple[Finding, ...]) -> Event:
    """What became of an accepted plan: the waypoints as they will be followed, and what was mended."""
    return {
        "age": round(proposal.start - proposal.plan.observation_stamp, 6),
        "guarded_times": proposal.times.tolist(),
        "guarded_poses": proposal.poses.tolist(),
        "notes": [{"reason": note.reason.value, "detail": note.detail} for note in notes],
    }


def refused_fields(now: float, plan: Plan, refusal: Finding) -> Event:
    """Why a plan is not followed."""
    return {
        "age": round(now - plan.observation_stamp, 6),
        "refused_for": {"reason": refusal.reason.value, "detail": refusal.detail},
    }


def in_words(event: Event) -> str | None:
    """The event as a line for the terminal, or None where a person need not read it."""
    name, detail = event["event"], event.get("detail", "")
    if name == "plan":
        return _plan_in_words(event)
    if event.get("reason") == "awaiting_plan":
        return None  # the rhythm of a planner slower than its chunks
    words = {
        "started": "bridge is up",
        "waiting": "waiting",
        "connected": "planner found",
        "transition_refused": "NOT DONE",
        "activated": "active",
        "deactivated": "INACTIVE",
        "recovering": "recovery",
        "instruction": "task",
        "reject": f"refused ({event.get('reason')})",
        "hold": f"HOLDING ({event.get('reason')})",
        "resume": "moving again",
        "server_lost": "PLANNER LOST",
        "server_back": "planner is back",
        "anchored": "arm taken over where it stands",
        "stop": f"STOPPED ({event.get('reason')})",
        "rearmed": "re-armed",
        "finished": "finished",
    }.get(name)
    if words is None:
        return None
    return f"[{event['t']:9.2f}] {words}{': ' + detail if detail else ''}"


def _plan_in_words(event: Event) -> str:
    chosen = event["candidates"][event["chosen"]] if event["candidates"] else None
    text = f"[{event['t']:9.2f}] plan {event['plan']:3d}"
    if chosen:
        text += f"  {chosen['name']:<12} reward {chosen['reward']:+.3f}"
    text += f"  uncertainty {event['uncertainty']:.2f}  {event['latency_ms']:6.0f} ms"
    text += "  refined" if event["refined"] else ""
    text += f"  UNCERTAIN: {event.get('doubt', '')}" if event.get("status") == "uncertain" else ""
    if not event["accepted"]:
        return text + "  NOT FOLLOWED"
    reasons = ", ".join(note["reason"] for note in event.get("notes", []))
    return text + (f"  mended: {reasons}" if reasons else "")
