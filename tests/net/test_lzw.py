"""Unix compress: what ``compress`` packs comes out as it was, and damage is told."""

from __future__ import annotations

import io
import random
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyvault.errors import FormatError
from skyvault.net.lzw import unlzw


def compress(data: bytes, *, widest: int = 16, clears: bool = True, clear_every: int = 0) -> bytes:
    """A .Z file, by the definition: codes in groups of eight, padded where the width changes or after a clear."""
    out = bytearray(b"\x1f\x9d" + bytes([widest | (0x80 if clears else 0)]))
    group: list[int] = []
    width = 9

    def flush(*, is_padded: bool) -> None:
        bits = 0
        for index, code in enumerate(group):
            bits |= code << index * width
        count = -(-len(group) // 8) * 8 if is_padded else len(group)
        out.extend(bits.to_bytes(-(-count * width // 8), "little"))
        group.clear()

    first = 257 if clears else 256
    table = {bytes([one]): one for one in range(256)}
    free, emitted, prefix = first, 0, b""

    def emit(code: int) -> None:
        nonlocal width, emitted
        # the reader knows one entry less than the writer
        if width < widest and free - (1 if emitted else 0) > (1 << width) - 1:
            flush(is_padded=True)
            width += 1
        group.append(code)
        emitted += 1

    for value in data:
        longer = prefix + bytes([value])
        if longer in table:
            prefix = longer
            continue
        emit(table[prefix])
        if free < 1 << widest:
            table[longer] = free
            free += 1
        prefix = bytes([value])
        if clears and clear_every and emitted >= clear_every:
            emit(256)
            flush(is_padded=True)
            table = {bytes([one]): one for one in range(256)}
            free, emitted, width = first, 0, 9
    if prefix:
        emit(table[prefix])
    flush(is_padded=False)
    return bytes(out)


def unpacked(packed: bytes) -> bytes:
    return b"".join(unlzw(io.BytesIO(packed)))


@given(
    data=st.one_of(
        st.binary(max_size=3000),
        st.builds(
            lambda seed, n: bytes(random.Random(seed).choices(b"AB\0", k=n)), st.integers(), st.integers(0, 20_000)
        ),
    ),
    widest=st.integers(9, 16),
    clears=st.booleans(),
    clear_every=st.sampled_from([0, 1, 7, 300, 2000]),
)
def test_what_is_packed_comes_out_as_it_was(data, widest, clears, clear_every) -> None:
    packed = compress(data, widest=widest, clears=clears, clear_every=clear_every)
    assert unpacked(packed) == data


@pytest.mark.skipif(shutil.which("gzip") is None, reason="the program gzip is missing")
@pytest.mark.parametrize("widest", [10, 12, 16])
def test_gzip_reads_what_our_tests_write(widest) -> None:
    body = bytes(random.Random(4).choices(b"SIMPLE = T 0123456789", k=300_000))
    packed = compress(body, widest=widest, clear_every=90_000)
    other = subprocess.run(["gzip", "-dc"], input=packed, capture_output=True, check=True).stdout
    assert other == body == unpacked(packed)


def test_damage_is_told_with_its_place() -> None:
    with pytest.raises(FormatError, match="byte 0: this is no compress"):
        unpacked(b"\x1f\x8b\x08")
    with pytest.raises(FormatError, match="byte 2: a largest code of 31 bits"):
        unpacked(b"\x1f\x9d\x9f")
    with pytest.raises(FormatError, match="code 511 has no meaning yet"):
        unpacked(b"\x1f\x9d\x90\xff\xff\xff")
