"""Datasets of images and text, and how prepared data is kept. All files are tiny and made here; nothing is downloaded."""

import gzip
import hashlib
import itertools
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from experiments import datasets
from experiments.datasets import DataError, Split, files, mnist, store, text

ROOT = pathlib.Path(__file__).parent.parent

# MNIST


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


IMAGES = {
    name: np.random.default_rng(n).integers(0, 256, (count, 28, 28), np.uint8)
    for n, (name, count) in enumerate((("train", 1203), ("t10k", 7)))
}
LABELS = {
    name: np.random.default_rng(n).integers(0, 10, len(images), np.uint8) for n, (name, images) in enumerate(IMAGES.items())
}


@pytest.fixture
def digits(tmp_path):
    """A directory with the four files."""
    folder = tmp_path / "digits"
    folder.mkdir()
    for name in IMAGES:
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES[name]), mtime=0))
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS[name]), mtime=0))
    return folder


def load_digits(tmp_path, source, **options):
    return datasets.load("mnist", tmp_path / "data", source, **{"validation_size": 3, **options})


def test_mnist_is_read_in_order_and_its_last_training_images_are_held_out(tmp_path, digits):
    data = load_digits(tmp_path, digits)
    assert data.info[:3] == ("mnist", "classify", 10)
    assert [len(split.targets) for split in data[:3]] == [1200, 3, 7]
    pixels = IMAGES["train"].reshape(1203, 784, 1) / np.float32(255)
    np.testing.assert_array_equal(np.concatenate([data.train.inputs, data.validation.inputs]), pixels)
    np.testing.assert_array_equal(np.concatenate([data.train.targets, data.validation.targets]), LABELS["train"])
    np.testing.assert_array_equal(data.test.inputs, IMAGES["t10k"].reshape(7, 784, 1) / np.float32(255))
    np.testing.assert_array_equal(data.test.targets, LABELS["t10k"])
    for split in data[:3]:
        assert (split.inputs.dtype, split.targets.dtype, split.lengths) == (np.float32, np.int32, None)
    assert (data.train.inputs.min(), data.train.inputs.max()) == (0, 1)
    assert not any(data.info.origin["as_published"].values())


def test_files_may_be_unpacked(tmp_path, digits):
    packed = load_digits(tmp_path, digits)
    for path in list(digits.iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    unpacked = load_digits(tmp_path, digits)
    np.testing.assert_array_equal(packed.train.inputs, unpacked.train.inputs)


def test_the_order_of_permuted_mnist_is_one_for_each_seed_and_never_changes():
    order = mnist.permutation(0)
    assert sorted(order) == list(range(784))
    assert not np.array_equal(order, mnist.permutation(1))
    digest = hashlib.sha256(order.astype("<i8").tobytes()).hexdigest()
    assert digest == "fe62e3fef305ce16e55f08cd0056a8b237e12af6c9523ff3fb35395f6ec55222"


def rewrite(folder, name, change):
    path = folder / name
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes())), mtime=0))


def cut(folder):
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-2000])


def flip(folder):
    path = folder / "train-labels-idx1-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


DIGITS_DAMAGE = {
    "a file missing": (lambda folder: (folder / "t10k-labels-idx1-ubyte.gz").unlink(), "t10k-labels-idx1-ubyte.gz is missing"),
    "truncated gz": (cut, "train-images-idx3-ubyte.gz is truncated or damaged"),
    "damaged gz": (flip, "train-labels-idx1-ubyte.gz is truncated or damaged"),
    "not gz": (
        lambda f: (f / "t10k-images-idx3-ubyte.gz").write_bytes(b"<html>"),
        "t10k-images-idx3-ubyte.gz is truncated or damaged",
    ),
    "wrong magic number": (
        lambda folder: rewrite(folder, "train-images-idx3-ubyte.gz", lambda data: b"\0\0\x08\x01" + data[4:]),
        "begins with 0x00000801, not 0x00000803",
    ),
    "an empty file": (lambda folder: rewrite(folder, "train-images-idx3-ubyte.gz", lambda data: b""), "it has 0 bytes"),
    "fewer bytes than promised": (
        lambda folder: rewrite(folder, "train-images-idx3-ubyte.gz", lambda data: data[:-1]),
        "announces",
    ),
    "another size of image": (
        lambda folder: rewrite(folder, "train-images-idx3-ubyte.gz", lambda data: idx(np.zeros((3, 8, 8), np.uint8))),
        r"items of shape \(8, 8\), expected \(28, 28\)",
    ),
    "counts differ": (
        lambda folder: rewrite(folder, "t10k-labels-idx1-ubyte.gz", lambda data: idx(LABELS["t10k"][:6])),
        "holds 7 images, but .* holds 6 labels",
    ),
    "a label that is no digit": (
        lambda folder: rewrite(folder, "t10k-labels-idx1-ubyte.gz", lambda data: data[:-1] + b"\x0b"),
        "holds the label 11",
    ),
    "no images": (
        lambda folder: [
            rewrite(folder, "t10k-images-idx3-ubyte.gz", lambda data: idx(IMAGES["t10k"][:0])),
            rewrite(folder, "t10k-labels-idx1-ubyte.gz", lambda data: idx(LABELS["t10k"][:0])),
        ],
        "holds no image",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DIGITS_DAMAGE.values(), ids=DIGITS_DAMAGE)
def test_damaged_digits_are_refused_in_one_line_and_leave_nothing_behind(tmp_path, digits, damage, message):
    good = digits.rename(tmp_path / "bad")
    damage(good)
    with pytest.raises(DataError, match=message) as error:
        load_digits(tmp_path, good)
    assert "\n" not in str(error.value)
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]


def test_a_wrong_directory_is_refused(tmp_path, digits):
    with pytest.raises(DataError, match=r"nowhere does not exist; it should be a directory with MNIST's four files"):
        load_digits(tmp_path, tmp_path / "nowhere")
    with pytest.raises(DataError, match="is not a directory"):
        load_digits(tmp_path, digits / "t10k-labels-idx1-ubyte.gz")
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz is missing; the directory should hold MNIST's four files"):
        load_digits(tmp_path, tmp_path)


def test_wrong_arguments_are_refused(tmp_path, digits):
    with pytest.raises(ValueError, match=r"name must be one of 'digits', .*, got 'emnist'"):
        datasets.load("emnist", tmp_path)
    with pytest.raises(ValueError, match="validation_size must be less than the 1203 images for training, got 1203"):
        load_digits(tmp_path, digits, validation_size=1203)
    with pytest.raises(ValueError, match="unit must be one of 'word', 'character', got 'byte'"):
        datasets.load("text", tmp_path, unit="byte")


@pytest.fixture
def published(monkeypatch, digits):
    """The files of `digits` in the place of those on the web."""
    monkeypatch.setattr(mnist, "URL", f"{digits.as_uri()}/")
    monkeypatch.setattr(mnist, "CHECKSUMS", {path.name: files.sha256(path) for path in digits.iterdir()})
    return digits


def test_without_a_source_mnist_is_downloaded_once(tmp_path, published):
    data = load_digits(tmp_path, None)
    np.testing.assert_array_equal(data.test.targets, LABELS["t10k"])
    assert all(data.info.origin["as_published"].values())
    for path in published.iterdir():
        path.unlink()
    again = load_digits(tmp_path, None)
    np.testing.assert_array_equal(again.train.inputs, data.train.inputs)


def test_a_wrong_checksum_is_refused_and_the_download_not_kept(tmp_path, published):
    rewrite(published, "t10k-labels-idx1-ubyte.gz", lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte.gz has the wrong checksum: SHA-256 [0-9a-f]{64}, published is"):
        load_digits(tmp_path, None)
    assert not list((tmp_path / "data").iterdir())


def test_a_download_that_fails_says_what_to_do(tmp_path, published):
    (published / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"cannot be downloaded .*; download it by hand and give its folder as source"):
        load_digits(tmp_path, None)


# Text


@pytest.fixture
def ptb(tmp_path):
    folder = tmp_path / "ptb"
    folder.mkdir()
    (folder / "ptb.train.txt").write_text(" the cat <unk> \n the dog saw the cat \n")
    (folder / "ptb.valid.txt").write_text(" the bird \n")
    (folder / "ptb.test.txt").write_text(" cat saw N \n")
    return folder


def words(split, vocabulary):
    return [vocabulary[i] for i in [*split.inputs[:1], *split.targets]]


def test_the_penn_treebank_has_the_vocabulary_of_its_training_split(tmp_path, ptb):
    data = datasets.load("ptb", tmp_path / "data", ptb)
    assert data.info[:3] == ("ptb", "language", 6)
    assert data.info.vocabulary == ("<unk>", "<eos>", "the", "cat", "dog", "saw")
    assert words(data.train, data.info.vocabulary) == ["the", "cat", "<unk>", "<eos>", "the", "dog", "saw", "the", "cat", "<eos>"]
    assert words(data.validation, data.info.vocabulary) == ["the", "<unk>", "<eos>"]
    assert words(data.test, data.info.vocabulary) == ["cat", "saw", "<unk>", "<eos>"]
    for split in data[:3]:
        assert (split.inputs.dtype, split.targets.dtype) == (np.int32, np.int32)
        np.testing.assert_array_equal(split.inputs[1:], split.targets[:-1])
    again = datasets.load("ptb", tmp_path / "data")
    np.testing.assert_array_equal(again.train.inputs, data.train.inputs)
    assert again.info == data.info


def test_ptb_without_a_source_says_what_to_give(tmp_path):
    with pytest.raises(DataError, match=r"Nothing is prepared in .*; give as the source the directory with ptb.train.txt"):
        datasets.load("ptb", tmp_path)


TEXT_DAMAGE = {
    "missing": (lambda path: path.unlink(), "ptb.valid.txt is missing"),
    "empty": (lambda path: path.write_text("\n \n"), "ptb.valid.txt is empty"),
    "not text": (lambda path: path.write_bytes(b"caf\xe9"), "ptb.valid.txt is not text in UTF-8: byte 3 is 0xe9"),
    "a directory": (lambda path: (path.unlink(), path.mkdir()), "ptb.valid.txt cannot be read: Is a directory"),
}


@pytest.mark.parametrize(("damage", "message"), TEXT_DAMAGE.values(), ids=TEXT_DAMAGE)
def test_a_damaged_text_is_refused(tmp_path, ptb, damage, message):
    damage(ptb / "ptb.valid.txt")
    with pytest.raises(DataError, match=message):
        datasets.load("ptb", tmp_path / "data", ptb)


def test_a_text_by_character_is_cut_in_three(tmp_path):
    path = tmp_path / "some.txt"
    path.write_bytes(b"ab\r\ncab" + b"abc" * 30 + b"xyz")
    data = datasets.load("text", tmp_path / "data", path, unit="character")
    assert data.info.vocabulary == ("<unk>", "a", "b", "\n", "c")
    assert [len(split.inputs) + 1 for split in data[:3]] == [89, 5, 5]  # of 99 characters
    whole = "".join("".join(words(split, [*"?ab\nc"])) for split in data[:3])
    assert whole == "ab\ncab" + "abc" * 30 + "???"


def test_rare_words_are_unknown(tmp_path):
    path = tmp_path / "some.txt"
    path.write_text("a b a c a b d e f g " * 1 + "a b " * 20)
    often = datasets.load("text", tmp_path / "data", path, min_count=2)
    assert often.info.vocabulary == ("<unk>", "<eos>", "a", "b")
    assert words(often.train, often.info.vocabulary)[:7] == ["a", "b", "a", "<unk>", "a", "b", "<unk>"]
    assert len(datasets.load("text", tmp_path / "data", path).info.vocabulary) == 9


def test_a_text_too_short_to_split_is_refused(tmp_path):
    (tmp_path / "some.txt").write_text("one two three")
    with pytest.raises(DataError, match=r"some.txt is too short: its validation split would have 0 of at least 2 tokens"):
        datasets.load("text", tmp_path / "data", tmp_path / "some.txt")


def test_the_generated_text_has_as_many_sentences_as_its_perplexity_says():
    choices = [8, 8, 2, 4, 8, 2, 8, 8]
    assert pytest.approx(np.prod(choices) ** (1 / 9)) == text.GENERATED_BEST_PERPLEXITY
    lines = text.generated_text(30_000).splitlines()
    heads, tails = {line.split()[0] for line in lines}, {line.split()[-1] for line in lines}
    assert (len(heads), len(tails)) == (1, 8)
    for line in itertools.islice(lines, 500):
        the, _, noun, _, the_too, _, verb, _ = line.split()
        assert the == the_too == "the"
        assert noun.endswith("s") != verb.endswith("s")
    sizes = [len({line.split()[place] for line in lines}) for place in range(8)]
    assert sizes == [1, 8, 16, 4, 1, 16, 16, 8]


def test_text_without_a_source_is_the_generated_one(tmp_path):
    data = datasets.load("text", tmp_path / "data")
    stream = words(data.train, data.info.vocabulary)
    assert " ".join(stream[:18]) == " <eos> ".join([*text.generated_text().splitlines()[:2], ""]).strip()
    assert not np.any(data.test.targets == 0)


def test_a_stream_is_batched_so_that_rows_go_on():
    split = Split(np.arange(10, dtype=np.int32), np.arange(1, 11, dtype=np.int32))
    batch = text.batch_stream(split, 3)
    np.testing.assert_array_equal(batch.inputs, [[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    np.testing.assert_array_equal(batch.targets, batch.inputs + 1)
    with pytest.raises(ValueError, match="batch_size must be at most the stream's 10 tokens, got 11"):
        text.batch_stream(split, 11)


# How prepared data is kept


def prepared_folder(tmp_path):
    (folder,) = (tmp_path / "data").glob("*/momentum_ptb/2.0.0")
    return folder


def shard(folder):
    (path,) = folder.glob("*train.array_record*")
    return path


def shorten(path):
    path.write_bytes(path.read_bytes()[:-100])


def scramble(path):
    path.write_bytes(path.read_bytes()[:64] + bytes(len(path.read_bytes()) - 64))


PREPARED_DAMAGE = {
    "no info": lambda folder: (folder / "dataset_info.json").unlink(),
    "half an info": lambda folder: shorten(folder / "dataset_info.json"),
    "no features": lambda folder: (folder / "features.json").unlink(),
    "no shard": lambda folder: shard(folder).unlink(),
    "half a shard": lambda folder: shorten(shard(folder)),
    "an empty shard": lambda folder: shard(folder).write_bytes(b""),
    "a damaged shard": lambda folder: scramble(shard(folder)),
    "nothing at all": lambda folder: [path.unlink() for path in folder.iterdir()],
}


@pytest.mark.parametrize("damage", PREPARED_DAMAGE.values(), ids=PREPARED_DAMAGE)
def test_a_damaged_folder_is_named(tmp_path, ptb, damage):
    datasets.load("ptb", tmp_path / "data", ptb)
    folder = prepared_folder(tmp_path)
    damage(folder)
    with pytest.raises(DataError, match=r"is incomplete or damaged; delete .* and run again") as error:
        datasets.load("ptb", tmp_path / "data", ptb)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_what_an_interrupted_preparation_left_is_passed_over(tmp_path, ptb):
    complete = datasets.load("ptb", tmp_path / "data", ptb)
    folder = prepared_folder(tmp_path)
    half = folder.rename(folder.parent / "incomplete.ABCDEF_2.0.0")
    shard(half).unlink()
    with pytest.raises(DataError, match="Nothing is prepared"):
        datasets.load("ptb", tmp_path / "data")
    np.testing.assert_array_equal(datasets.load("ptb", tmp_path / "data", ptb).train.inputs, complete.train.inputs)


def test_an_interrupt_leaves_nothing_that_looks_prepared(tmp_path, ptb, monkeypatch):
    def interrupted(ids):
        yield {"ids": np.zeros(3, np.int32)}
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(text, "_blocks", interrupted)
        with pytest.raises(KeyboardInterrupt):
            datasets.load("ptb", tmp_path / "data", ptb)
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert len(datasets.load("ptb", tmp_path / "data", ptb).train.inputs) == 9


def test_a_killed_preparation_leaves_nothing_that_looks_prepared(tmp_path, ptb):
    code = (
        "import os, sys; from experiments.datasets import store, text\n"
        "def killed(ids):\n    yield {'ids': text.np.zeros(3, 'int32')}\n    os._exit(9)\n"
        "text._blocks = killed; text.load_ptb(*sys.argv[1:])"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "data"), str(ptb)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"})
    assert run.returncode == 9, run.stderr
    assert not list((tmp_path / "data").glob("*/*/2.0.0"))
    assert len(datasets.load("ptb", tmp_path / "data", ptb).train.inputs) == 9


def test_another_process_that_was_faster_is_no_error(tmp_path, ptb, monkeypatch):
    datasets.load("ptb", tmp_path / "faster", ptb)

    def overtaken(builder):
        shutil.copytree(tmp_path / "faster", tmp_path / "data", dirs_exist_ok=True)
        raise OSError(39, "Directory not empty")

    monkeypatch.setattr(store, "_write", overtaken)
    assert len(datasets.load("ptb", tmp_path / "data", ptb).train.inputs) == 9


def test_a_builder_is_found_by_its_name_as_any_other(tmp_path, ptb):
    splits = tfds.data_source("momentum_ptb", data_dir=tmp_path / "data", builder_kwargs={"source": ptb})
    (record,) = splits["test"]
    data = datasets.load("ptb", tmp_path / "other", ptb)
    np.testing.assert_array_equal(record["ids"], [*data.test.inputs, data.test.targets[-1]])


def test_another_source_in_the_same_data_directory_gives_its_own_data(tmp_path, ptb):
    first = datasets.load("ptb", tmp_path / "data", ptb)
    (ptb / "ptb.train.txt").write_text("a dog\n")
    second = datasets.load("ptb", tmp_path / "data", ptb)
    assert second.info.vocabulary == ("<unk>", "<eos>", "a", "dog")
    assert first.info.origin != second.info.origin
    with pytest.raises(DataError, match="holds momentum_ptb of 2 sources; give the source to choose one"):
        datasets.load("ptb", tmp_path / "data")


def test_an_unwritable_data_directory_is_named_before_anything_is_read(tmp_path, ptb):
    (tmp_path / "file").write_text("")
    (ptb / "ptb.train.txt").write_bytes(b"\xff")  # would be refused, were it read
    for data_dir in (tmp_path / "file", tmp_path / "file" / "data"):
        with pytest.raises(DataError, match=r"The data directory .*file.* cannot be written: "):
            datasets.load("ptb", data_dir, ptb)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_directory_without_permission_is_named(tmp_path, ptb):
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o555)
    with pytest.raises(DataError, match=r"The data directory .*data cannot be written: Permission denied"):
        datasets.load("ptb", data_dir, ptb)


def test_a_disk_that_fills_up_is_a_data_error(tmp_path, ptb, monkeypatch):
    def full(builder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_write", full)
    with pytest.raises(DataError, match=r"The data directory .* cannot be written: No space left on device"):
        datasets.load("ptb", tmp_path / "data", ptb)


def test_no_tensorflow_is_needed_and_nothing_is_printed(tmp_path, ptb):
    code = (
        "import sys\n"
        "from experiments import datasets\n"
        "for _ in range(2): datasets.load('ptb', *sys.argv[1:])\n"
        "assert 'tensorflow' not in sys.modules"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "data"), str(ptb)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"})
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
