"""Train `tiny`, the embedded CLIP, on the playground.

Usage: python scripts/train_tiny.py --run runs/tiny --steps 3400 --decay 800

The learning rate warms up, stays, and falls to zero over the last `--decay` steps; so a run can be
ended from any checkpoint with `--resume CHECKPOINT --steps LAST --decay LAST-CHECKPOINT`. Beside
the contrastive loss, a linear head on the image features predicts which attributes, and pairs of
them on one object, occur in the scene; it is thrown away afterwards.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from handful.data import playground
from tiny_pool import ATTRIBUTES, WORDINGS, Pool, make
from tiny_tokenizer import LENGTH, build

MEAN = STD = (0.5, 0.5, 0.5)


def model_for(tokenizer: CLIPTokenizer, width: int, layers: int) -> CLIPModel:
    text = {
        "vocab_size": len(tokenizer), "hidden_size": 128, "intermediate_size": 512,
        "num_hidden_layers": 4, "num_attention_heads": 4, "max_position_embeddings": LENGTH,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id, "hidden_act": "gelu",
    }  # fmt: skip
    vision = {
        "hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers,
        "num_attention_heads": width // 32, "image_size": 64, "patch_size": 8,
        "hidden_act": "gelu",
    }  # fmt: skip
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=width)
    model = CLIPModel(config)
    model.set_attn_implementation("eager")  # its backward pass in bfloat16 is twice as fast here
    return model


def pixels_of(images: np.ndarray) -> Tensor:
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    return x.div_(127.5).sub_(1)


def image_features(model: CLIPModel, pixels: Tensor) -> Tensor:
    return model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)


def text_features(model: CLIPModel, ids: Tensor, mask: Tensor) -> Tensor:
    pooled = model.text_model(input_ids=ids, attention_mask=mask).pooler_output
    return model.text_projection(pooled)


def tokens(tokenizer: CLIPTokenizer, texts: list[str]) -> tuple[Tensor, Tensor]:
    batch = tokenizer(texts, padding=True, truncation=True, max_length=LENGTH, return_tensors="pt")
    return batch["input_ids"], batch["attention_mask"]


def contrastive(images: Tensor, texts: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """Symmetric InfoNCE; pairs whose captions are the same text share the probability."""
    logits = scale * normalize(images, dim=1) @ normalize(texts, dim=1).T
    target = same / same.sum(dim=1, keepdim=True)
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


@torch.inference_mode()
def held_out_accuracy(model: CLIPModel, tokenizer: CLIPTokenizer, count: int = 590) -> float:
    """Zero-shot over all held-out compositions, one object an image, in percent."""
    names = [" ".join(c) for c in playground.HELD_OUT]
    text = normalize(
        text_features(model, *tokens(tokenizer, [f"a photo of a {n}." for n in names]))
    )
    hits = 0
    for start in range(0, count, 118):
        scenes = [
            playground.scene(5_000_000 + i, objects=1, compositions="held_out")
            for i in range(start, min(start + 118, count))
        ]
        pictures = pixels_of(np.stack([playground.render(s) for s in scenes]))
        found = (normalize(image_features(model, pictures)) @ text.T).argmax(1).tolist()
        hits += sum(
            names[f] == " ".join(s.objects[0].composition)
            for f, s in zip(found, scenes, strict=True)
        )
    return 100 * hits / count


def export(model: CLIPModel, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write the checkpoint as any hub checkpoint lies: half precision, config, tokenizer."""
    model.half().save_pretrained(folder)
    model.float()
    tokenizer.backend_tokenizer.no_padding()  # what training last asked for is not the tokenizer's
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64},
        image_mean=list(MEAN), image_std=list(STD),
    ).save_pretrained(folder)  # fmt: skip


def rate(step: int, steps: int, decay: int, peak: float) -> float:
    return peak * min((step + 1) / 300, (steps - step) / decay, 1)


class Run:
    """The networks, the optimiser, and how far they are."""

    def __init__(self, a: argparse.Namespace, pool: Pool, tokenizer: CLIPTokenizer) -> None:
        torch.manual_seed(a.seed)
        self.a, self.pool, self.tokenizer = a, pool, tokenizer
        self.model = model_for(tokenizer, a.width, a.layers)
        self.aux = nn.Linear(a.width, ATTRIBUTES)
        self.parts = nn.ModuleList([self.model, self.aux])
        self.optimiser = torch.optim.AdamW(
            self.parts.parameters(), a.rate, (0.9, 0.98), weight_decay=0.05
        )
        self.step = self.pairs = 0
        if a.resume:
            saved = torch.load(a.resume, weights_only=True)
            self.parts.load_state_dict(saved["parts"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.step, self.pairs = saved["step"], saved["pairs"]

    def save(self) -> None:
        """Write the checkpoint that `--resume` takes."""
        state = {
            "parts": self.parts.state_dict(), "optimiser": self.optimiser.state_dict(),
            "step": self.step, "pairs": self.pairs,
        }  # fmt: skip
        torch.save(state, self.a.run / "last.pt")

    def advance(self) -> float:
        """One step; its contrastive loss."""
        a, pool = self.a, self.pool
        for group in self.optimiser.param_groups:
            group["lr"] = rate(self.step, a.steps, a.decay, a.rate)
        rng = np.random.default_rng([a.seed, self.step])
        rows = np.sort(rng.integers(0, len(pool.texts), a.batch))
        texts = [
            pool.texts[r][w] for r, w in zip(rows, rng.integers(0, WORDINGS, a.batch), strict=True)
        ]
        with torch.autocast("cpu", torch.bfloat16):
            images = image_features(self.model, pixels_of(pool.pixels[rows]))
            words = text_features(self.model, *tokens(self.tokenizer, texts))
            guessed = self.aux(images).float()
        scale = self.model.logit_scale.exp().clamp(max=100)
        main = contrastive(images.float(), words.float(), scale, alike(texts))
        wanted = torch.from_numpy(pool.attributes[rows]).float()
        loss = main + a.aux * binary_cross_entropy_with_logits(guessed, wanted)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parts.parameters(), 1.0)
        self.optimiser.step()
        self.step, self.pairs = self.step + 1, self.pairs + a.batch
        return main.item()


def alike(texts: list[str]) -> Tensor:
    """`[B, B]`: 1 where two captions are the same text."""
    number = {t: i for i, t in enumerate(texts)}
    key = torch.tensor([number[t] for t in texts])
    return (key[:, None] == key[None]).float()


def train(a: argparse.Namespace, pool: Pool, tokenizer: CLIPTokenizer) -> CLIPModel:
    run = Run(a, pool, tokenizer)
    print(sum(p.numel() for p in run.model.parameters()), "parameters", flush=True)
    began, losses = time.perf_counter(), []
    while run.step < a.steps:
        losses.append(run.advance())
        if run.step % a.every and run.step < a.steps:
            continue
        run.model.eval()
        line = {
            "step": run.step, "pairs": run.pairs, "loss": float(np.mean(losses)),
            "held_out": held_out_accuracy(run.model, tokenizer),
            "scale": run.model.logit_scale.exp().item(), "seconds": time.perf_counter() - began,
        }  # fmt: skip
        run.model.train()
        losses = []
        print(line, flush=True)
        with (a.run / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        run.save()
    return run.model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="pool, log and checkpoints")
    parser.add_argument("--out", type=Path, help="folder of the finished checkpoint")
    parser.add_argument("--pool", type=int, default=300_000)
    parser.add_argument("--steps", type=int, default=3400)
    parser.add_argument("--decay", type=int, default=800)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--aux", type=float, default=10.0)
    parser.add_argument("--width", type=int, default=160)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--every", type=int, default=250)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    began = time.perf_counter()
    pool = make(a.run, a.pool, processes=a.threads)
    print(f"pool of {a.pool} after {time.perf_counter() - began:.0f} s", flush=True)
    tokenizer = build(t for texts in pool.texts[:20_000] for t in texts)
    print(len(tokenizer), "tokens", flush=True)
    model = train(a, pool, tokenizer)
    export(model, tokenizer, a.out or a.run / "tiny")


if __name__ == "__main__":
    main()
