"""Who an encoder is: digests of weights, architecture, preprocessing and tokenizer.

Digests are taken of what the files *say*, so that they are equal on every machine, at every
precision and in every version of the libraries:

- weights: each tensor's name, type, shape and bytes, whatever the order or the sharding;
- architecture: numbers of the configuration that steer the computation and leave no trace in the
  weights (activation, heads, epsilon, ...), with the defaults of the library filled in;
- preprocessing: what the image processor does, likewise;
- tokenizer: the bytes of the vocabulary files and the settings that change how text is cut.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import pickle
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from handful.encoders.files import VOCABULARIES, read_json
from handful.errors import InputError

_ARCHITECTURE = (
    "hidden_act", "layer_norm_eps", "batch_norm_eps", "rms_norm_eps", "num_attention_heads",
    "image_size", "patch_size", "eos_token_id",
)  # fmt: skip
_PREPROCESSING = {  # a switch, and the settings that mean something only where it is on
    "do_resize": ("size", "resample"),
    "do_center_crop": ("crop_size",),
    "do_rescale": ("rescale_factor", "rescale_offset"),
    "do_normalize": ("image_mean", "image_std"),
    "include_top": ("image_std",),
    "do_pad": ("pad_size",),
    "max_num_patches": ("patch_size",),
}
_TOKENIZER = (
    "do_lower_case", "add_bos_token", "add_eos_token", "tokenize_chinese_chars", "strip_accents",
    "model_max_length", "bos_token", "eos_token", "pad_token", "unk_token", "cls_token",
    "sep_token",
)  # fmt: skip
_KINDS = {  # torch's names of types as safetensors writes them, so that both files say the same
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64",
    "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


def fingerprint(
    family: str, folder: Path, weights: str, towers: Iterable[Any], processor: Any
) -> str:
    """The parts as `key:value`, space-separated, so that a difference can be named part by part.

    Args:
        family: `model_type` of the configuration.
        folder: where the checkpoint lies.
        weights: digest of the weight files, see `weights_digest`.
        towers: configurations of the whole and of both towers.
        processor: the image processor as loaded.
    """
    architecture = [_facts(t, _ARCHITECTURE) for t in towers]
    on = {key: facts for key, facts in _PREPROCESSING.items() if getattr(processor, key, None)}
    used = [*on, *(fact for facts in on.values() for fact in facts)]
    parts = {
        "model": family,
        "weights": weights,
        "architecture": digest(canonical(architecture)),
        "preprocessing": digest(canonical(_facts(processor, used))),
        "tokenizer": tokenizer_digest(folder),
    }
    return " ".join(f"{key}:{value}" for key, value in parts.items())


def weights_digest(files: Iterable[Path]) -> str:
    """Digest of all tensors; files are read once, tensors are hashed on several threads.

    Raises:
        InputError: a file that is cut short, is not what it says, or holds more than tensors.
    """
    lines: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        for path in files:
            reader = _safetensors if path.suffix == ".safetensors" else _pickled
            lines.extend(pool.map(_line, *zip(*reader(path), strict=True)))
    return digest("\n".join(sorted(lines)).encode())


def _line(name: str, kind: str, shape: tuple[int, ...], data: Any) -> str:
    return f"{name}\t{kind}\t{shape}\t{hashlib.sha256(data).hexdigest()}"


def _safetensors(path: Path) -> Iterator[tuple[str, str, tuple[int, ...], Any]]:
    """Tensors of a file by its own table of contents: nothing is copied, nothing converted."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = int.from_bytes(file.read(8), "little")
        if not 2 <= head <= min(size - 8, 100_000_000):
            raise InputError(f"{path}: is no safetensors file or is cut short; download it again")
        try:
            table = json.loads(file.read(head))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: is damaged (its table of contents is unreadable)") from error
        if isinstance(table, dict):
            table.pop("__metadata__", None)
        if not isinstance(table, dict) or not all(_is_entry(t) for t in table.values()):
            raise InputError(
                f"{path}: is damaged (its table of contents does not say where tensors lie); "
                "download it again"
            )
        expected = 8 + head + max((t["data_offsets"][1] for t in table.values()), default=0)
        if size != expected:
            raise InputError(
                f"{path}: is cut short or damaged, expected {expected} bytes, got {size}; "
                "download it again"
            )
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    for name, entry in table.items():
        begin, end = (8 + head + offset for offset in entry["data_offsets"])
        yield name, entry["dtype"], tuple(entry["shape"]), data[begin:end]


def _is_entry(entry: Any) -> bool:
    """Whether a line of the table of contents has a type, a shape and a place."""
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        return False
    numbers = [entry.get("shape"), entry.get("data_offsets")]
    if not all(isinstance(n, list) and all(type(i) is int and i >= 0 for i in n) for n in numbers):
        return False
    return len(entry["data_offsets"]) == 2


def _pickled(path: Path) -> Iterator[tuple[str, str, tuple[int, ...], Any]]:
    """Tensors of a pytorch_model.bin, read by the unpickler that knows tensors and nothing else."""
    import torch

    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: holds something other than tensors, or is damaged; it was not loaded, since "
            "that could run code. Use a checkpoint with model.safetensors."
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise InputError(f"{path}: is cut short or damaged; download it again") from error
    if isinstance(tensors, dict) and isinstance(tensors.get("state_dict"), dict):
        tensors = tensors["state_dict"]  # of a training run: beside the optimiser's state
    if not isinstance(tensors, dict):
        raise InputError(f"{path}: expected tensors by name, got {type(tensors).__name__}")
    for name, value in tensors.items():
        if isinstance(value, torch.Tensor):
            raw = value.contiguous().reshape(-1).view(torch.uint8).numpy().data
            kind = str(value.dtype).removeprefix("torch.")
            yield name, _KINDS.get(kind, kind), tuple(value.shape), raw


def tokenizer_digest(folder: Path) -> str:
    """Vocabulary bytes and settings; `tokenizer.json` alone where it lies, for it says it all."""
    whole, *others = VOCABULARIES
    names = [whole] if (folder / whole).is_file() else [*others, "merges.txt", "added_tokens.json"]
    found = hashlib.sha256()
    for name in names:
        if (folder / name).is_file():
            found.update(name.encode() + hashlib.sha256((folder / name).read_bytes()).digest())
    path = folder / "tokenizer_config.json"
    stated = read_json(path) if path.is_file() else {}
    settings = {key: stated[key] for key in _TOKENIZER if stated.get(key) is not None}
    # A special token is written as a string or, by older versions, as an object around it.
    bare = {k: v.get("content") if isinstance(v, dict) else v for k, v in settings.items()}
    found.update(canonical(bare))
    return found.hexdigest()[:16]


def _facts(source: Any, keys: Iterable[str]) -> dict[str, Any]:
    """The named settings; None and False are the same as absent, as versions differ in that."""
    values = {k: getattr(source, k, None) for k in keys}
    return {k: plain(v) for k, v in values.items() if v is not None and v is not False}


def plain(value: Any) -> Any:
    """JSON of a setting; never the look of a library's own class, which versions change."""
    if isinstance(value, str | bool):
        return value
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    try:
        pairs = dict(value)  # a mapping, or the library's own kind of size
    except (TypeError, ValueError) as error:
        raise InputError(f"a setting of the checkpoint cannot be read: {value!r}") from error
    return {str(k): plain(v) for k, v in pairs.items() if v is not None}


def canonical(value: Any) -> bytes:
    """The one way to write a value as JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def digest(data: bytes) -> str:
    """Sixteen hexadecimal digits of SHA-256: a part of a fingerprint."""
    return hashlib.sha256(data).hexdigest()[:16]
