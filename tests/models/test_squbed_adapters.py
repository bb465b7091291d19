from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.errors import ModelsError
from models.uncertainty.squbed import chat
from models.uncertainty.squbed.chat import ChatRefiner, versions
from models.uncertainty.squbed.encoders import ClipVideos, S3dVideos, SentenceTexts
from models.uncertainty.squbed.interfaces import Task

TASK = Task("put it away", objects=("pea", "fish"))


class Endpoint:
    """A chat endpoint that answers from a list of (status, body) and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, object]] = []
        self.asked: list[tuple[str, dict, str | None]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.asked.append((self.path, body, self.headers["Authorization"]))
                status, answer = endpoint.answers.pop(0)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setattr(chat, "PATIENCE", 0.0)
    made = Endpoint()
    yield made
    made.server.shutdown()
    made.server.server_close()


def said(text: str) -> tuple[int, object]:
    return 200, {"choices": [{"message": {"content": text}}]}


def test_a_chat_endpoint_refines_prompts(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    endpoint.answers = [said("1. put the pea away\n2) put the fish away"), said('- "stow the pea"\n* stow the fish')]
    refiner = ChatRefiner(endpoint.url + "/", "small", "SOME_KEY")
    assert refiner.refine(TASK, 3, 5) == ["put the pea away", "put the fish away", "stow the pea"]
    (path, first, key), (_, second, _) = endpoint.asked
    assert path == "/v1/chat/completions"
    assert key == "Bearer secret"
    assert first["model"] == "small"
    assert first["messages"][1] == {"role": "user", "content": "put it away"}
    assert "write 3 different" in first["messages"][0]["content"]
    assert "There are: pea, fish." in first["messages"][0]["content"]
    assert "write 1 different" in second["messages"][0]["content"]
    assert first["seed"] != second["seed"]
    assert "secret" not in refiner.name


def test_a_busy_endpoint_is_asked_again(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    endpoint.answers = [(429, {}), (503, {}), said("a\nb")]
    assert ChatRefiner(endpoint.url, "small").refine(TASK, 2, 0) == ["a", "b"]
    assert {key for _, _, key in endpoint.asked} == {None}


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([(401, {"error": "bad key"})], "refused: 401.*bad key"),
        ([(500, {})] * 4, "cannot be asked after 4 attempts: 500"),
        ([(200, {"nothing": 1})], "answered without choices"),
        ([said("")] * 4, "gave 0 of 2 versions"),
    ],
)
def test_an_endpoint_that_does_not_help_is_named(endpoint: Endpoint, answers, message):
    endpoint.answers = answers
    with pytest.raises(ModelsError, match=message):
        ChatRefiner(endpoint.url, "small").refine(TASK, 2, 0)


def test_nobody_there(endpoint: Endpoint):
    endpoint.server.server_close()
    with pytest.raises(ModelsError, match="cannot be asked"):
        ChatRefiner(endpoint.url, "small", timeout=0.5).refine(TASK, 2, 0)


def test_versions_are_lines_without_ornament():
    assert versions(' 1. one\n\n12) "two"\n- three\n• four\n5 peas\n') == ["one", "two", "three", "four", "5 peas"]


@pytest.mark.parametrize(
    ("module", "make", "package"),
    [
        ("sentence_transformers", lambda: SentenceTexts("m"), "sentence-transformers"),
        ("transformers", lambda: ClipVideos("m"), "transformers"),
        ("torchvision.models.video", S3dVideos, "torchvision"),
    ],
)
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, module: str, make, package: str):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModelsError, match=f"pip install {package}"):
        make()


def test_sentences_are_embedded_by_the_package(monkeypatch: pytest.MonkeyPatch):
    class Model:
        def __init__(self, name: str) -> None:
            if name == "far away":
                raise OSError("no network")

        def encode(self, texts: list[str]) -> np.ndarray:
            return np.array([[len(text), 1.0] for text in texts], np.float32)

    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=Model))
    assert SentenceTexts("near").embed(("a", "bcd")).tolist() == [[1.0, 1.0], [3.0, 1.0]]
    with pytest.raises(ModelsError, match="far away cannot be loaded: no network"):
        SentenceTexts("far away")


@pytest.mark.parametrize("wrapped", [False, True])
def test_clip_embeds_frames_spread_over_the_video(monkeypatch: pytest.MonkeyPatch, wrapped: bool):
    class Clip:
        def get_image_features(self, pixel_values: torch.Tensor):
            features = torch.stack([pixel_values.mean((1, 2, 3)), torch.ones(len(pixel_values))], dim=1)
            return SimpleNamespace(pooler_output=features) if wrapped else features

    def process(images: list[np.ndarray], return_tensors: str) -> dict[str, torch.Tensor]:
        return {"pixel_values": torch.stack([torch.from_numpy(image.copy()).float() for image in images])}

    package = SimpleNamespace(
        CLIPModel=SimpleNamespace(from_pretrained=lambda name: Clip()),
        CLIPImageProcessor=SimpleNamespace(from_pretrained=lambda name: process),
    )
    monkeypatch.setitem(sys.modules, "transformers", package)
    videos = np.zeros((2, 20, 4, 4, 3), np.uint8)
    videos[1, 10:] = 1
    vectors = ClipVideos("m").embed(videos)
    assert vectors[0].tolist() == [0.0, 1.0]
    assert vectors[1] == pytest.approx([0.5 / 2**0.5, (1 + 0.5**0.5) / 2])


def test_s3d_gets_enough_normalised_frames(monkeypatch: pytest.MonkeyPatch):
    seen = []

    class S3d(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classifier = torch.nn.Linear(3, 400)

        def forward(self, clip: torch.Tensor) -> torch.Tensor:
            seen.append((clip.shape, self.training))
            return self.classifier(clip.mean((2, 3, 4)))

    monkeypatch.setitem(sys.modules, "torchvision.models.video", SimpleNamespace(s3d=lambda weights: S3d()))
    vectors = S3dVideos().embed(np.full((2, 5, 8, 10, 3), 110, np.uint8))
    assert vectors.shape == (2, 3)
    assert seen == [((1, 3, 16, 224, 224), False)] * 2
    assert vectors[0] == pytest.approx([(110 / 255 - 0.43216) / 0.22803, 0.1659, 0.2535], abs=1e-3)
