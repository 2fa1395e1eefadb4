"""What a kernel's threads did: counts for each thread, lines for each step of a warp, and races."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from defdetr_cuda.trace.accesses import Access

WARP = 32  # threads that do one thing at a time
LINE_BYTES = 128  # memory comes in lines of so many bytes
HEAD = ("array", "kind", "accesses", "a thread", "warp steps", "lines a step", "most")


@dataclass
class Step:
    """What the threads of a warp do at one instruction, in one round of every loop: lane → its access."""

    lanes: dict[int, Access]

    @property
    def first(self) -> Access:
        return next(iter(self.lanes.values()))

    @property
    def lines(self) -> set[int]:
        """The 128-byte lines that are touched, by number: address // 128."""
        return {line for access in self.lanes.values() for line in lines_of(access)}


def lines_of(access: Access) -> range:
    return range(access.address // LINE_BYTES, (access.end - 1) // LINE_BYTES + 1)


@dataclass
class Trace:
    accesses: list[Access]  # thread by thread, in the order in which each made them
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    addresses: dict[str, int]  # array → where it begins, in bytes
    barriers: dict[int, set[int]]  # block → how many barriers its threads passed

    @property
    def threads(self) -> int:
        """In a block."""
        return self.block[0] * self.block[1] * self.block[2]

    def select(self, kind: str | None = None, array: str | None = None, shared: bool | None = None) -> list[Access]:
        """The accesses of one kind ("read", "write", "atomic"), to one array, to shared or to global memory."""
        return [
            access
            for access in self.accesses
            if (kind is None or access.kind == kind)
            and (array is None or access.array == array)
            and (shared is None or access.shared == shared)
        ]

    def of_each_thread(self, kind: str, array: str | None = None, shared: bool | None = None) -> dict[tuple, int]:
        """(block, thread) → how many accesses; threads without any are left out."""
        return dict(Counter((access.block, access.thread) for access in self.select(kind, array, shared)))

    def steps(self, kind: str | None = None, array: str | None = None, *, block: int | None = None,
              warp: int | None = None) -> list[Step]:  # fmt: skip
        """What each warp did in each step, in the order of the program, for global memory. Lanes are sorted."""
        together: dict[tuple, dict[int, Access]] = defaultdict(dict)
        for access in self.select(kind, array, shared=False):
            number, lane = divmod(access.thread, WARP)
            if block in (None, access.block) and warp in (None, number):
                together[access.block, number, access.place, access.kind][lane] = access
        return [Step(dict(sorted(together[key].items()))) for key in sorted(together)]

    def lines_of_block(self, block: int, array: str, kind: str = "read") -> tuple[int, int]:
        """How many lines the steps of a block asked for, and how many different lines these were."""
        asked = [step.lines for step in self.steps(kind, array, block=block)]
        return sum(map(len, asked)), len(set().union(*asked))

    def rows(self) -> Iterator[tuple[str, ...]]:
        """The table: for each array and kind, how many accesses, how many of one thread, how many lines in a step."""
        groups: dict[tuple[str, str, bool], list[Access]] = {}
        for access in self.accesses:
            groups.setdefault((access.array, access.kind, access.shared), []).append(access)
        for (array, kind, shared), accesses in groups.items():
            each = Counter((access.block, access.thread) for access in accesses).values()
            few, many = min(each), max(each)
            row = (array, kind, str(len(accesses)), str(many) if few == many else f"{few} to {many}")
            if shared:
                yield *row, "shared", "", ""
                continue
            lines = [len(step.lines) for step in self.steps(kind, array)]
            yield *row, str(len(lines)), f"{sum(lines) / len(lines):.2f}", str(max(lines))

    def table(self) -> str:
        rows = [HEAD, *self.rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
        return "\n".join(lines)

    def races(self) -> list[str]:
        """One sentence for each number that two threads touch in no fixed order, at least one of them not by an atomic.

        Reads alone do no harm, nor do atomics alone. In a block a barrier makes an order; between blocks nothing does.
        """
        touched: dict[tuple, list[Access]] = defaultdict(list)
        for access in self.accesses:
            where = access.block if access.shared else -1
            for offset in range(len(access.values)):
                touched[access.array, where, access.index + offset].append(access)
        found = []
        for array, where, index in sorted(touched):
            pair = _unordered(touched[array, where, index])
            if pair:
                found.append(_format_race(*pair, f"{array}[{index}]"))
        return found

    def uneven_barriers(self) -> list[str]:
        """One sentence for each block in which not all threads came to every `syncthreads`: a GPU may hang there."""
        return [
            f"in block {block} some threads came to cuda.syncthreads() {min(passed)} times and others {max(passed)} "
            "times; all threads of a block must come to it"
            for block, passed in self.barriers.items()
            if len(passed) > 1
        ]


def _unordered(accesses: list[Access]) -> tuple[Access, Access] | None:
    """Two accesses to one number that may harm each other, if there are such."""
    distinct = list({(access.block, access.thread, access.epoch, access.kind): access for access in accesses}.values())
    if len({access.kind for access in distinct}) == 1 and distinct[0].kind != "write":
        return None
    for position, one in enumerate(distinct):
        for other in distinct[position + 1 :]:
            strangers = (one.block, one.thread) != (other.block, other.thread)
            together = one.block != other.block or one.epoch == other.epoch
            harmful = one.kind != other.kind or one.kind == "write"
            if strangers and together and harmful:
                return one, other
    return None


def _format_race(one: Access, other: Access, what: str) -> str:
    who = (
        f"threads {one.thread} and {other.thread} of block {one.block}"
        if one.block == other.block
        else f"thread {one.thread} of block {one.block} and thread {other.thread} of block {other.block}"
    )
    barrier = ", with no barrier between" if one.shared else ""
    return f"{who} both use {what}, in no fixed order and not by an atomic{barrier}: an update can be lost or missed"
