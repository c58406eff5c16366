"""Files that hold arrays and nothing else: `.npz` and `.safetensors`. A pickle can run code when it is read, so none is."""

import pathlib
import zipfile
import zlib
from collections.abc import Callable

import numpy as np

Arrays = dict[str, np.ndarray]


def read_arrays(argument: str, path: str | pathlib.Path, prefix: str) -> Arrays:
    """The arrays of a file whose names begin with `prefix`, under their whole names; the others are left unread."""
    path = pathlib.Path(path)
    if path.suffix not in _READERS:
        raise ValueError(
            f"{argument} must be a file of arrays, .npz or .safetensors, got {str(path)!r}. Pickles, such as PyTorch's .pt and "
            "its kin, can run code and are never read. Export the weights where they are trusted, with `numpy.savez(path, "
            "**{name: tensor.cpu().numpy() for name, tensor in module.state_dict().items()})` or "
            "`safetensors.torch.save_file(module.state_dict(), path)`."
        )
    return _READERS[path.suffix](argument, path, prefix)


def _read_npz(argument: str, path: pathlib.Path, prefix: str) -> Arrays:
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.lib.npyio.NpzFile):
            with file:
                return {name: file[name] for name in file.files if name.startswith(prefix)}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{argument} must be a readable .npz file of numbers; {str(path)!r} is damaged, or holds something else: {error}"
        ) from error
    raise ValueError(f"{argument} must be a file of named arrays, as numpy.savez writes it; {str(path)!r} holds one array.")


def _read_safetensors(argument: str, path: pathlib.Path, prefix: str) -> Arrays:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ImportError(
            f"{argument} is a .safetensors file; reading it takes `pip install 'momentum_rnn_jax[torch]'`, or safetensors alone."
        ) from error
    try:
        opened = safe_open(path, framework="np")
    except SafetensorError as error:
        raise ValueError(f"{argument} must be a readable .safetensors file; {str(path)!r}: {error}.") from error
    with opened as file:
        return {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118 it is no mapping


_READERS: dict[str, Callable[[str, pathlib.Path, str], Arrays]] = {".npz": _read_npz, ".safetensors": _read_safetensors}
