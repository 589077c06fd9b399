"""saving.py: what is saved comes back bit for bit; everything else is refused whole, with the reason."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import pickle
import re
import resource
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import karusel.saving
from karusel.errors import (
    DataError,
    FileMissingError,
    KaruselError,
    ModelFileError,
    TooLargeError,
    UsageError,
)
from karusel.saving import load_file, save_file

sys.path.insert(0, str(Path(__file__).parent / "hostile"))
from make_hostile_models import entry, good, hostile_models, karusel_text, model

# These examples touch the disk, and the machine may be busy: time proves nothing here.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

HEADER: dict[str, Any] = {
    "config": {"layers": [{"type": "LSTM", "hidden_size": 3}, {"type": "Dense", "units": 1}], "loss": None},
    "names": ["год", 'quoted "name"', "\\", "\n"],
    "learning_rate": 0.1,
    "steps": 2**100,
    "shuffle": True,
}


def some_tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {
        "lstm_0.0.forward.W": rng.standard_normal((2, 12)).astype(np.float32),
        "lstm_0.0.forward.U": rng.standard_normal((3, 12)).astype(np.float32),
        "dense_1.b": np.array([np.finfo(np.float32).tiny / 8], dtype=np.float32),  # a denormal number
        "training/adam.scale": np.array(-0.0, dtype=np.float32),
    }


def assert_same(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert set(got) == set(expected)
    for name, tensor in expected.items():
        assert got[name].shape == tensor.shape, name
        assert got[name].dtype == np.float32, name
        assert got[name].tobytes() == tensor.tobytes(), name


def refusal(path: Path, contents: bytes) -> str:
    path.write_bytes(contents)
    with pytest.raises(ModelFileError) as caught:
        load_file(path, "network")
    message = str(caught.value)
    assert message.startswith(f"model file {str(path)!r} ")
    assert message.isprintable()
    assert len(message) < 400 + len(str(path))
    return message


# -------------------------------------------------------------------------------------- round trip


def test_what_is_saved_comes_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "model.karusel"
    tensors = some_tensors()
    save_file(path, "network", HEADER, tensors)
    header, got = load_file(path, "network")
    assert header == HEADER
    assert list(header) == list(HEADER)
    assert_same(got, tensors)


def test_loaded_tensors_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "model.karusel"
    save_file(path, "network", {}, some_tensors())
    before = path.read_bytes()
    _, got = load_file(path, "network")
    for tensor in got.values():
        tensor[...] = 7.0
    assert path.read_bytes() == before


def test_a_file_without_tensors(tmp_path: Path) -> None:
    save_file(tmp_path / "m", "forecaster", {"note": ""}, {})
    assert load_file(tmp_path / "m", "forecaster") == ({"note": ""}, {})


def test_same_contents_same_bytes(tmp_path: Path) -> None:
    tensors = some_tensors()
    save_file(tmp_path / "a", "network", HEADER, tensors)
    save_file(tmp_path / "b", "network", HEADER, dict(reversed(tensors.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_strided_and_read_only_tensors_are_saved_as_seen(tmp_path: Path) -> None:
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    tensors = {"transposed": base.T, "every_second": base[:, ::2], "backward": base[::-1]}
    tensors["transposed"].flags.writeable = False
    save_file(tmp_path / "m", "network", {}, tensors)
    assert_same(load_file(tmp_path / "m", "network")[1], tensors)


def test_a_checkpoint_and_nothing_else_holds_float64(tmp_path: Path) -> None:
    tensors = {"m": np.array([[1 / 3, -1e300]]), "weights": np.array([0.1, 0.2, 0.3], np.float32)}
    save_file(tmp_path / "m", "checkpoint", {"step": 3}, tensors)
    header, got = load_file(tmp_path / "m", "checkpoint")
    assert header == {"step": 3}
    assert {name: (array.dtype, array.tobytes()) for name, array in got.items()} == {
        name: (array.dtype, array.tobytes()) for name, array in tensors.items()
    }
    for dtype in (np.float16, np.int64):
        with pytest.raises(UsageError, match="float32 or float64"):
            save_file(tmp_path / "m", "checkpoint", {}, {"m": np.ones(3, dtype)})
    contents = model({"m": entry(0, 2, dtype="BF16")}, bytes(2), karusel_text(kind="checkpoint"))
    (tmp_path / "m").write_bytes(contents)
    with pytest.raises(ModelFileError, match="dtype 'BF16', the rule is F32 or F64"):
        load_file(tmp_path / "m", "checkpoint")


def test_other_safetensors_readers_can_read_it(tmp_path: Path) -> None:
    from safetensors import safe_open

    save_file(tmp_path / "m", "network", HEADER, some_tensors())
    with safe_open(tmp_path / "m", framework="np") as file:
        assert set(file.metadata()) == {"karusel"}
        assert_same({name: file.get_tensor(name) for name in file.keys()}, some_tensors())  # noqa: SIM118


@unhurried
@given(
    header=st.dictionaries(
        st.text().filter(lambda key: key not in {"sha256", "format", "karusel", "kind"}),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=6,
        ),
        max_size=4,
    ),
    tensors=st.dictionaries(
        st.from_regex(r"[A-Za-z][A-Za-z0-9_./-]{0,20}", fullmatch=True),
        hnp.arrays(
            np.float32,
            hnp.array_shapes(min_dims=0, max_dims=4, max_side=4),
            elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
        ),
        max_size=3,
    ),
)
def test_any_contents_come_back(header: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m")
        save_file(path, "network", header, tensors)
        got_header, got = load_file(path, "network")
    assert got_header == header
    assert_same(got, tensors)


# -------------------------------------------------------------------------------------- hostile files


def test_the_good_file_of_the_hostile_set_loads(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(good())
    header, tensors = load_file(tmp_path / "m", "network")
    assert header == {}
    assert_same(tensors, {"W": np.array([1, -2], np.float32), "b": np.array([0.5], np.float32)})


@pytest.mark.parametrize("name", sorted(hostile_models()))
def test_hostile_file_is_refused_with_its_reason(name: str, tmp_path: Path) -> None:
    contents, words = hostile_models()[name]
    assert words in refusal(tmp_path / "m", contents)


def test_truncated_anywhere(tmp_path: Path) -> None:
    save_file(tmp_path / "whole", "network", {"config": {"units": 4}}, {"W": np.ones((2, 3), np.float32)})
    contents = (tmp_path / "whole").read_bytes()
    for size in range(len(contents)):
        message = refusal(tmp_path / "cut", contents[:size])
        assert "is truncated" in message or "is empty" in message, (size, message)


@unhurried
@given(data=st.data())
def test_changed_bytes_never_load_to_other_values(data: st.DataObject) -> None:
    contents = bytearray(good())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(contents) - 1))
        contents[place] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m")
        if bytes(contents) == good():
            return
        refusal(path, bytes(contents))


def test_every_single_bit_matters(tmp_path: Path) -> None:
    contents = good()
    for place in range(len(contents)):
        for bit in (0, 5, 7):
            changed = bytearray(contents)
            changed[place] ^= 1 << bit
            refusal(tmp_path / "m", bytes(changed))


@unhurried
@given(inserted=st.binary(min_size=1, max_size=40), place=st.integers(0, len(good())))
def test_inserted_bytes_are_refused(inserted: bytes, place: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        refusal(Path(folder, "m"), good()[:place] + inserted + good()[place:])


@unhurried
@given(contents=st.binary(max_size=200))
def test_any_bytes_are_refused(contents: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        refusal(Path(folder, "m"), contents)


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "exploded"),)

    assert "is a pickle, which can run code" in refusal(tmp_path / "m", pickle.dumps(Bomb()))
    assert not (tmp_path / "exploded").exists()


def test_header_length_that_looks_like_a_pickle_still_loads(tmp_path: Path) -> None:
    # A header of 0x0280 bytes starts the file with 80 02, as a pickle of protocol 2 does.
    for padding in range(700):
        contents = model({"W": entry(0, 4)}, bytes(4), karusel_text(pad=" " * padding))
        if contents[:2] == b"\x80\x02":
            break
    else:
        pytest.fail("no padding gives this header length")
    (tmp_path / "m").write_bytes(contents)
    assert load_file(tmp_path / "m", "network")[1]["W"] == 0


def test_digest_field_in_the_callers_text_does_not_mislead(tmp_path: Path) -> None:
    text = '"sha256":"' + "0" * 64 + '"'
    header = {"note": text, 'x":{"sha256': "0" * 64}
    save_file(tmp_path / "m", "network", header, some_tensors())
    assert load_file(tmp_path / "m", "network")[0] == header


def test_the_format_comes_before_the_digest(tmp_path: Path) -> None:
    """A later format may define its digest anew, and its refusal must still name the version."""
    future = good().replace(rb"\"format\":1", rb"\"format\":7")
    assert "has format 7" in refusal(tmp_path / "m", future)


# -------------------------------------------------------------------------------------- hostile networks


def some_network() -> karusel.Sequential:
    net = karusel.Sequential(
        [
            karusel.Embedding(7, 3),
            karusel.LSTM(4, num_layers=2, direction="bidirectional", initial_state="learned", dropout=0.1),
            karusel.Dense(3, activation="tanh"),
        ]
    )
    schedule = karusel.Cosine(0.1, total_steps=100)
    net.compile(loss=karusel.Pinball([0.1, 0.5, 0.9]), optimizer=karusel.AdamW(learning_rate=schedule))
    net.build((5, 1))
    return net


@pytest.mark.parametrize(
    ("loss", "rate"),
    [
        (karusel.SoftmaxCrossEntropy(classes=3), karusel.Step(0.1, every=7, factor=0.3)),
        (karusel.Huber(0.4), karusel.Cosine(0.1, 9, 2, 0.01)),
        (karusel.Pinball([0.2, 0.7]), karusel.Constant(0.2)),
    ],
)
def test_a_loaded_network_trains_with_the_same_settings(loss: Any, rate: Any, tmp_path: Path) -> None:
    net = karusel.Sequential([karusel.Dense(6)])
    net.compile(loss, karusel.AdamW(rate, 0.8, 0.9, 0.1, weight_decay=0.2, clip_norm=3.0, ema_decay=0.4))
    net.build((2,))
    net.save(tmp_path / "net")
    same = karusel.load(tmp_path / "net")
    assert vars(same.loss) == vars(loss)
    found, given = vars(same.optimizer).copy(), vars(net.optimizer).copy()
    assert vars(found.pop("schedule")) == vars(given.pop("schedule"))
    assert found == given


def places(config: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    if isinstance(config, dict | list):
        for key in config if isinstance(config, dict) else range(len(config)):
            yield from places(config[key], (*place, key))


@pytest.mark.parametrize(
    "value",
    [None, True, -1, 0, 3, 10**9, 10**400, 1e300, -0.5, "", "forward", [], [[1]], {}, {"kind": "lstm"}],
    ids=lambda value: repr(value)[:30],
)
def test_wrong_config_under_a_right_digest(value: Any, tmp_path: Path) -> None:
    """One value of the config replaced: the network loads with what is there, or is refused."""
    net = some_network()
    net.save(tmp_path / "whole")
    contents = (tmp_path / "whole").read_bytes()
    start = 8 + int.from_bytes(contents[:8], "little")
    entries = json.loads(contents[8:start])
    tensors = {name: entry for name, entry in entries.items() if name != "__metadata__"}
    for place in places(net.get_config()):
        config = {"config": net.get_config()}
        inner: Any = config
        for key in ("config", *place)[:-1]:
            inner = inner[key]
        inner[("config", *place)[-1]] = value
        (tmp_path / "m").write_bytes(model(tensors, contents[start:], karusel_text(**config)))
        try:
            loaded = karusel.load(tmp_path / "m")
        except (ModelFileError, TooLargeError):
            continue
        assert_same(dict(loaded.parameters), dict(net.parameters))


def test_a_small_file_that_claims_a_large_network(tmp_path: Path) -> None:
    """Names and shapes are compared before anything of that size is made."""
    net = some_network()
    config = net.get_config()
    config["layers"][1]["hidden_size"] = 10**5
    save_file(tmp_path / "m", "network", {"config": config}, dict(net.parameters))
    with pytest.raises(ModelFileError, match="the parameters do not fit the layers"):
        karusel.load(tmp_path / "m")


def test_parameters_that_do_not_fit_the_layers(tmp_path: Path) -> None:
    net = some_network()
    parameters = {name: np.asarray(array, np.float32) for name, array in net.parameters.items()}
    config = {"config": net.get_config()}
    last = list(parameters)[-1]
    wrong = {
        "missing": {name: array for name, array in parameters.items() if name != last},
        "unknown": {**parameters, "dense_9.W": np.ones(1, np.float32)},
        "another shape": {**parameters, last: np.ones((2, 2), np.float32)},
    }
    for tensors in wrong.values():
        save_file(tmp_path / "m", "network", config, tensors)
        with pytest.raises(ModelFileError, match="do not fit the layers"):
            karusel.load(tmp_path / "m")


# -------------------------------------------------------------------------------------- what save refuses


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"format": 3}, "'format' belongs to the model file"),
        ({"rate": float("nan")}, "header['rate'] is nan"),
        ({"config": {"rate": float("inf")}}, "header['config']['rate'] is inf"),
        ({"config": {1: "x"}}, "has the key 1"),
        ({"when": np.int64(3)}, "is of type int64"),
        ({"text": "\ud800"}, "surrogates not allowed"),
        (
            {"deep": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]},
            "deeper than 32 levels",
        ),
    ],
)
def test_header_that_json_would_lose(header: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        save_file(tmp_path / "m", "network", header, {})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "tensor", "error", "words"),
    [
        ("W", np.ones(3), UsageError, "got float64 of shape (3,)"),
        ("W", [1.0], UsageError, "got list"),
        ("W", np.ones((1,) * 9, np.float32), UsageError, "at most 8 axes"),
        ("W", np.ones((3, 0), np.float32), UsageError, "at least one value"),
        ("", np.ones(3, np.float32), UsageError, "tensor name ''"),
        ("__metadata__ ", np.ones(3, np.float32), UsageError, "tensor name"),
        ("W", np.array([1, np.nan], np.float32), DataError, "'W' holds a NaN"),
    ],
)
def test_tensor_that_the_format_cannot_hold(
    name: str, tensor: Any, error: type[Exception], words: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=re.escape(words)):
        save_file(tmp_path / "m", "network", {}, {name: tensor})
    assert os.listdir(tmp_path) == []


def test_a_tensor_called_like_the_metadata_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="__metadata__"):
        save_file(tmp_path / "m", "network", {}, {"__metadata__": np.ones(1, np.float32)})


def test_header_over_the_limit(tmp_path: Path) -> None:
    with pytest.raises(TooLargeError, match="16777216 bytes"):
        save_file(tmp_path / "m", "network", {"ids": "x" * (16 << 20)}, {})
    assert os.listdir(tmp_path) == []


# -------------------------------------------------------------------------------------- the file system


def test_missing_file_and_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match=r"no\.karusel' is not there"):
        load_file(tmp_path / "no.karusel", "network")
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "no" / "m", tmp_path / "file" / "m"):
        with pytest.raises(FileMissingError, match="is not there"):
            load_file(path, "network")
        with pytest.raises(FileMissingError, match="make its folder first"):
            save_file(path, "network", {}, {})
    with pytest.raises(FileMissingError, match="is not there"):
        load_file("a\0b", "network")


def test_folder_and_pipe_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is a folder"):
        load_file(tmp_path, "network")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="is a device or a pipe"):
        load_file(tmp_path / "pipe", "network")
    (tmp_path / "folder").mkdir()
    with pytest.raises(KaruselError, match=r"not written: .*[Dd]irectory"):
        save_file(tmp_path / "folder", "network", {}, {})
    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe"]


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write everywhere: take another user's rights for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_folder_that_may_not_be_written_and_file_that_may_not_be_read(tmp_path: Path) -> None:
    save_file(tmp_path / "m", "network", {}, {})  # loads what is imported on first use, while it may be read
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "secret").write_bytes(good())
        (folder / "secret").chmod(0)
        folder.chmod(0o555)
        with as_nobody():
            with pytest.raises(KaruselError, match="not written: Permission denied"):
                save_file(folder / "m", "network", {}, {})
            with pytest.raises(KaruselError, match="cannot be read: Permission denied"):
                load_file(folder / "secret", "network")
        folder.chmod(0o700)
        assert os.listdir(folder) == ["secret"]


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_full_disk_keeps_the_old_file(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m"
    save_file(path, "network", {}, some_tensors())
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if step == "open":
        monkeypatch.setattr(Path, "write_bytes", full)
    else:
        monkeypatch.setattr(os, step, full)
    with pytest.raises(KaruselError, match=r"not written: No space left on device; what was there before"):
        save_file(path, "network", {"new": 1}, {})
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m"]


def test_a_real_limit_in_mid_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "m"
    save_file(path, "network", {}, some_tensors())
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(KaruselError, match="not written: File too large"):
            save_file(path, "network", {}, {"W": np.ones(100_000, np.float32)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m"]


def test_interrupt_in_mid_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_file(tmp_path / "m", "network", {}, some_tensors())
    assert os.listdir(tmp_path) == []


def test_link_and_permissions_of_the_old_file_are_kept(tmp_path: Path) -> None:
    save_file(tmp_path / "m", "network", {}, {})
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o666 & ~umask
    (tmp_path / "m").chmod(0o640)
    (tmp_path / "link").symlink_to("m")
    save_file(tmp_path / "link", "network", {"new": 1}, {})
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o640
    assert load_file(tmp_path / "m", "network")[0] == {"new": 1}


def test_longest_possible_file_name(tmp_path: Path) -> None:
    save_file(tmp_path / ("m" * 255), "network", {}, {})
    with pytest.raises(KaruselError, match="not written: File name too long"):
        save_file(tmp_path / ("m" * 256), "network", {}, {})
    assert os.listdir(tmp_path) == ["m" * 255]


def test_kill_in_mid_save_never_damages(tmp_path: Path) -> None:
    path = tmp_path / "m"
    script = (
        "import numpy as np, sys; from karusel.saving import save_file\n"
        "for i in range(10**6):\n"
        "    save_file(sys.argv[1], 'network', {'i': i}, {'W': np.full(200_000, i, np.float32)})\n"
        "    print(i, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    process.kill()
    process.stdout.close()
    process.wait()
    header, tensors = load_file(path, "network")
    assert header["i"] >= 2
    assert (tensors["W"] == header["i"]).all()


# -------------------------------------------------------------------------------------- docs/model-file.md


def hexdump(data: bytes) -> str:
    """16 bytes a line: offset, the bytes in hexadecimal, the printable characters."""
    lines = []
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:04x}  {row.hex(' '):<47}  {text}".rstrip())
    return "\n".join(lines)


def test_worked_example_in_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(karusel.saving, "_version", lambda: "0.1.0")
    save_file(
        tmp_path / "m", "network", {"config": {"layers": []}}, {"dense_0.W": np.array([[1, -2]], np.float32)}
    )
    contents = (tmp_path / "m").read_bytes()
    docs = (Path(__file__).parents[1] / "docs" / "model-file.md").read_text()
    shown = re.search(r"```text\n(0000 .*?)\n```", docs, re.DOTALL)
    assert shown is not None
    assert shown[1] == hexdump(contents), hexdump(contents)
    digest = re.search(rb"[0-9a-f]{64}", contents)
    assert digest is not None
    blank = contents.replace(digest[0], b"0" * 64)
    assert hashlib.sha256(blank).hexdigest().encode() == digest[0]
