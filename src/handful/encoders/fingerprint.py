"""The identity of an encoder: digests of weights, architecture, preprocessing and tokenizer.

Digests are taken of what the files *contain*, not of their layout, so that they are equal on every
machine, at every precision and in every version of the libraries:

- weights: each tensor's name, type, shape and bytes, whatever the order or the sharding;
- architecture: numbers of the configuration that steer the computation and leave no trace in the
  weights (activation, heads, epsilon, ...), with the defaults of the library filled in;
- preprocessing: what the image processor does, likewise;
- tokenizer: the bytes of the vocabulary files and the settings that change how text is cut.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from handful.encoders.checkpoint import VOCABULARIES, first_line, read_json
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
_KINDS = {  # dtypes of torch as safetensors names them, so that both formats have one digest
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
    on = {key: of for key, of in _PREPROCESSING.items() if getattr(processor, key, None)}
    used = [*on, *(setting for of in on.values() for setting in of)]
    return join(
        family,
        weights,
        architecture=[facts(t, _ARCHITECTURE) for t in towers],
        preprocessing=facts(processor, used),
        tokenizer=tokenizer_digest(folder),
    )


def join(
    model: str, weights: str, *, architecture: list[Any], preprocessing: Any, tokenizer: str
) -> str:
    """The parts as one text; architecture and preprocessing are digested here."""
    parts = {
        "model": model,
        "weights": weights,
        "architecture": digest(architecture),
        "preprocessing": digest(preprocessing),
        "tokenizer": tokenizer,
    }
    return " ".join(f"{key}:{value}" for key, value in parts.items())


@contextmanager
def hashing(files: Iterable[Path]) -> Iterator[Future[str]]:
    """Hash weight files while the body loads them: hashing waits for the disk, loading for the CPU.

    Raises:
        InputError: an error of the hashing is raised before one of the body, because it names what
            is wrong with a damaged file.
    """
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(weights_digest, files)
        try:
            yield found
        except InputError:
            found.result()
            raise


def weights_digest(files: Iterable[Path]) -> str:
    """Digest of all tensors; files are read once, tensors are hashed on several threads.

    Raises:
        InputError: a file that is cut short, does not match its header, or holds more than tensors.
    """
    lines: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        for path in files:
            reader = _safetensors if path.suffix == ".safetensors" else _pickled
            lines.extend(pool.map(_line, *zip(*reader(path), strict=True)))
    return short_sha256("\n".join(sorted(lines)).encode())


def _line(name: str, kind: str, shape: tuple[int, ...], data: Any) -> str:
    return f"{name}\t{kind}\t{shape}\t{hashlib.sha256(data).hexdigest()}"


def _safetensors(path: Path) -> Iterator[tuple[str, str, tuple[int, ...], Any]]:
    """Tensors of a file as it stores them; the file is mapped into memory, nothing is copied."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  (no mapping)
                stored = file.get_slice(name)
                kind, shape = stored.get_dtype(), tuple(stored.get_shape())
                yield name, kind, shape, _raw(file.get_tensor(name))
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path}: is no safetensors file, is cut short or is damaged ({first_line(error)}); "
            "download it again"
        ) from error


def _pickled(path: Path) -> Iterator[tuple[str, str, tuple[int, ...], Any]]:
    """Tensors of a pytorch_model.bin, read by torch's unpickler that accepts tensors alone."""
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
            kind = str(value.dtype).removeprefix("torch.")
            yield name, _KINDS.get(kind, kind), tuple(value.shape), _raw(value)


def _raw(tensor: Any) -> Any:
    """The bytes of a torch tensor, without a copy."""
    import torch

    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data


def tokenizer_digest(folder: Path) -> str:
    """Digest of vocabulary bytes and settings; of `tokenizer.json` alone where there is one."""
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
    found.update(_canonical(bare))
    return found.hexdigest()[:16]


def facts(source: Any, keys: Iterable[str]) -> dict[str, Any]:
    """The named settings of an object or dictionary, as JSON.

    None and False are the same as absent, as versions of the libraries differ in that.
    """
    if isinstance(source, dict):
        values = {key: source.get(key) for key in keys}
    else:
        values = {key: getattr(source, key, None) for key in keys}
    return {k: _plain(v) for k, v in values.items() if v is not None and v is not False}


def _plain(value: Any) -> Any:
    """A setting as JSON; never the repr of a library's own class, which versions change."""
    if isinstance(value, str | bool):
        return value
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    try:
        pairs = dict(value)  # a mapping, or the library's own kind of size
    except (TypeError, ValueError) as error:
        raise InputError(f"a setting of the checkpoint cannot be read: {value!r}") from error
    return {str(k): _plain(v) for k, v in pairs.items() if v is not None}


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of a value as JSON."""
    return short_sha256(_canonical(value))


def short_sha256(data: bytes) -> str:
    """Sixteen hexadecimal digits of SHA-256: a part of a fingerprint."""
    return hashlib.sha256(data).hexdigest()[:16]


def _canonical(value: Any) -> bytes:
    """The one way to write a value as JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
