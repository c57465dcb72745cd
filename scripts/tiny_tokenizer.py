"""The tokenizer of `tiny`: CLIP's byte-level BPE, its merges learned from playground captions."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

LENGTH = 48  # tokens a text may have, begin and end included


def build(captions: Iterable[str], size: int = 400) -> CLIPTokenizer:
    """A tokenizer that spells any word: every byte is in it, alone and as the end of a word."""
    empty = CLIPTokenizer()  # for CLIP's own normaliser and splitting
    learner = Tokenizer(BPE(end_of_word_suffix="</w>"))
    learner.normalizer = empty.backend_tokenizer.normalizer
    learner.pre_tokenizer = empty.backend_tokenizer.pre_tokenizer
    alphabet = sorted(ByteLevel.alphabet())
    trainer = BpeTrainer(
        vocab_size=size + 512, end_of_word_suffix="</w>", initial_alphabet=alphabet
    )
    learner.train_from_iterator(captions, trainer)
    merges = [tuple(m) for m in _merges(learner)]
    tokens = [*alphabet, *(b + "</w>" for b in alphabet), *("".join(m) for m in merges)]
    vocabulary = {t: i for i, t in enumerate(dict.fromkeys(tokens))}
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LENGTH)


def _merges(tokenizer: Tokenizer) -> list[list[str]]:
    import json

    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [m if isinstance(m, list) else m.split(" ") for m in merges]
