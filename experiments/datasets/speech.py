"""Speech: predict the next frame of the log-magnitude spectrum from those before it.

The task is that of S. Wisdom et al., "Full-Capacity Unitary Recurrent Neural Networks" (2016), on TIMIT. The Free Spoken Digit
Dataset goes through the same pipeline: it is free, and recorded at 8 kHz, the rate to which TIMIT is brought.
"""

import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from experiments.datasets import audio, files, store
from experiments.datasets.common import DataError, Dataset, Info, Split

SPLITS = ("train", "validation", "test")

RECORDING = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_/]+)_(?P<index>\d+)\.wav")
FSDD_FILES = "the recordings {digit}_{speaker}_{index}.wav of the Free Spoken Digit Dataset"

TIMIT_FILES = "TIMIT's folders TRAIN and TEST, with a folder for each dialect and in it one for each speaker"


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


# The core test set as TIMIT's documentation lists it, and the development set in common use (that of the Kaldi recipe): speakers
# of the folder TEST, who speak in no other split.
CORE_TEST = _names(
    "MDAB0 MWBT0 FELC0 MTAS1 MWEW0 FPAS0 MJMP0 MLNT0 FPKT0 MLLL0 MTLS0 FJLM0 "
    "MBPM0 MKLT0 FNLP0 MCMJ0 MJDH0 FMGD0 MGRT0 MNJM0 FDHC0 MJLN0 MPAM0 FMLD0"
)
DEVELOPMENT = _names(
    "FAKS0 FDAC1 FJEM0 MGWT0 MJAR0 MMDB1 MMDM2 MPDF0 FCMH0 FKMS0 MBDG0 MBWM0 MCSH0 FADG0 FDMS0 FEDW0 MGJF0 "
    "MGLB0 MRTK0 MTAA0 MTDT0 MTHC0 MWJG0 FNMR0 FREW0 FSEM0 MBNS0 MMJR0 MDLS0 MDLF0 MDVC0 MERS0 FMAH0 FDRW0 "
    "MRCS0 MRJM4 FCAL1 MMWH0 FJSJ0 MAJC0 MJSW0 MREB0 FGJD0 FJMG0 MROA0 MTEB0 MJFC0 MRJR0 FMML0 MRWS1"
)

FEATURES = {"frames": store.array((None, audio.BINS), np.float32)}


class FsddSpectra(store.Builder):
    """Log-magnitude spectra of the Free Spoken Digit Dataset, one recording each."""

    FEATURES = FEATURES


class TimitSpectra(store.Builder):
    """Log-magnitude spectra of TIMIT at 8 kHz, one utterance each."""

    FEATURES = FEATURES


def load_fsdd(data_dir: str | Path, source: str | Path | None = None) -> Dataset:
    """The Free Spoken Digit Dataset as log-magnitude spectra; the target of each frame is the next one.

    `inputs` and `targets` are (recordings, frames, 129) float32 in dB, from `audio.log_spectra`; `lengths` are (recordings,)
    int32, one less than the recording has frames; what is behind them is zero. Of each speaker and digit, recordings 0–4 are the
    test split, as its authors say; recordings 5–9 are the validation split, which is our choice; the others are for training.

    Args:
      data_dir: See `experiments.datasets.load`.
      source: A directory with the wav files, at any depth, or a tar archive of it (its authors publish no checksum). Without a
        source: what is prepared in `data_dir`.

    Raises:
      DataError: The source is missing or damaged, a recording is not 8 kHz mono, or a split would be empty.
    """
    if source is None:
        return _dataset("fsdd", _find(FsddSpectra, data_dir, FSDD_FILES, "or a tar archive of them"))
    if Path(source).expanduser().is_file():
        archive = Path(source).expanduser()
        fingerprint, recordings = files.fingerprint([files.sha256(archive)]), _members(archive)
    else:
        folder = files.directory(source, FSDD_FILES)
        paths = [path for path in sorted(folder.rglob("*.wav")) if RECORDING.fullmatch(path.name)]
        fingerprint, recordings = files.fingerprint_of_tree(folder, paths), ((str(path), files.read(path)) for path in paths)
    return _dataset("fsdd", store.prepare(FsddSpectra, data_dir, fingerprint, lambda: _fsdd(recordings, fingerprint)))


def load_timit(data_dir: str | Path, source: str | Path | None = None) -> Dataset:
    """TIMIT as log-magnitude spectra, like `load_fsdd`; the target of each frame is the next one.

    The training split is TRAIN without the SA sentences, which all speakers share; the validation split is the development set of
    50 speakers, and the test split the core test set of 24, both from TEST and without SA: 3696, 400 and 192 utterances.

    Args:
      data_dir: See `experiments.datasets.load`.
      source: The directory that holds TRAIN and TEST, or the one above it, in capitals or not; NIST sphere or wav files of
        16 kHz, or of 8 kHz already. TIMIT is licensed by the Linguistic Data Consortium (LDC93S1). Without a source: what is
        prepared in `data_dir`.

    Raises:
      DataError: The source is missing or damaged, a file has another rate, or a speaker is missing.
    """
    if source is None:
        return _dataset("timit", _find(TimitSpectra, data_dir, TIMIT_FILES))
    source = files.directory(source, TIMIT_FILES)
    utterances = _timit_utterances(source)
    fingerprint = files.fingerprint_of_tree(source, (path for split in SPLITS for path in utterances[split]))

    def read() -> store.Contents:
        splits: dict[str, Iterable[store.Example]] = {split: map(_timit_example, utterances[split]) for split in SPLITS}
        counts = {split: len(utterances[split]) for split in SPLITS}
        return store.Contents(splits, {"source": "TIMIT", "fingerprint": fingerprint, "utterances": counts})

    return _dataset("timit", store.prepare(TimitSpectra, data_dir, fingerprint, read))


def _find(builder: type[store.Builder], data_dir: str | Path, holds: str, otherwise: str = "") -> store.Prepared:
    prepared = store.find(builder, data_dir)
    if prepared is None:
        raise DataError(
            f"Nothing is prepared in {data_dir}; give as the source a directory with {holds} {otherwise}".rstrip() + "."
        )
    return prepared


def _dataset(name: str, prepared: store.Prepared) -> Dataset:
    train, validation, test = (_pad([record["frames"] for record in prepared.splits[split]]) for split in SPLITS)
    return Dataset(train, validation, test, Info(name, "regress", audio.BINS, prepared.metadata))


def _pad(spectra: list[np.ndarray]) -> Split:
    """Each frame and the next one, zero behind the end of a recording."""
    lengths = np.array([len(frames) - 1 for frames in spectra], np.int32)
    inputs = np.zeros((len(spectra), lengths.max(), audio.BINS), np.float32)
    targets = np.zeros_like(inputs)
    for frames, row_inputs, row_targets, length in zip(spectra, inputs, targets, lengths, strict=True):
        row_inputs[:length], row_targets[:length] = frames[:-1], frames[1:]
    return Split(inputs, targets, lengths)


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the recordings in a tar archive; nothing is unpacked to the disk."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if RECORDING.fullmatch(Path(member.name).name) and (file := tar.extractfile(member)):
                    yield f"{archive}/{member.name}", file.read()
            # To the end, where a compressed archive has its checksum.
            while tar.fileobj and tar.fileobj.read(1 << 20):
                pass
    except KeyError as error:  # a link to what is not in it
        raise DataError(f"{archive} is no whole tar archive: {error.args[0]}.") from error
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        reason = str(error).partition("\n")[0].rstrip(":")  # the rest says what each kind of packing makes of it
        raise DataError(f"{archive} is no tar archive, or truncated or damaged: {reason}.") from error


def _fsdd(recordings: Iterable[tuple[str, bytes]], fingerprint: str) -> store.Contents:
    splits: dict[str, list[tuple[str, np.ndarray]]] = {split: [] for split in SPLITS}
    for name, data in recordings:
        sound = audio.read_sound(data, name)
        if sound.rate != audio.RATE:
            raise DataError(f"{name} is sampled at {sound.rate} Hz; recordings should be at {audio.RATE} Hz.")
        match = RECORDING.fullmatch(Path(name).name)
        assert match is not None  # so they were chosen
        index = int(match["index"])
        split = "test" if index < 5 else "validation" if index < 10 else "train"
        splits[split].append((match[0], audio.log_spectra(sound.samples)))
    for split in SPLITS:
        if not splits[split]:
            raise DataError(f"The source holds no recording for the {split} split; it should hold {FSDD_FILES}.")
    # By name, so that the order is not that of an archive.
    examples: dict[str, Iterable[store.Example]] = {
        split: [{"frames": frames} for _, frames in sorted(splits[split], key=lambda pair: pair[0])] for split in SPLITS
    }
    counts = {split: len(splits[split]) for split in SPLITS}
    rule = "by recording index: 0-4 test, 5-9 validation, others train"
    metadata = {"source": "Free Spoken Digit Dataset", "fingerprint": fingerprint, "recordings": counts, "split": rule}
    return store.Contents(examples, metadata)


def _timit_utterances(source: Path) -> dict[str, list[Path]]:
    """The files of each split."""
    root = source
    if not _child(root, "TRAIN"):
        root = _child(source, "TIMIT") or source
    train, test = _child(root, "TRAIN"), _child(root, "TEST")
    if train is None or test is None:
        raise DataError(f"{source} has no folder {'TRAIN' if train is None else 'TEST'}; it should hold {TIMIT_FILES}.")
    spoken = {"train": _by_speaker(train), "test": _by_speaker(test)}
    for speakers, what in ((DEVELOPMENT, "development"), (CORE_TEST, "core test")):
        missing = sorted(speakers - set(spoken["test"]))
        if missing:
            names = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
            raise DataError(
                f"{test} lacks {len(missing)} speakers of the {what} set ({names}); it should hold all of TIMIT's TEST."
            )
    if not spoken["train"]:
        raise DataError(f"{train} holds no utterance; it should hold a folder for each dialect and in it one for each speaker.")
    return {
        "train": [path for speaker in sorted(spoken["train"]) for path in spoken["train"][speaker]],
        "validation": [path for speaker in sorted(DEVELOPMENT) for path in spoken["test"][speaker]],
        "test": [path for speaker in sorted(CORE_TEST) for path in spoken["test"][speaker]],
    }


def _child(folder: Path, name: str) -> Path | None:
    """The sub-folder of that name, in capitals or not."""
    return next((path for path in sorted(folder.iterdir()) if path.is_dir() and path.name.upper() == name), None)


def _by_speaker(folder: Path) -> dict[str, list[Path]]:
    """The utterances dialect/speaker/name.wav of each speaker, without the SA sentences."""
    utterances: dict[tuple[str, str], Path] = {}
    for path in sorted(folder.glob("*/*/*")):
        name = path.name.upper().split(".")[0]
        # Some copies have a converted SX1.WAV.wav beside each SX1.WAV: the first in the order of names is taken.
        if path.suffix.upper() == ".WAV" and not name.startswith("SA"):
            utterances.setdefault((path.parent.name.upper(), name), path)
    speakers: dict[str, list[Path]] = {}
    for (speaker, _), path in utterances.items():
        speakers.setdefault(speaker, []).append(path)
    return speakers


def _timit_example(path: Path) -> store.Example:
    sound = audio.read_sound(files.read(path), str(path))
    if sound.rate not in (audio.RATE, 2 * audio.RATE):
        raise DataError(
            f"{path} is sampled at {sound.rate} Hz; TIMIT is at {2 * audio.RATE} Hz, or at {audio.RATE} Hz once halved."
        )
    samples = sound.samples if sound.rate == audio.RATE else audio.halve_rate(sound.samples)
    return {"frames": audio.log_spectra(samples)}
