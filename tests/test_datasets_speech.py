"""Speech datasets: sound files, spectra, splits. All recordings are tiny and made here."""

import io
import pathlib
import tarfile
import wave

import numpy as np
import pytest

from experiments import datasets
from experiments.datasets import DataError, audio, speech


def samples(seed, size=900):
    return np.random.default_rng(seed).integers(-3000, 3000, size).astype(np.int16)


def wav(sound, rate=8000, channels=1, width=2):
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate)
        writer.writeframes(sound.astype("<i2").tobytes())
    return file.getvalue()


def sphere(sound, rate=16000, byte_format="01", coding="pcm"):
    fields = {
        "channel_count -i": 1,
        "sample_count -i": len(sound),
        "sample_rate -i": rate,
        "sample_n_bytes -i": 2,
        "sample_byte_format -s2": byte_format,
        f"sample_coding -s{len(coding)}": coding,
    }
    header = "NIST_1A\n   1024\n" + "".join(f"{name} {value}\n" for name, value in fields.items()) + "end_head\n"
    return header.encode().ljust(1024) + sound.astype("<i2" if byte_format == "01" else ">i2").tobytes()


# Sound


@pytest.mark.parametrize("data", [wav(samples(0), 16000), sphere(samples(0)), sphere(samples(0), byte_format="10")])
def test_wav_and_sphere_files_hold_the_same_sound(data):
    sound = audio.read_sound(data, "x")
    assert sound.rate == 16000
    np.testing.assert_array_equal(sound.samples, samples(0) / 32768)


SOUND_DAMAGE = {
    "another kind": (b"fLaC\0\0\0\x22", r"x is neither a RIFF wav nor a NIST sphere file: it begins with b'fLaC"),
    "empty": (b"", "x is neither"),
    "half a wav": (wav(samples(0))[:-100], "x is truncated or empty: it has 1700 bytes of samples, its header announces 1800"),
    "half a wav header": (wav(samples(0))[:30], "x is a truncated or damaged wav file"),
    "stereo": (wav(samples(0), channels=2), "x has 2 channels of 16-bit samples; it should have one of 16 bits"),
    "8 bits": (wav(samples(0), width=1), "x has 1 channels of 8-bit samples"),
    "no samples": (wav(samples(0)[:0]), "x is truncated or empty"),
    "half a sphere": (sphere(samples(0))[:-2], "x is truncated or empty: it has 1798 bytes"),
    "half a sphere header": (sphere(samples(0))[:80], "x is a NIST sphere file with a damaged header"),
    "compressed": (
        sphere(samples(0), coding="pcm,embedded-shorten-v2.00"),
        "coded as pcm,embedded-shorten-v2.00; convert it to pcm",
    ),
}


@pytest.mark.parametrize(("data", "message"), SOUND_DAMAGE.values(), ids=SOUND_DAMAGE)
def test_a_damaged_sound_is_refused(data, message):
    with pytest.raises(DataError, match=message):
        audio.read_sound(data, "x")


def tone(hertz, rate, seconds=0.5):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def test_spectra_are_those_of_the_definition():
    sound = samples(0) / 32768
    spectra = audio.log_spectra(sound)
    assert (spectra.shape, spectra.dtype) == ((8 + 3, 129), np.float32)
    padded = np.concatenate([np.zeros(256), sound, np.zeros(8 * 128 - 900), np.zeros(256)])
    n = np.arange(256)
    for frame in (1, 4, 9):
        windowed = padded[128 * frame : 128 * frame + 256] * np.sin(np.pi * n / 256) ** 2
        transform = np.exp(-2j * np.pi * np.outer(np.arange(129), n) / 256) @ windowed
        np.testing.assert_allclose(spectra[frame], 10 * np.log10(1e-5 + np.abs(transform) ** 2), rtol=1e-5)
    np.testing.assert_array_equal(spectra[[0, -1]], np.float32(-50))  # silence on either side


def test_a_tone_is_a_peak_of_known_height():
    spectra = audio.log_spectra(tone(1000, 8000))
    inside = spectra[3:-4]
    assert np.all(inside.argmax(axis=1) == 32)  # 1000 Hz of 31.25 Hz each
    np.testing.assert_allclose(inside[:, 32], 20 * np.log10(0.5 * 256 / 4), atol=1e-4)  # amplitude times the window's sum, halved


def test_halving_the_rate_keeps_low_tones_and_removes_high_ones():
    low, high = audio.halve_rate(tone(1000, 16000)), audio.halve_rate(tone(6000, 16000))
    np.testing.assert_allclose(low[100:-100], tone(1000, 8000)[100:-100], atol=2e-3)
    assert np.abs(high[100:-100]).max() < 2e-3


# Free Spoken Digit Dataset

DIGITS = {
    f"{digit}_{speaker}_{index}.wav": samples(100 * digit + index, 700 + 90 * index)
    for digit in (0, 7)
    for speaker in ("ann", "bob")
    for index in range(12)
}


@pytest.fixture
def recordings(tmp_path):
    folder = tmp_path / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    for name, sound in DIGITS.items():
        (folder / name).write_bytes(wav(sound))
    (folder / "readme.wav").write_bytes(b"not a recording")
    return folder.parent


def archive(folder, mode="w:gz"):
    path = folder.with_name("recordings.tar.gz")
    with tarfile.open(path, mode) as tar:
        for file in sorted(folder.rglob("*"), reverse=True):
            tar.add(file, file.relative_to(folder), recursive=False)
    return path


def test_fsdd_is_split_by_index_padded_and_shifted(tmp_path, recordings):
    data = datasets.load("fsdd", tmp_path / "data", recordings)
    assert data.info[:3] == ("fsdd", "regress", 129)
    for split, indices in ((data.test, range(5)), (data.validation, range(5, 10)), (data.train, (10, 11))):
        expected = {name: audio.log_spectra(sound / 32768) for name, sound in DIGITS.items() if int(name[6:-4]) in indices}
        assert len(split.inputs) == len(expected) == 4 * len(indices)
        for row, name in enumerate(sorted(expected)):
            frames, length = expected[name], split.lengths[row]
            assert length == len(frames) - 1
            np.testing.assert_array_equal(split.inputs[row, :length], frames[:-1])
            np.testing.assert_array_equal(split.targets[row, :length], frames[1:])
            assert not split.inputs[row, length:].any()
            assert not split.targets[row, length:].any()
        assert split.inputs.shape == split.targets.shape == (len(expected), split.lengths.max(), 129)
        assert (split.inputs.dtype, split.targets.dtype, split.lengths.dtype) == (np.float32, np.float32, np.int32)
    assert data.info.origin["recordings"] == {"train": 8, "validation": 20, "test": 20}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_fsdd_may_be_a_tar_archive(tmp_path, recordings, mode):
    folder = datasets.load("fsdd", tmp_path / "one", recordings)
    packed = datasets.load("fsdd", tmp_path / "two", archive(recordings, mode))
    for a, b in zip(folder[:3], packed[:3], strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(datasets.load("fsdd", tmp_path / "two").test.inputs, packed.test.inputs)


def test_an_archive_whose_member_links_to_nothing_is_one_line(tmp_path, recordings):
    path = archive(recordings, "w:gz")
    member = tarfile.TarInfo("recordings/3_george_1.wav")
    member.type, member.linkname = tarfile.SYMTYPE, "nowhere.wav"
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(member)
    message = r"recordings.tar.gz is not a complete tar archive: linkname 'recordings/nowhere.wav' not found"
    with pytest.raises(DataError, match=message):
        datasets.load("fsdd", tmp_path / "data", path)


@pytest.mark.parametrize("content", [b"", b"junk", b"\x1f\x8bjunk", bytes(range(256)) * 40])
def test_an_archive_of_junk_is_one_line(content, tmp_path):
    path = tmp_path / "junk.tar.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"junk.tar.gz is not a tar archive, or truncated or damaged") as error:
        datasets.load("fsdd", tmp_path / "data", path)
    assert "\n" not in str(error.value)


def test_a_damaged_archive_is_refused_and_leaves_nothing_behind(tmp_path, recordings):
    path = archive(recordings)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"no archive at all", b"", whole[:20000] + bytes(500) + whole[20500:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"recordings.tar.gz is not a tar archive, or truncated or damaged"):
            datasets.load("fsdd", tmp_path / "data", path)
    assert not [file for file in (tmp_path / "data").rglob("*") if file.is_file()]


def test_recordings_that_do_not_fit_are_refused(tmp_path, recordings):
    with pytest.raises(DataError, match="nowhere does not exist; it should be a directory with the recordings"):
        datasets.load("fsdd", tmp_path / "data", tmp_path / "nowhere")
    with pytest.raises(
        DataError, match=r"Nothing is prepared in .*; give as the source a directory with the recordings .* or a tar"
    ):
        datasets.load("fsdd", tmp_path / "data")
    path = recordings / "recordings" / "7_bob_11.wav"
    path.write_bytes(wav(samples(0), 44100))
    with pytest.raises(DataError, match=r"7_bob_11.wav is sampled at 44100 Hz; recordings should be at 8000 Hz"):
        datasets.load("fsdd", tmp_path / "data", recordings)
    for path in recordings.rglob("*_1?.wav"):
        path.unlink()
    with pytest.raises(DataError, match="The source has no recording for the train split"):
        datasets.load("fsdd", tmp_path / "data", recordings)


# TIMIT


def write_timit(root, suffix=".WAV", write=sphere):
    """Every speaker of the two lists, two for training and one who is in no split, with one sentence each and an SA sentence."""
    sounds = {}
    listed = [("TEST", name) for name in sorted(speech.DEVELOPMENT | speech.CORE_TEST)]
    for number, (part, speaker) in enumerate([*listed, ("TEST", "FXXX0"), ("TRAIN", "FAAA0"), ("TRAIN", "MBBB0")]):
        folder = root / part / "DR1" / speaker
        folder.mkdir(parents=True)
        sounds[speaker] = samples(number, 1000)
        (folder / f"SX1{suffix}").write_bytes(write(sounds[speaker]))
        (folder / f"SA1{suffix}").write_bytes(write(samples(0)))
        (folder / "SX1.TXT").write_text("0 1000 She had.\n")
    return sounds


def spectra_of_timit(sound):
    return audio.log_spectra(audio.halve_rate(sound / 32768))


def test_timit_is_split_by_speaker_without_the_shared_sentences(tmp_path):
    sounds = write_timit(tmp_path / "TIMIT")
    data = datasets.load("timit", tmp_path / "data", tmp_path)
    assert data.info[:3] == ("timit", "regress", 129)
    speakers = (["FAAA0", "MBBB0"], sorted(speech.DEVELOPMENT), sorted(speech.CORE_TEST))
    for split, names in zip(data[:3], speakers, strict=True):
        assert len(split.inputs) == len(names)
        for row, name in enumerate(names):
            frames = spectra_of_timit(sounds[name])
            np.testing.assert_array_equal(split.inputs[row], frames[:-1])
            np.testing.assert_array_equal(split.targets[row], frames[1:])
    assert data.info.origin["utterances"] == {"train": 2, "validation": 50, "test": 24}
    assert not speech.DEVELOPMENT & speech.CORE_TEST


def test_timit_may_be_wav_files_in_small_letters_beside_the_originals(tmp_path):
    write_timit(tmp_path / "a" / "TIMIT")
    first = datasets.load("timit", tmp_path / "data", tmp_path / "a")
    write_timit(tmp_path / "b", ".wav", lambda sound: wav(sound, 16000))
    for folder in sorted((path for path in (tmp_path / "b").rglob("*") if path.is_dir()), key=lambda path: -len(path.parts)):
        folder.rename(folder.with_name(folder.name.lower()))
    for path in list((tmp_path / "b").rglob("SX1.wav")):
        path.with_name("SX1.wav.wav").write_bytes(path.read_bytes())
    second = datasets.load("timit", tmp_path / "data", tmp_path / "b")
    for a, b in zip(first[:3], second[:3], strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_timit_that_is_at_8_khz_is_taken_as_it_is(tmp_path):
    sounds = write_timit(tmp_path / "timit", write=lambda sound: wav(sound, 8000))
    data = datasets.load("timit", tmp_path / "data", tmp_path / "timit")
    np.testing.assert_array_equal(data.train.inputs[0], audio.log_spectra(sounds["FAAA0"] / 32768)[:-1])


def remove(folder: pathlib.Path):
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


TIMIT_DAMAGE = {
    "no TEST": (
        lambda root: remove(root / "TEST"),
        "has no folder TEST; it should be the directory with TIMIT's folders",
    ),
    "no TRAIN": (lambda root: remove(root / "TRAIN"), "has no folder TRAIN"),
    "an empty TRAIN": (lambda root: remove(root / "TRAIN" / "DR1"), "TRAIN holds no utterance"),
    "a speaker missing": (
        lambda root: remove(root / "TEST" / "DR1" / "MDAB0"),
        r"TEST lacks speakers of the core test set \(MDAB0\)",
    ),
    "another rate": (
        lambda root: (root / "TRAIN/DR1/FAAA0/SX1.WAV").write_bytes(sphere(samples(0), 44100)),
        "SX1.WAV is sampled at 44100 Hz; TIMIT is at 16000 Hz",
    ),
    "half a file": (
        lambda root: (root / "TRAIN/DR1/FAAA0/SX1.WAV").write_bytes(sphere(samples(0))[:1200]),
        "SX1.WAV is truncated or empty",
    ),
}


@pytest.mark.parametrize(("damage", "message"), TIMIT_DAMAGE.values(), ids=TIMIT_DAMAGE)
def test_a_damaged_timit_is_refused(tmp_path, damage, message):
    write_timit(tmp_path / "TIMIT")
    damage(tmp_path / "TIMIT")
    with pytest.raises(DataError, match=message):
        datasets.load("timit", tmp_path / "data", tmp_path / "TIMIT")
    assert not [file for file in (tmp_path / "data").rglob("*") if file.is_file()]


def test_timit_without_a_source_says_what_to_give(tmp_path):
    with pytest.raises(DataError, match=r"Nothing is prepared in .*; give as the source the directory with TIMIT's folders"):
        datasets.load("timit", tmp_path)
