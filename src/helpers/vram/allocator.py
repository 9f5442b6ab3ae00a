"""PyTorch's caching allocator, replayed: how much memory it takes from the driver for a stream of tensors.

The rules are those of PyTorch's `CUDACachingAllocator` in its default configuration. Pure Python, no torch.
"""

import bisect
from collections.abc import Iterable

from .cards import MIB

SMALL = MIB  # requests up to this come from small segments


class _Pool:
    """Free blocks, smallest first, then lowest address: best fit."""

    def __init__(self):
        self._blocks: list[tuple[int, int]] = []

    def put(self, size: int, address: int) -> None:
        bisect.insort(self._blocks, (size, address))

    def drop(self, size: int, address: int) -> None:
        self._blocks.pop(bisect.bisect_left(self._blocks, (size, address)))

    def take(self, size: int) -> tuple[int, int] | None:
        """The block that fits best, no longer free, or None."""
        found = bisect.bisect_left(self._blocks, (size, -1))
        return self._blocks.pop(found) if found < len(self._blocks) else None


class _Segment:
    """What one call to the driver brought: `blocks` maps an address to [size, is free], in order of address."""

    def __init__(self, size: int, small: bool, address: int):
        self.size, self.small = size, small
        self.order, self.blocks = [address], {address: [size, True]}

    def is_free(self) -> bool:
        return len(self.order) == 1 and self.blocks[self.order[0]][1]

    def split(self, address: int, size: int) -> tuple[int, int]:
        """Cut a block down to `size`; returns address and size of the rest, which is free."""
        rest, left = address + size, self.blocks[address][0] - size
        self.blocks[address][0], self.blocks[rest] = size, [left, True]
        bisect.insort(self.order, rest)
        return rest, left

    def merge(self, address: int, pool: _Pool) -> tuple[int, int]:
        """Join a freed block with its free neighbours; returns the whole."""
        at = bisect.bisect_left(self.order, address)
        for first in (at, at - 1):  # the one behind, then the one in front
            if 0 <= first < len(self.order) - 1:
                low, high = self.order[first], self.order[first + 1]
                if self.blocks[low][1] and self.blocks[high][1]:
                    other = high if low == address else low
                    pool.drop(self.blocks[other][0], other)
                    self.blocks[low][0] += self.blocks.pop(high)[0]
                    self.order.pop(first + 1)
                    address = low
        return address, self.blocks[address][0]


def segment_size(size: int) -> int:
    """Bytes asked of the driver for a request that no free block serves."""
    if size <= SMALL:
        return 2 * MIB
    return 20 * MIB if size < 10 * MIB else -(-size // (2 * MIB)) * 2 * MIB


def reserved(events: Iterable[tuple], capacity: int | None = None) -> int:
    """Peak bytes that the allocator holds, `torch.cuda.max_memory_reserved`.

    Args:
        events: (+id, bytes, …) for a new tensor, (-id, …) for one that is gone, in order.
        capacity: bytes the device has for it. Before it asks for more, the allocator gives back segments that are
            wholly free. Without it nothing is given back.
    """
    pools = {True: _Pool(), False: _Pool()}
    segments: dict[int, _Segment] = {}
    where: dict[int, tuple[int, int]] = {}  # tensor -> segment's address, block's address
    home: dict[int, int] = {}  # free or used block -> segment's address
    held = peak = 0
    top = 1 << 40
    for number, size, *_ in events:
        if number < 0:
            if -number not in where:
                continue
            base, address = where.pop(-number)
            segment = segments[base]
            segment.blocks[address][1] = True
            address, whole = segment.merge(address, pools[segment.small])
            home[address] = base
            pools[segment.small].put(whole, address)
            continue
        size = max(512, -(-size // 512) * 512)
        small = size <= SMALL
        found = pools[small].take(size)
        if found is None:
            new = segment_size(size)
            if capacity and held + new > capacity:
                for base in [b for b, s in segments.items() if s.is_free()]:
                    segment = segments.pop(base)
                    pools[segment.small].drop(segment.size, base)
                    held -= segment.size
            address, top = top, top + new + 2 * MIB  # a gap: segments never merge
            segments[address], home[address] = _Segment(new, small, address), address
            held += new
            peak = max(peak, held)
            found = new, address
        whole, address = found
        segment = segments[home[address]]
        segment.blocks[address][1] = False
        left = whole - size
        if left >= 512 if small else left > SMALL:
            rest, left = segment.split(address, size)
            home[rest] = home[address]
            pools[small].put(left, rest)
        where[number] = home[address], address
    return peak


def expandable(events: Iterable[tuple]) -> int:
    """Peak bytes mapped with `expandable_segments:True`, from above: one growing segment a pool, nothing given back."""
    events, total = list(events), 0
    for small in (True, False):
        pool, segment = _Pool(), _Segment(0, small, 0)
        segment.order, segment.blocks = [], {}
        where, top = {}, 0
        for number, size, *_ in events:
            if number < 0:
                if -number in where:
                    address = where.pop(-number)
                    segment.blocks[address][1] = True
                    address, whole = segment.merge(address, pool)
                    pool.put(whole, address)
                continue
            size = max(512, -(-size // 512) * 512)
            if (size <= SMALL) != small:
                continue
            found = pool.take(size)
            if found is None:
                last = segment.order[-1] if segment.order else 0
                if segment.order and segment.blocks[last][1]:  # the free end grows
                    pool.drop(segment.blocks[last][0], last)
                    segment.blocks[last][0] = size
                else:
                    last = top
                    segment.order.append(last)
                    segment.blocks[last] = [size, True]
                top = last + size
                found = size, last
            whole, address = found
            segment.blocks[address][1] = False
            if whole > size:
                rest, left = segment.split(address, size)
                pool.put(left, rest)
            where[number] = address
        total += -(-top // (2 * MIB)) * 2 * MIB
    return total
