"""Files that hold arrays and nothing else: `.npz` and `.safetensors`. Pickles are never read: reading one can run code."""

import pathlib
import zipfile
import zlib
from collections.abc import Callable

import numpy as np

from momentum_rnn_jax._describe import describe

Arrays = dict[str, np.ndarray]


def read_arrays(argument: str, path: str | pathlib.Path, prefix: str) -> Arrays:
    """The arrays of a file whose names begin with `prefix`, under their full names; the others are not read."""
    path = pathlib.Path(path)
    if path.suffix not in _READERS:
        raise ValueError(
            f"{argument} must be a file of arrays, .npz or .safetensors, got {describe(str(path))}. Pickles, such as PyTorch's "
            ".pt, can run code and are never read: export the weights with `numpy.savez(path, **{name: tensor.cpu().numpy() for "
            "name, tensor in module.state_dict().items()})` or `safetensors.torch.save_file(module.state_dict(), path)`."
        )
    return _READERS[path.suffix](argument, path, prefix)


def _check_file(argument: str, path: pathlib.Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{argument} must be the path of a file, and there is none at {str(path)!r}.")


def _read_npz(argument: str, path: pathlib.Path, prefix: str) -> Arrays:
    _check_file(argument, path)
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.lib.npyio.NpzFile):
            with file:
                return {name: file[name] for name in file.files if name.startswith(prefix)}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{argument} must be a readable .npz file of numbers; {str(path)!r} is damaged or holds something else: {error}"
        ) from error
    raise ValueError(
        f"{argument} must be a file of named arrays, as numpy.savez writes it; {str(path)!r} holds one array without a name."
    )


def _read_safetensors(argument: str, path: pathlib.Path, prefix: str) -> Arrays:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ImportError(
            f"{argument} is a .safetensors file; to read it, `pip install 'momentum_rnn_jax[torch]'`, or safetensors alone."
        ) from error
    _check_file(argument, path)
    try:
        opened = safe_open(path, framework="np")
    except SafetensorError as error:
        raise ValueError(f"{argument} must be a readable .safetensors file; {str(path)!r}: {error}.") from error
    arrays = {}
    with opened as file:
        for name in filter(lambda name: name.startswith(prefix), file.keys()):
            try:
                arrays[name] = file.get_tensor(name)
            except (AttributeError, SafetensorError) as error:
                dtype = file.get_slice(name).get_dtype()
                raise ValueError(
                    f"{argument}[{name!r}] must have a dtype that NumPy can read, got {dtype}; convert it first."
                ) from error
    return arrays


_READERS: dict[str, Callable[[str, pathlib.Path, str], Arrays]] = {".npz": _read_npz, ".safetensors": _read_safetensors}
