"""Prompt refiner behind any chat endpoint that speaks OpenAI's protocol (a hosted model, llama.cpp, vLLM, Ollama)."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from models.errors import ModelsError
from models.uncertainty.squbed.interfaces import Task

INSTRUCTION = (
    "You rewrite instructions for a video generation model. Given an instruction, write {count} different versions "
    "that are more specific and fully consistent with it: every version entails the instruction. Where the instruction "
    "leaves something open, decide it, differently in each version and as often as you find likely; where it is "
    "specific, keep to it.{objects} Answer with one version per line and nothing else."
)
ATTEMPTS = 4
PATIENCE = 2.0
"""Seconds before the second attempt; doubled before each further one."""
RETRY = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class ChatRefiner:
    """See the module's docstring.

    Attributes:
        url: Base of the endpoint, e.g. ``http://127.0.0.1:8080/v1``.
        model: Name of the model there.
        key_variable: Environment variable that holds the key; sent only where it is set, and never written anywhere.
        temperature: Of the sampling.
        timeout: Seconds for one answer.
    """

    url: str
    model: str
    key_variable: str = "OPENAI_API_KEY"
    temperature: float = 1.0
    timeout: float = 120.0

    @property
    def name(self) -> str:
        """See `PromptRefiner`."""
        return f"chat {self.model} at {self.url}, temperature {self.temperature:g}"

    def refine(self, task: Task, count: int, seed: int) -> list[str]:
        """See `PromptRefiner`.

        Raises:
            ModelsError: The endpoint cannot be reached, refuses, or answers with too few versions.
        """
        objects = f" There are: {', '.join(task.objects)}." if task.objects else ""
        found: list[str] = []
        for attempt in range(ATTEMPTS):
            system = INSTRUCTION.format(count=count - len(found), objects=objects)
            found += versions(self._ask(system, task.prompt, seed + attempt))
            if len(found) >= count:
                return found[:count]
        raise ModelsError(f"{self.url}: {self.model} gave {len(found)} of {count} versions of {task.prompt!r}")

    def _ask(self, system: str, prompt: str, seed: int) -> str:
        messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
        body = {"model": self.model, "messages": messages, "temperature": self.temperature, "seed": seed}
        answer = self._post(json.dumps(body).encode())
        try:
            return answer["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError) as error:
            raise ModelsError(f"{self.url} answered without choices: {str(answer)[:200]}") from error

    def _post(self, body: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.key_variable):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(f"{self.url.rstrip('/')}/chat/completions", body, headers)
        for attempt in range(ATTEMPTS):
            try:
                with urllib.request.urlopen(request, timeout=self.timeout) as response:
                    return json.load(response)
            except urllib.error.HTTPError as error:
                reason = f"{error.code} {error.reason}: {error.read(200).decode(errors='replace')}"
                if error.code not in RETRY:
                    raise ModelsError(f"{self.url} refused: {reason}") from error
            except (OSError, json.JSONDecodeError) as error:
                reason = str(error)
            if attempt < ATTEMPTS - 1:
                time.sleep(PATIENCE * 2**attempt)
        raise ModelsError(
            f"{self.url} cannot be asked after {ATTEMPTS} attempts: {reason}; samples made so far are kept"
        )


def versions(answer: str) -> list[str]:
    """The lines of an answer without numbers, bullets and quotes."""
    lines = (re.sub(r"^\s*(?:\d+[.):]|[-*•])\s*", "", line).strip().strip('"') for line in answer.splitlines())
    return [line for line in lines if line]
