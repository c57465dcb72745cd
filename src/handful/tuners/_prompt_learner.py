"""The learned tensors of a soft prompt, and the encoding of texts with them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from handful.errors import InputError
from handful.tuners._context_tokens import ContextLocator, token_embedding


class PromptLearner(nn.Module):
    """M contexts, learned as the difference to their initial values.

    Args:
        locator: of the contexts in the texts of one encoder.
        start: `[1 or C, M, W]` initial values, for all classes or each of them.
        classes: the names they are for.
        net: CoCoOp's meta-network from `[N, D]` image features to `[N, W]`; None without one.
    """

    start: Tensor

    def __init__(
        self,
        locator: ContextLocator,
        start: Tensor,
        classes: tuple[str, ...],
        net: nn.Module | None,
    ) -> None:
        super().__init__()
        # zeros: weight decay pulls to the initial contexts, and a scaled delta lies between them
        self.contexts = nn.Parameter(torch.zeros_like(start))
        # Not persistent: it can be computed again, so a delta need not hold it.
        self.register_buffer("start", start, persistent=False)
        self.locator, self.net, self.classes = locator, net, classes
        self.index = {name: i for i, name in enumerate(classes)}

    def current(self) -> Tensor:
        """`[1 or C, M, W]` contexts."""
        return self.start + self.contexts

    def shift(self, features: Tensor) -> Tensor:
        """`[N, W]` of `[N, D]` unit image features: what CoCoOp adds to every context."""
        if self.net is None:
            raise InputError("these contexts do not depend on the image")
        shift: Tensor = self.net(features)
        return shift

    def encode(self, texts: Sequence[str], contexts: Tensor) -> Tensor:
        """`[N, D]` of N texts, with contexts `[N or 1, M, W]` that are one text's each."""
        encoder, prompts = self.locator.encoder, self.locator.tokenize(texts)
        with encoder.text.with_embeddings(prompts.embeddings(token_embedding(encoder), contexts)):
            return encoder.text.forward(prompts.inputs)

    def encode_product(self, texts: Sequence[str], contexts: Tensor) -> Tensor:
        """`[K, N, D]` of N texts with each of K contexts `[K, M, W]`."""
        encoder, prompts = self.locator.encoder, self.locator.tokenize(texts)
        table, count = token_embedding(encoder), len(contexts)
        embeddings = torch.cat([prompts.embeddings(table, own[None]) for own in contexts])
        inputs = {k: v.repeat(count, 1) for k, v in prompts.inputs.items()}
        with encoder.text.with_embeddings(embeddings):
            return encoder.text.forward(inputs).reshape(count, len(texts), -1)
