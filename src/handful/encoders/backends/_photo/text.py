"""The text tower of `photo`: word pieces to vectors in the space of the image tower's features.

A narrow table of word pieces, two blocks of a pre-norm transformer, the mean over the tokens of a
text, and one linear map to the width of the image features. How it was taught: docs/photo.md,
scripts/train_photo.py. On disk each matrix is int8 with one float32 scale a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from handful.encoders.backends._photo.transformer import Block
from handful.encoders.checkpoint import first_line, read_json
from handful.errors import InputError

WEIGHTS = "text.safetensors"
TOKENIZER = "tokenizer.json"
_SCALE = ".scale"  # ending of the name of an int8 matrix's row scales


class PhotoText(nn.Module):
    """Token ids to `[N, D]` vectors whose cosine with image features ranks classes.

    Args:
        vocabulary: number of word pieces.
        table: width of their table.
        width: of the transformer.
        layers: number of blocks.
        heads: of each attention.
        inner: width inside each MLP.
        window: most tokens of a text.
        dim: D, width of the image features.
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        table: int,
        width: int,
        layers: int,
        heads: int,
        inner: int,
        window: int,
        dim: int,
    ) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, table)
        self.expand = nn.Linear(table, width)
        self.position_embedding = nn.Embedding(window, width)
        self.blocks = nn.ModuleList(Block(width, heads, inner) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, dim)

    def embed(self, input_ids: Tensor) -> Tensor:
        """Token ids `[N, L]` to the input `[N, L, W]` of the first block."""
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        embedded = self.expand(self.token_embedding(input_ids))
        out: Tensor = embedded + self.position_embedding(places)
        return out

    def pooled(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """`[N, W]`, what the projection is applied to."""
        hidden = self.embed(input_ids)
        attended = attention_mask.bool()[:, None, None, :]
        for block in self.blocks:
            hidden = block(hidden, attended)
        weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
        out: Tensor = self.norm(mean)
        return out

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """`[N, D]`, not scaled to length one.

        Args:
            input_ids: `[N, L]` int64 word pieces.
            attention_mask: `[N, L]` int64, 1 for a token and 0 for padding.
        """
        out: Tensor = self.projection(self.pooled(input_ids, attention_mask))
        return out

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """The tower as `config.json` describes it, with the weights of `text.safetensors`.

        Raises:
            InputError: a file is missing or damaged, or the two do not fit together.
        """
        config = read_json(folder / "config.json")
        path = folder / WEIGHTS
        try:
            model = cls(**config["text"])
            model.load_state_dict(dequantize(load_file(path)))
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{folder / 'config.json'}: does not describe the text tower ({first_line(error)})"
            ) from error
        except (OSError, SafetensorError, RuntimeError) as error:
            raise InputError(
                f"{path}: cannot be read as the text tower of config.json ({first_line(error)}); "
                "install handful again"
            ) from error
        return model.eval()


def quantize(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each matrix as int8 with one scale a row (`NAME.scale`), vectors as float32."""
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        if value.ndim != 2:
            out[name] = value.float().contiguous()
            continue
        scale = value.float().abs().amax(dim=1).clamp(min=1e-12) / 127
        out[name] = (value.float() / scale[:, None]).round().to(torch.int8).contiguous()
        out[name + _SCALE] = scale
    return out


def dequantize(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `quantize`, in float32."""
    return {
        name: value.float() * tensors[name + _SCALE][:, None] if name + _SCALE in tensors else value
        for name, value in tensors.items()
        if not name.endswith(_SCALE)
    }


class PhotoTokens:
    """Texts to lower-case word pieces, padded to the longest of a batch.

    Args:
        tokenizer: of the library `tokenizers`, with neither padding nor truncation set.
        window: most tokens of a text.
    """

    def __init__(self, tokenizer: Any, window: int) -> None:
        self.tokenizer, self.window = tokenizer, window
        tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")  # noqa: S106
        tokenizer.enable_truncation(window)

    def encode(self, texts: Sequence[str]) -> tuple[dict[str, Tensor], int | None]:
        """N texts to `input_ids` and `attention_mask` [N, L], and the first cut text, if any."""
        encodings = self.tokenizer.encode_batch(list(texts))
        inputs = {
            "input_ids": torch.tensor([e.ids for e in encodings]),
            "attention_mask": torch.tensor([e.attention_mask for e in encodings]),
        }
        return inputs, next((i for i, e in enumerate(encodings) if e.overflowing), None)

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """The tokenizer of `tokenizer.json` with the window that `config.json` states.

        Raises:
            InputError: a file is missing or damaged.
        """
        from tokenizers import Tokenizer

        window = int(read_json(folder / "config.json")["text"]["window"])
        path = folder / TOKENIZER
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise InputError(
                f"{path}: cannot be read as a tokenizer ({first_line(error)})"
            ) from error
        return cls(tokenizer, window)
