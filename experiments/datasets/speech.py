"""Speech: predict the next frame of the log-magnitude spectrum from those before it.

The task is that of S. Wisdom et al., "Full-Capacity Unitary Recurrent Neural Networks" (2016), on TIMIT. The Free Spoken Digit
Dataset is free, and recorded at 8 kHz, the rate to which TIMIT is converted.
"""

import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from experiments.datasets import audio, files, store
from experiments.datasets.common import DataError, Dataset, Info, Split

SPLITS = ("train", "validation", "test")
RECORDING = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_/]+)_(?P<index>\d+)\.wav")


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


# Speakers of the folder TEST: the core test set as TIMIT's documentation lists it, and the development set in common use, that
# of the Kaldi recipe.
CORE_TEST = _names(
    "MDAB0 MWBT0 FELC0 MTAS1 MWEW0 FPAS0 MJMP0 MLNT0 FPKT0 MLLL0 MTLS0 FJLM0 "
    "MBPM0 MKLT0 FNLP0 MCMJ0 MJDH0 FMGD0 MGRT0 MNJM0 FDHC0 MJLN0 MPAM0 FMLD0"
)
DEVELOPMENT = _names(
    "FAKS0 FDAC1 FJEM0 MGWT0 MJAR0 MMDB1 MMDM2 MPDF0 FCMH0 FKMS0 MBDG0 MBWM0 MCSH0 FADG0 FDMS0 FEDW0 MGJF0 "
    "MGLB0 MRTK0 MTAA0 MTDT0 MTHC0 MWJG0 FNMR0 FREW0 FSEM0 MBNS0 MMJR0 MDLS0 MDLF0 MDVC0 MERS0 FMAH0 FDRW0 "
    "MRCS0 MRJM4 FCAL1 MMWH0 FJSJ0 MAJC0 MJSW0 MREB0 FGJD0 FJMG0 MROA0 MTEB0 MJFC0 MRJR0 FMML0 MRWS1"
)


class Spectra(store.Builder):
    """Log-magnitude spectra, a record for each recording."""

    FEATURES = {"frames": store.array((None, audio.BINS), np.float32)}  # noqa: RUF012


class MomentumFsdd(Spectra):
    """Log-magnitude spectra of the Free Spoken Digit Dataset, split by recording: 0-4 test, 5-9 validation, others train."""

    HOLDS = "a directory with the recordings {digit}_{speaker}_{index}.wav of the Free Spoken Digit Dataset, or a tar of it"

    @classmethod
    def origin(cls, source: Path, **options: Any) -> dict[str, Any]:
        checksum = files.sha256(source) if source.is_file() else files.sha256_of_tree(source, cls._paths(source))
        rule = "by recording index: 0-4 test, 5-9 validation, others train"
        return {"source": "Free Spoken Digit Dataset", "sha256": checksum, "split": rule}

    @classmethod
    def _paths(cls, source: Path) -> list[Path]:
        paths = sorted(files.directory(source, cls.HOLDS.removeprefix("a directory with ")).rglob("*.wav"))
        return [path for path in paths if RECORDING.fullmatch(path.name)]

    def read(self) -> tuple[dict[str, Iterable[store.Example]], dict[str, Any]]:
        found: dict[str, list[tuple[str, np.ndarray]]] = {split: [] for split in SPLITS}
        is_archive = self.source.is_file()
        for name, data in _members(self.source) if is_archive else ((str(p), files.read(p)) for p in self._paths(self.source)):
            sound = audio.read_sound(data, name)
            if sound.rate != audio.RATE:
                raise DataError(f"{name} is sampled at {sound.rate} Hz; recordings should be at {audio.RATE} Hz.")
            index = int(name.removesuffix(".wav").rpartition("_")[2])
            split = "test" if index < 5 else "validation" if index < 10 else "train"
            found[split].append((Path(name).name, audio.log_spectra(sound.samples)))
        for split in SPLITS:
            if not found[split]:
                raise DataError(f"The source has no recording for the {split} split; it should be {self.HOLDS}.")
        # Sorted by name, so that the order is not an archive's.
        ordered = {split: sorted(pairs, key=lambda pair: pair[0]) for split, pairs in found.items()}
        counts = {split: len(pairs) for split, pairs in ordered.items()}
        return {split: [{"frames": frames} for _, frames in pairs] for split, pairs in ordered.items()}, {"recordings": counts}


class MomentumTimit(Spectra):
    """Log-magnitude spectra of TIMIT at 8 kHz, without the SA sentences: TRAIN, the development set and the core test set."""

    HOLDS = "the directory with TIMIT's folders TRAIN and TEST, in which there is a folder for each dialect and speaker"

    @classmethod
    def origin(cls, source: Path, **options: Any) -> dict[str, Any]:
        paths = [path for of_split in cls._utterances(source).values() for path in of_split]
        return {"source": "TIMIT", "sha256": files.sha256_of_tree(source, paths)}

    def read(self) -> tuple[dict[str, Iterable[store.Example]], dict[str, Any]]:
        utterances = self._utterances(self.source)
        counts = {split: len(paths) for split, paths in utterances.items()}
        return {split: map(_timit_example, paths) for split, paths in utterances.items()}, {"utterances": counts}

    @classmethod
    def _utterances(cls, source: Path) -> dict[str, list[Path]]:
        """The files of each split."""
        folder = files.directory(source, cls.HOLDS.removeprefix("the directory with "))
        root = folder if _child(folder, "TRAIN") else _child(folder, "TIMIT") or folder
        train, test = _child(root, "TRAIN"), _child(root, "TEST")
        if train is None or test is None:
            raise DataError(f"{source} has no folder {'TRAIN' if train is None else 'TEST'}; it should be {cls.HOLDS}.")
        trained, tested = _by_speaker(train), _by_speaker(test)
        for speakers, what in ((DEVELOPMENT, "development"), (CORE_TEST, "core test")):
            if missing := sorted(speakers - set(tested)):
                names = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
                raise DataError(f"{test} lacks speakers of the {what} set ({names}); it should be all of TIMIT's TEST.")
        if not trained:
            raise DataError(f"{train} holds no utterance; it should hold folders of dialects, and in them of speakers.")
        chosen = {"train": (trained, trained), "validation": (tested, DEVELOPMENT), "test": (tested, CORE_TEST)}
        return {split: [path for name in sorted(names) for path in of[name]] for split, (of, names) in chosen.items()}


def load_fsdd(data_dir: str | Path, source: str | Path | None = None) -> Dataset:
    """The Free Spoken Digit Dataset as log-magnitude spectra; the target of each frame is the next one.

    `inputs` and `targets` are (recordings, frames, 129) float32 in dB, from `audio.log_spectra`; `lengths` are (recordings,)
    int32, one less than a recording has frames, and everything after them is zero. Of each speaker and digit, recordings 0-4 are
    the test split, as its authors say; recordings 5-9 are the validation split, which is our choice; the others are for training.

    Args:
      data_dir: see `experiments.datasets.load`.
      source: a directory with the wav files, at any depth, or a tar archive of it. Without a source: what is prepared.

    Raises:
      DataError: the source is missing or damaged, a recording is not 8 kHz mono, or a split would be empty.
    """
    return _dataset("fsdd", store.load(MomentumFsdd, data_dir, source))


def load_timit(data_dir: str | Path, source: str | Path | None = None) -> Dataset:
    """TIMIT as log-magnitude spectra, like `load_fsdd`; the target of each frame is the next one.

    The training split is TRAIN without the SA sentences, which all speakers share; the validation split is the development set of
    50 speakers, and the test split the core test set of 24, both from TEST and without SA: 3696, 400 and 192 utterances.

    Args:
      data_dir: see `experiments.datasets.load`.
      source: the directory with TRAIN and TEST, or the one above it, in upper or lower case; NIST sphere or wav files of 16 kHz,
        or of 8 kHz. TIMIT is licensed by the Linguistic Data Consortium (LDC93S1). Without a source: what is prepared.

    Raises:
      DataError: the source is missing or damaged, a file has another rate, or a speaker is missing.
    """
    return _dataset("timit", store.load(MomentumTimit, data_dir, source))


def _dataset(name: str, prepared: store.Prepared) -> Dataset:
    train, validation, test = (_pad([record["frames"] for record in prepared.splits[split]]) for split in SPLITS)
    return Dataset(train, validation, test, Info(name, "regress", audio.BINS, prepared.metadata))


def _pad(spectra: list[np.ndarray]) -> Split:
    """Each frame and the next one, padded with zeros."""
    lengths = np.array([len(frames) - 1 for frames in spectra], np.int32)
    inputs, targets = np.zeros((2, len(spectra), lengths.max(), audio.BINS), np.float32)
    for row, (frames, length) in enumerate(zip(spectra, lengths, strict=True)):
        inputs[row, :length], targets[row, :length] = frames[:-1], frames[1:]
    return Split(inputs, targets, lengths)


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the recordings in a tar archive; nothing is unpacked to disk."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if RECORDING.fullmatch(Path(member.name).name) and (file := tar.extractfile(member)):
                    yield f"{archive}/{member.name}", file.read()
            # To the end, where a compressed archive has its checksum.
            while tar.fileobj and tar.fileobj.read(1 << 20):
                pass
    except KeyError as error:  # a link to a member that is not there
        raise DataError(f"{archive} is not a complete tar archive: {error.args[0]}.") from error
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        reason = str(error).partition("\n")[0].rstrip(":")  # further lines say what each kind of compression makes of it
        raise DataError(f"{archive} is not a tar archive, or truncated or damaged: {reason}.") from error


def _child(folder: Path, name: str) -> Path | None:
    """The sub-folder of that name, in upper or lower case."""
    return next((path for path in sorted(folder.iterdir()) if path.is_dir() and path.name.upper() == name), None)


def _by_speaker(folder: Path) -> dict[str, list[Path]]:
    """The utterances dialect/speaker/name.wav of each speaker, without the SA sentences."""
    speakers: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob("*/*/*")):
        name = path.name.upper().split(".")[0]
        # Some copies have a converted SX1.WAV.wav beside SX1.WAV: the first by name is used.
        if path.suffix.upper() == ".WAV" and not name.startswith("SA"):
            speakers.setdefault(path.parent.name.upper(), {}).setdefault(name, path)
    return {speaker: list(utterances.values()) for speaker, utterances in speakers.items()}


def _timit_example(path: Path) -> store.Example:
    sound = audio.read_sound(files.read(path), str(path))
    if sound.rate not in (audio.RATE, 2 * audio.RATE):
        raise DataError(f"{path} is sampled at {sound.rate} Hz; TIMIT is at {2 * audio.RATE} Hz, or halved at {audio.RATE} Hz.")
    samples = sound.samples if sound.rate == audio.RATE else audio.halve_rate(sound.samples)
    return {"frames": audio.log_spectra(samples)}
