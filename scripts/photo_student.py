"""Teaching the text tower of `photo` what the dictionary says: distillation without any image.

The target of a text is what MiniLM makes of the whole dictionary entry (names and definition),
written as the principal components of a kernel over the texts of the 1000 classes. The tower sees
mostly the name alone, so it has to learn what the name means.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from handful.encoders.backends._photo.text import PhotoText
from photo_alignment import gram, unit
from photo_dictionary import Texts

SIZES = {"table": 160, "width": 256, "layers": 2, "heads": 4, "inner": 512, "window": 64}
COMPONENTS = 256
_BATCH, _RATE, _WARMUP, _TEMPERATURE, _LONGEST = 512, 1.5e-3, 50, 0.1, 24


_KINDS = (
    "prompt", "name", "name", "prompt", "phrase", "name", "prompt", "name", "name", "definition",
)  # fmt: skip


def meanings(rows: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Kernel principal components `[N, COMPONENTS]` of unit rows `[N, E]`, of length one.

    Args:
        rows: MiniLM's of N entries.
        anchors: of the classes, whose kernel the components are of.
    """
    values, axes = np.linalg.eigh(gram(anchors, anchors).astype(np.float64))
    values, axes = values[::-1][:COMPONENTS], axes[:, ::-1][:, :COMPONENTS]
    parts = [gram(rows[i : i + 2000], anchors) for i in range(0, len(rows), 2000)]
    return unit(np.concatenate(parts) @ (axes / np.sqrt(values))).astype(np.float32)


def loss_of(given: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """The loss, and the mean cosine, of `[N, E]` outputs.

    Twice 1 - cosine, plus a contrastive term: the similarities to all targets of the batch have to
    be distributed as those of the right target.
    """
    rows = normalize(given, dim=1)
    cosine = (rows * wanted).sum(dim=1).mean()
    ideal = (wanted @ wanted.T / _TEMPERATURE).softmax(dim=1)
    found = (rows @ wanted.T / _TEMPERATURE).log_softmax(dim=1)
    return 2 * (1 - cosine) - 0.3 * (ideal * found).sum(dim=1).mean(), cosine.detach()


def new_tower(pieces: Tensor, seed: int) -> PhotoText:
    """A tower that knows word pieces `[V, T]` and nothing else."""
    torch.manual_seed(seed)
    tower = PhotoText(vocabulary=len(pieces), dim=COMPONENTS, **SIZES)
    tower.token_embedding.weight.data.copy_(pieces)
    nn.init.normal_(tower.position_embedding.weight, std=0.02)
    nn.init.orthogonal_(tower.expand.weight)
    return tower


def tokenise(tokenizer: object, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Texts to ids and mask `[N, L]`, padded to the longest."""
    encoded = tokenizer.encode_batch(texts)  # type: ignore[attr-defined]
    ids = torch.tensor([e.ids for e in encoded])
    return ids, torch.tensor([e.attention_mask for e in encoded])


def teach(
    tower: PhotoText, tokenizer: object, texts: Texts, wanted: np.ndarray, steps: int, curve: Path
) -> PhotoText:
    """Train the tower in place; the curve goes to a table of step, seconds, loss and cosine.

    Args:
        tower: see `new_tower`.
        tokenizer: of the library tokenizers, padding on.
        texts: draws texts of entries.
        wanted: `[N, E]` target of each entry and each phrase.
        steps: of 512 texts; every tenth is of 128 definitions, see `_KINDS`.
        curve: a CSV file.
    """
    tokenizer.enable_truncation(_LONGEST)  # type: ignore[attr-defined]
    target = torch.from_numpy(wanted)
    optimiser = torch.optim.AdamW(
        tower.parameters(), lr=_RATE, weight_decay=0.01, betas=(0.9, 0.98)
    )
    start, lines, recent = time.monotonic(), ["step,seconds,loss,cosine"], []
    tower.train()
    for step in range(steps):
        rate = _RATE * min(1, (step + 1) / _WARMUP) * min(1, (1 - step / steps) / 0.6)
        for group in optimiser.param_groups:
            group["lr"] = rate
        kind = _KINDS[step % len(_KINDS)]
        drawn, places = texts.draw(_BATCH // 4 if kind == "definition" else _BATCH, kind)
        with torch.autocast("cpu", torch.bfloat16):
            given = tower(*tokenise(tokenizer, drawn))
        loss, cosine = loss_of(given.float(), target[places])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimiser.step()
        recent.append((float(loss.detach()), float(cosine)))
        if (step + 1) % 100 == 0:
            mean_loss, mean_cosine = np.mean(recent, axis=0)
            seconds = time.monotonic() - start
            lines.append(f"{step + 1},{seconds:.0f},{mean_loss:.3f},{mean_cosine:.3f}")
            recent = []
            curve.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tower.eval()
