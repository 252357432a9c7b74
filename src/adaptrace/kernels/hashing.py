"""Keys: 64 bits that stand for a name, the same in every file and on every machine."""

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels.compile import kernel

KeyArray = NDArray[np.uint64]

FNV_OFFSET, FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@kernel
def mix(key: np.uint64) -> np.uint64:
    """Spread a number over all 64 bits (the finaliser of splitmix64; Steele, Lea & Flood, 2014)."""
    key = (key ^ (key >> np.uint64(30))) * MIX_1
    key = (key ^ (key >> np.uint64(27))) * MIX_2
    return key ^ (key >> np.uint64(31))


@kernel
def of_numbers(numbers: KeyArray, out: KeyArray) -> None:
    """Keys of whole numbers, given as 64 bits."""
    for at in range(len(numbers)):
        out[at] = mix(numbers[at])


@kernel
def of_texts(start: NDArray[np.int64], data: NDArray[np.uint8], out: KeyArray) -> None:
    """Keys of texts ``data[start[n]:start[n + 1]]`` (FNV-1a; Fowler, Noll & Vo, 1991)."""
    for at in range(len(out)):
        key = FNV_OFFSET
        for byte in range(start[at], start[at + 1]):
            key = (key ^ np.uint64(data[byte])) * FNV_PRIME
        out[at] = mix(key)


@kernel
def put_all(keys: KeyArray, slots: NDArray[np.int32]) -> None:
    """Put the places of keys into slots, at least twice as many, a power of two, all -1 (open addressing; Knuth, vol. 3, 6.4)."""
    last = np.uint64(len(slots) - 1)
    for at in range(len(keys)):
        slot = keys[at] & last
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & last
        slots[slot] = at


@kernel
def find_all(keys: KeyArray, among: KeyArray, slots: NDArray[np.int32], out: NDArray[np.int64]) -> None:
    """Where keys stand among those that were put into slots; -1 where nowhere."""
    last = np.uint64(len(slots) - 1)
    for at in range(len(keys)):
        slot = keys[at] & last
        while slots[slot] >= 0 and among[slots[slot]] != keys[at]:
            slot = (slot + np.uint64(1)) & last
        out[at] = slots[slot]


@kernel
def runs(values: NDArray[np.int64], out: NDArray[np.int64]) -> int:
    """Copy each value that differs from the one before; return how many there are."""
    size = 0
    for at in range(len(values)):
        if at == 0 or values[at] != values[at - 1]:
            out[size] = values[at]
            size += 1
    return size
