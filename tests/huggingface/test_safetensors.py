"""Safetensors: written and read, by hand and beside the reference, and what is refused."""

import json
import random
import struct
from functools import partial

import pytest
import torch

from electra.huggingface.safetensors import read_safetensors, write_safetensors
from huggingface.checks import assert_refused

pytestmark = pytest.mark.fast

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def numbers(dtype, *shape):
    """Any numbers that the dtype has."""
    values = 100 * torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))
    return (values > 0) if dtype == torch.bool else values.to(dtype)


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape), name
        assert torch.equal(found[name], value), name


def of_all_kinds():
    """Tensors of every dtype: empty, without dimensions, of odd sizes, and not contiguous."""
    tensors = {}
    for name, dtype in DTYPES.items():
        tensors |= {
            f"{name}.empty": numbers(dtype, 0),
            f"{name}.none": numbers(dtype, 3, 0, 2),
            f"{name}.one": numbers(dtype),
            f"{name}.odd": numbers(dtype, 3),
            f"{name}.cube": numbers(dtype, 2, 3, 5),
            f"{name}.turned": numbers(dtype, 4, 3).T,
            f"{name}.every other": numbers(dtype, 9)[::2],
            f"{name}.expanded": numbers(dtype, 1, 3).expand(2, 3),
        }
    return tensors


def entry(dtype="F32", shape=(1,), offsets=(0, 4), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


def packed(header, data=b""):
    """The bytes of a file; `header` in bytes as it stands, or anything that JSON writes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.fixture
def read(tmp_path):
    """read(bytes) -> the tensors of a file of them."""

    def run(data):
        (tmp_path / "some.safetensors").write_bytes(data)
        return read_safetensors(tmp_path / "some.safetensors")

    return run


def test_tensors_of_every_kind_come_back(tmp_path):
    expected = of_all_kinds()
    write_safetensors(tmp_path / "model.safetensors", expected)
    assert_same(read_safetensors(tmp_path / "model.safetensors"), expected)
    write_safetensors(tmp_path / "none.safetensors", {})
    assert read_safetensors(tmp_path / "none.safetensors") == {}


def test_values_that_are_no_numbers_keep_their_bits(tmp_path):
    bits = torch.tensor([0x7FC00001, 0x7F800000, -1, 1, -(2**31)], dtype=torch.int32)
    write_safetensors(tmp_path / "model.safetensors", {"x": bits.view(torch.float32)})
    assert torch.equal(
        read_safetensors(tmp_path / "model.safetensors")["x"].view(torch.int32), bits
    )


def test_a_written_file_by_hand(tmp_path):
    tensors = {"b": torch.tensor([[1.0, -2.0]]), "a": torch.tensor([7, 8, 9], dtype=torch.int16)}
    write_safetensors(tmp_path / "x", tensors, {"more": "é"})
    data = (tmp_path / "x").read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    assert header == {
        "__metadata__": {"format": "pt", "more": "é"},
        "a": entry("I16", [3], [0, 6]),
        "b": entry("F32", [1, 2], [6, 14]),
    }
    assert length % 8 == 0 and data[8 + length :] == struct.pack("<hhhff", 7, 8, 9, 1.0, -2.0)


def test_a_file_by_hand_is_read(read):
    header = {
        "b": entry("F32", [2], [2, 10]),
        "__metadata__": {"x": "y"},
        "a": entry("U8", [2, 1], [0, 2]),
        "c": entry("BOOL", [], [10, 11]),
        "d": entry("F64", [0], [2, 2]),
        "e": entry("I64", [5, 0], [11, 11]),
    }
    data = b"\x05\xff" + struct.pack("<ff", 0.5, -3.0) + b"\x01"
    expected = {
        "a": torch.tensor([[5], [255]], dtype=torch.uint8),
        "b": torch.tensor([0.5, -3.0]),
        "c": torch.tensor(True),
        "d": torch.empty(0, dtype=torch.float64),
        "e": torch.empty(5, 0, dtype=torch.int64),
    }
    assert_same(read(packed(header, data)), expected)
    assert_same(read(packed(json.dumps(header).encode() + b"  \n", data)), expected)
    assert read(packed({})) == read(packed({"__metadata__": {}})) == {}


FOUR = b"\0\0\0\0"
BROKEN = {
    "empty": b"",
    "short": b"\x01\0\0\0\0\0\0",
    "no header": struct.pack("<Q", 0),
    "cut off header": packed({"a": entry()})[:20],
    "header of 2 GB": struct.pack("<Q", 2**31) + b"{}",
    "longest header": b"\xff" * 8 + b"{}",
    "header one byte too long": struct.pack("<Q", 3) + b"{}",
    "not JSON": packed(b"{a: 1}"),
    "not UTF-8": packed(b'{"\xff": 1}'),
    "half JSON": packed(b'{"a":'),
    "list": packed([entry()], FOUR),
    "number": packed(4),
    "text": packed("a"),
    "null": packed(b"null"),
    "deep lists": packed(b"[" * 200_000),
    "deep objects": packed(b'{"a":' * 200_000),
    "number of 5,000 digits": packed(b'{"a": ' + b"9" * 5_000 + b"}"),
    "entry is null": packed({"a": None}),
    "entry is a list": packed({"a": [0, 4]}, FOUR),
    "entry is text": packed({"a": "F32"}),
    "no dtype": packed({"a": {"shape": [1], "data_offsets": [0, 4]}}, FOUR),
    "no shape": packed({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, FOUR),
    "no offsets": packed({"a": {"dtype": "F32", "shape": [1]}}, FOUR),
    **{
        f"dtype {dtype}": packed({"a": entry(dtype)}, FOUR)
        for dtype in ("F8_E4M3", "f32", "", "C64", "U64", None, 32, True, ["F32"], {"F32": 1})
    },
    **{
        f"offsets {offsets}": packed({"a": entry(offsets=offsets)}, FOUR)
        for offsets in (
            [],
            [4],
            [0, 4, 4],
            [-4, 0],
            [0, -4],
            [False, 4],
            [0.0, 4],
            [0, 4.0],
            ["0", "4"],
            [None, 4],
            [4, 0],
            [4, 8],
            [1, 5],
            [[0], 4],
            [2**64, 2**64 + 4],
            [-(2**64), 4 - 2**64],
        )
    },
    "offsets are text": packed({"a": {**entry(), "data_offsets": "04"}}, FOUR),
    **{
        f"shape {shape}": packed({"a": entry(shape=shape)}, FOUR)
        for shape in (
            [2],
            [0],
            [-1],
            [-1, -1],
            [True],
            [1.0],
            ["1"],
            [None],
            [[1]],
            [2**62],
            [2**40, 2**40],
            [2**64],
            [2**64 + 1],
        )
    },
    "shape is a number": packed({"a": {**entry(), "shape": 1}}, FOUR),
    "shape is null": packed({"a": {**entry(), "shape": None}}, FOUR),
    "2 to the 64 bytes in none": packed({"a": entry("U8", [2**32, 2**32], [0, 0])}),
    "2 to the 80 bytes in none": packed({"a": entry("F64", [2**40, 2**37], [0, 0])}),
    "2 to the 64 and 4 bytes in 4": packed({"a": entry("F32", [2**62 + 1], [0, 4])}, FOUR),
    "dimensions of 4,000 digits": packed({"a": entry(shape=[10**4_000, 10**4_000])}, FOUR),
    "empty, of more than 64 bits": packed({"a": entry(shape=[0, 2**70], offsets=[0, 0])}),
    "empty, of 2 to the 124": packed({"a": entry(shape=[2**62, 2**62, 0], offsets=[0, 0])}),
    "overlap": packed({"a": entry(), "b": entry(offsets=[2, 6])}, FOUR + b"\0\0"),
    "the same place twice": packed({"a": entry(), "b": entry()}, FOUR),
    "one within another": packed(
        {"a": entry(shape=[3], offsets=[0, 12]), "b": entry(offsets=[4, 8])}, 3 * FOUR
    ),
    "gap": packed({"a": entry(), "b": entry(offsets=[5, 9])}, FOUR + b"\0" + FOUR),
    "gap at the beginning": packed({"a": entry(offsets=[4, 8])}, FOUR + FOUR),
    "empty tensor beyond the end": packed(
        {"a": entry(), "b": entry(shape=[0], offsets=[8, 8])}, FOUR
    ),
    "out of range": packed({"a": entry(shape=[2], offsets=[0, 8])}, FOUR),
    "no data": packed({"a": entry()}),
    "too few bytes for its shape": packed({"a": entry("F64")}, FOUR),
    "too many": packed({"a": entry("F16")}, FOUR),
    "bytes behind": packed({"a": entry()}, FOUR + b"\0"),
    "bytes without tensors": packed({}, b"\0"),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_by_name(read, tmp_path, data):
    assert_refused(lambda: read(data), tmp_path / "some.safetensors")


def test_a_header_of_more_than_100_megabytes_is_not_read(tmp_path):
    path = tmp_path / "long.safetensors"
    path.write_bytes(struct.pack("<Q", 150_000_000))
    with open(path, "r+b") as file:
        file.truncate(160_000_000)  # takes no room on disk
    assert_refused(lambda: read_safetensors(path), path, "a header of 150,000,000 bytes")


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path):
    for path in (tmp_path / "nowhere.safetensors", tmp_path):
        assert_refused(partial(read_safetensors, path), path)


def read_or_refuse(read, data):
    """Whether a file could be read; what it holds must then be all of its data."""
    try:
        tensors = read(data)
    except ValueError:
        return False
    length = struct.unpack("<Q", data[:8])[0]
    assert (
        sum(value.numel() * value.element_size() for value in tensors.values())
        == len(data) - 8 - length
    )
    return True


def test_damaged_bytes_give_tensors_or_a_refusal(read, tmp_path):
    write_safetensors(
        tmp_path / "good",
        {"a": torch.randn(2, 3), "b.c": torch.arange(5), "d": torch.ones(3).half()},
    )
    good, rng, whole = (tmp_path / "good").read_bytes(), random.Random(0), 0
    for _ in range(300):
        data = bytearray(good)
        kind = rng.random()
        if kind < 0.1:
            del data[rng.randrange(len(data)) :]
        elif kind < 0.2:
            data[rng.randrange(len(data)) : 0] = rng.randbytes(rng.randint(1, 4))
        else:
            for _ in range(rng.randint(1, 3)):
                data[rng.randrange(len(data))] = rng.randrange(256)
        whole += read_or_refuse(read, bytes(data))
    assert 20 < whole < 250  # changes of the data, or of a name, are none of the header's business


def test_headers_of_odd_values_give_tensors_or_a_refusal(read):
    numbers = [0, 1, -1, 2, 4, 8, 12, 1.0, 2**31, 2**63, 2**64, 10**30, float("nan")]
    lists = [[], [0], [1], [0, 4], [3, 0], [[1]]]
    odd = [None, True, False, *numbers, "", "F32", "U8", *lists, {}, {"dtype": "F32"}]
    rng, whole = random.Random(1), 0
    for _ in range(300):
        header = {"a": entry(shape=[1, 1]), "b": entry("U8", [2, 4], [4, 12])}
        for _ in range(rng.randint(1, 2)):
            place, field = header[rng.choice("ab")], rng.choice(["dtype", "shape", "data_offsets"])
            if rng.random() < 0.5 and isinstance(place[field], list) and place[field]:
                place[field][rng.randrange(len(place[field]))] = rng.choice(odd)
            else:
                place[field] = rng.choice(odd)
        whole += read_or_refuse(read, packed(header, bytes(range(12))))
    assert 3 < whole < 150


def test_our_files_are_read_by_the_reference_and_the_reference_s_by_us(tmp_path):
    pytest.importorskip("safetensors")
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    expected = of_all_kinds()
    write_safetensors(tmp_path / "ours", expected, {"labels": '["a", "é"]'})
    assert_same(load_file(tmp_path / "ours"), expected)
    with safe_open(tmp_path / "ours", "pt") as file:
        assert file.metadata() == {"format": "pt", "labels": '["a", "é"]'}
    save_file(
        {name: value.contiguous() for name, value in expected.items()},
        tmp_path / "theirs",
        {"format": "pt"},
    )
    assert_same(read_safetensors(tmp_path / "theirs"), expected)
