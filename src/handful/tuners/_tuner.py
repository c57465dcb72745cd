"""The base class of every tuner: its interface (`_base.BaseTuner`) and the training of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from handful.contracts import ImageRef
from handful.encoders.prompts import ClassPrompts
from handful.encoders.towers import Tunable
from handful.tuners._base import BaseTuner
from handful.tuners.training.fit import Trained, fit


class Tuner(BaseTuner):
    """Changes an encoder, learned from a handful of labelled images."""

    def fit(
        self,
        encoder: Tunable,
        images: Sequence[ImageRef],
        labels: Sequence[str],
        text: ClassPrompts,
        **settings: Any,
    ) -> Trained:
        """Train it; see `handful.tuners.fit`, which trains several tuners together."""
        return fit([self], encoder, images, labels, text, **settings)
