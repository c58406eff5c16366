"""Sound: wav and NIST sphere files to samples, samples to log-magnitude spectra."""

import io
import wave
from typing import NamedTuple

import numpy as np
from scipy.signal import resample_poly

from experiments.datasets.common import DataError

RATE = 8000  # Hz
WINDOW = 256
HOP = 128
BINS = WINDOW // 2 + 1
FLOOR = 1e-5  # added to the power: silence is -50 dB


class Sound(NamedTuple):
    """`samples`: (samples,), float64 in [-1, 1); `rate` in Hz."""

    samples: np.ndarray
    rate: int


def read_sound(data: bytes, name: str) -> Sound:
    """The content of a RIFF wav or NIST sphere file with one channel of 16-bit samples, whatever its name ends in.

    Raises:
      DataError: It is another kind of file, truncated or damaged; the message begins with `name`.
    """
    if data[:4] == b"RIFF":
        return _read_wav(data, name)
    if data[:7] == b"NIST_1A":
        return _read_sphere(data, name)
    raise DataError(f"{name} is neither a RIFF wav nor a NIST sphere file: it begins with {data[:8]!r}.")


def _read_wav(data: bytes, name: str) -> Sound:
    try:
        with wave.open(io.BytesIO(data)) as file:
            header, frames = file.getparams(), file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise DataError(f"{name} is a truncated or damaged wav file: {error or 'it ends too early'}.") from error
    return _sound(frames, header.nframes, header.framerate, header.nchannels, header.sampwidth, "<i2", name)


def _read_sphere(data: bytes, name: str) -> Sound:
    # Two lines, "NIST_1A" and the size of the header, then "name -type value" on each line up to "end_head".
    try:
        size = int(data[8:16])
        lines = data[16:size].decode("ascii").split("end_head")[0].splitlines()
        fields = {line.split()[0]: line.split(maxsplit=2)[2].strip() for line in lines if len(line.split()) >= 3}
        count, rate, channels, width = (
            int(fields[key]) for key in ("sample_count", "sample_rate", "channel_count", "sample_n_bytes")
        )
    except (ValueError, KeyError) as error:
        raise DataError(f"{name} is a NIST sphere file with a damaged header: {error}.") from error
    coding = fields.get("sample_coding", "pcm")
    if coding != "pcm":
        raise DataError(f"{name} is a NIST sphere file coded as {coding}; convert it to pcm, for example with sph2pipe.")
    dtype = ">i2" if fields.get("sample_byte_format") == "10" else "<i2"
    return _sound(data[size : size + count * width * channels], count, rate, channels, width, dtype, name)


def _sound(frames: bytes, count: int, rate: int, channels: int, width: int, dtype: str, name: str) -> Sound:
    if (channels, width) != (1, 2):
        raise DataError(f"{name} has {channels} channels of {8 * width}-bit samples; it should have one of 16 bits.")
    if len(frames) != 2 * count or not count:
        raise DataError(f"{name} is truncated or empty: it has {len(frames)} bytes of samples, its header announces {2 * count}.")
    return Sound(np.frombuffer(frames, dtype) / 32768, rate)


def halve_rate(samples: np.ndarray) -> np.ndarray:
    """Half the sampling rate, with an anti-aliasing filter; (n,) -> (ceil(n / 2),)."""
    return resample_poly(samples, 1, 2)


def log_spectra(samples: np.ndarray) -> np.ndarray:
    """Log-magnitude short-time Fourier transform: `10 log10(1e-5 + |X|^2)`, in dB.

    Frames are 256 samples under a periodic Hann window, 128 apart. The signal is filled up with zeros to a multiple of 128, and
    256 zeros are put on either side: the first and the last frame are silent. So do S. Wisdom et al., "Full-Capacity Unitary
    Recurrent Neural Networks" (2016), prepare TIMIT in their code, on which the prediction task rests.

    Args:
      samples: (n,), at 8 kHz, in [-1, 1).

    Returns:
      (ceil(n / 128) + 3, 129), float32, at least -50.

    >>> log_spectra(np.zeros(1000)).shape
    (11, 129)
    """
    padded = np.pad(samples, (WINDOW, -len(samples) % HOP + WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    spectra = np.fft.rfft(frames * window)
    return (10 * np.log10(FLOOR + spectra.real**2 + spectra.imag**2)).astype(np.float32)
