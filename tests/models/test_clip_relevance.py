"""CLIP and SigLIP as dense relevance, on tiny randomly initialised models of the same classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

pytest.importorskip("transformers", reason="the extra `full` is not installed")

from ctrl_world_files import WORDS, write_relevance
from safetensors.torch import load_file, save_file
from transformers import CLIPModel

from models.errors import BundleError
from models.relevance.dense import DenseRelevance, RelevanceConfig
from models.relevance.latent import LatentRelevance

CONFIG = RelevanceConfig(scale=1.0)


@pytest.fixture(scope="module", params=["clip", "siglip"])
def dense(request, tmp_path_factory) -> DenseRelevance:
    torch.set_num_threads(1)
    return DenseRelevance.from_folder(write_relevance(request.param, tmp_path_factory.mktemp(request.param)), CONFIG)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(0))


def unit(features: Tensor) -> Tensor:
    return features / features.square().sum(-1, keepdim=True).sqrt()


@torch.no_grad()
def by_hand(dense: DenseRelevance, images: Tensor, phrase: str) -> Tensor:
    """The same worked out layer by layer, one region at a time."""
    model, vision = dense.model, dense.model.vision_model
    pixels = (images - torch.tensor([0.5, 0.4, 0.3])[:, None, None]) / torch.tensor([0.2, 0.3, 0.4])[:, None, None]
    x = vision.embeddings(pixels, interpolate_pos_encoding=True)
    if isinstance(model, CLIPModel):
        x = vision.pre_layrnorm(x)
        for layer in vision.encoder.layers[:-1]:
            x = layer(x, attention_mask=None)
        last = vision.encoder.layers[-1]
        x = last.self_attn.out_proj(last.self_attn.v_proj(last.layer_norm1(x)))
        features = model.visual_projection(vision.post_layernorm(x))[:, 1:]
    else:
        for layer in vision.encoder.layers:
            x = layer(x, attention_mask=None)
        x = vision.post_layernorm(x)
        # a picture that consists of one patch only: the pooling head has nothing else to look at
        features = torch.stack([vision.head(x[:, i : i + 1]) for i in range(x.shape[1])], dim=1)
    queries = []
    for text in (phrase, *CONFIG.contrasts):
        words = f"a photo of a {text}.".replace(".", " .").split()
        ids = [0, *(WORDS.index(word) + 2 for word in words), len(WORDS) + 2]
        mask = torch.tensor([[1] * len(ids) + [0] * (12 - len(ids))])
        padded = torch.tensor([ids + [1] * (12 - len(ids))])
        named = {"attention_mask": mask} if isinstance(model, CLIPModel) else {}
        queries.append(unit(model.get_text_features(input_ids=padded, **named).pooler_output)[0])
    scores = unit(features) @ torch.stack(queries).T * torch.tensor(2.0).exp()
    against = torch.stack([torch.softmax(scores[..., [0, k]], -1)[..., 0] for k in range(1, len(queries))])
    return against.min(0).values.unflatten(1, (3, 5))


def test_regions_are_scored_as_worked_out_by_hand(dense, images):
    ours = dense(images, "carrot")
    assert ours.shape == (2, 3, 5)
    assert torch.allclose(ours, by_hand(dense, images, "carrot"), atol=1e-5)
    assert ours.min() >= 0
    assert ours.max() <= 1
    assert ours.std() > 1e-3


def test_relevance_goes_to_the_region_that_looks_like_the_phrase(dense, images):
    """The phrase's embedding is made that of one region's features, against nothing: that region must win."""
    wanted = dense.regions(images)[1, 2, 3]
    dense._known["pea"] = torch.stack([wanted, torch.zeros_like(wanted)])
    score = dense(images, "pea")
    dense._known.clear()
    assert score.flatten().argmax().item() == 15 + 2 * 5 + 3


def test_a_changed_patch_changes_its_own_region_most(dense, images):
    changed = images.clone()
    changed[:, :, 8:16, 16:24] = 1 - changed[:, :, 8:16, 16:24]
    difference = (dense.regions(changed) - dense.regions(images)).norm(dim=-1)
    assert difference[0].argmax().item() == 1 * 5 + 2


def test_pictures_are_enlarged_and_cut_to_whole_patches(dense, images):
    wide = DenseRelevance(dense.model, dense.tokenizer, (0.5,) * 3, (0.5,) * 3, RelevanceConfig(scale=2.5))
    assert wide.regions(images).shape == (2, 60 // 8, 100 // 8, 16 if isinstance(dense.model, CLIPModel) else 32)


def test_the_phrase_itself_is_no_contrast(dense, images):
    with torch.no_grad():
        assert len(dense._embedding("table")) == len(CONFIG.contrasts)
        assert len(dense._embedding("carrot")) == 1 + len(CONFIG.contrasts)
    assert dense(images, "table").std() > 0


def test_latents_are_decoded_on_their_way_and_phrases_share_the_features(dense):
    asked = []

    def decode(latents: Tensor) -> Tensor:
        asked.append(len(latents))
        views = latents.unflatten(3, (3, 3)).transpose(2, 3)[:, :, :, :3]
        return functional.interpolate(views.flatten(0, 2), scale_factor=8).unflatten(0, views.shape[:3]).sigmoid()

    head = LatentRelevance(dense, decode, (12, 20))
    latents = torch.randn(2, 4, 4, 9, 5, generator=torch.Generator().manual_seed(0))
    one, other = head.relevance(latents, "carrot"), head.relevance(latents, "bowl")
    assert one.shape == (2, 4, 3, 12, 20)
    assert not torch.equal(one, other)
    assert asked == [1, 1]  # clip by clip, once for both phrases
    again = head.relevance(latents.clone(), "carrot")
    assert torch.equal(again, one)
    swapped = torch.cat([latents[..., 3:6, :], latents[..., :3, :], latents[..., 6:, :]], dim=3)
    assert torch.allclose(head.relevance(swapped, "carrot"), one[:, :, [1, 0, 2]], atol=1e-6)
    assert len(list(head.parameters())) == len(list(dense.parameters()))


def test_what_is_missing_is_said(tmp_path: Path):
    with pytest.raises(BundleError, match="nowhere is missing: download openai/clip-vit-base-patch16 or google/siglip"):
        DenseRelevance.from_folder(tmp_path / "nowhere")
    folder = write_relevance("clip", tmp_path / "clip")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(BundleError, match=r"preprocessor_config\.json"):
        DenseRelevance.from_folder(folder)
    (write_relevance("clip", tmp_path / "other") / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(BundleError, match="type 'bert', need clip or siglip"):
        DenseRelevance.from_folder(tmp_path / "other")
    (write_relevance("siglip", tmp_path / "bare") / "model.safetensors").unlink()
    with pytest.raises(BundleError, match="not a whole CLIP or SigLIP"):
        DenseRelevance.from_folder(tmp_path / "bare")


WEIGHT = "vision_model.head.attention.in_proj_weight"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda weights: weights.pop(WEIGHT), f"1 weights are missing, the first of them {WEIGHT}"),
        (lambda weights: weights.update({WEIGHT: torch.ones(3, 3)}), "not a whole CLIP or SigLIP: .*mismatched"),
    ],
)
def test_weights_that_are_not_there_are_not_made_up(tmp_path: Path, damage, message: str):
    file = write_relevance("siglip", tmp_path / "part") / "model.safetensors"
    weights = load_file(file)
    damage(weights)
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(BundleError, match=message):
        DenseRelevance.from_folder(tmp_path / "part")
    file.write_bytes(file.read_bytes()[:999])
    with pytest.raises(BundleError, match="not a whole CLIP or SigLIP"):
        DenseRelevance.from_folder(tmp_path / "part")
