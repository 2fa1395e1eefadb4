"""From WebAssembly's text form to its bytes, for what matmul.wat uses: one memory, functions without results, folded
instructions. So the site and its pages are built with Python alone, and no binary lies beside its source.

The encoding is that of the WebAssembly specification 2.0, chapter 5 "Binary Format".
"""

import re
from dataclasses import dataclass, field

HEADER = b"\0asm\x01\0\0\0"  # and the version, 1
TYPES = {"i32": 0x7F, "v128": 0x7B}
NOTHING = 0x40  # the type of a block without result
FUNCTION, MEMORY = 0x00, 0x02  # kinds of an export
TYPE_SECTION, FUNCTION_SECTION, MEMORY_SECTION, EXPORT_SECTION, CODE_SECTION = 1, 3, 5, 7, 10
LOOP, BRANCH_IF, END = 0x03, 0x0D, 0x0B
LOCALS = {"local.get": 0x20, "local.set": 0x21}
CONSTANT = 0x41  # i32.const
PLAIN = {"i32.lt_u": b"\x49", "i32.add": b"\x6a", "i32.mul": b"\x6c", "i32.shl": b"\x74"}
PLAIN |= {"f32x4.add": b"\xfd\xe4\x01", "f32x4.mul": b"\xfd\xe6\x01"}
# With the power of two to which the place is aligned.
ACCESSES = {"v128.load": (b"\xfd\x00", 4), "v128.load32_splat": (b"\xfd\x09", 2), "v128.store": (b"\xfd\x0b", 4)}

Expression = str | list  # a word, or expressions in brackets


def assemble(text: str) -> bytes:
    """The bytes of a module. Raises ValueError, naming it, for an instruction or a field that is not known here."""
    (module,) = parse(text)
    types, functions, memories, exports, bodies = [], [], [], [], []
    for part in module[1:]:
        export = string_of(part[1][1])
        if part[0] == "memory":
            exports.append(named(export) + bytes([MEMORY]) + unsigned(len(memories)))
            memories.append(b"\x00" + unsigned(int(part[2])))  # no maximum; pages of 64 KiB
        elif part[0] == "func":
            exports.append(named(export) + bytes([FUNCTION]) + unsigned(len(functions)))
            functions.append(unsigned(len(types)))
            signature, body = function(part[2:])
            types.append(signature)
            bodies.append(unsigned(len(body)) + body)
        else:
            raise ValueError(f"assemble: a module with ({part[0]} …) is not known; it may hold `memory` and `func`")
    sections = ((TYPE_SECTION, types), (FUNCTION_SECTION, functions), (MEMORY_SECTION, memories),
                (EXPORT_SECTION, exports), (CODE_SECTION, bodies))  # fmt: skip
    return HEADER + b"".join(bytes([number]) + sized(vector(entries)) for number, entries in sections)


def parse(text: str) -> list:
    """Nested lists of words, without comments."""
    opened: list[list] = [[]]
    for word in re.findall(r'"[^"]*"|[()]|[^\s()]+', re.sub(r";;.*", "", text)):
        if word == "(":
            opened.append([])
        elif word == ")":
            finished = opened.pop()
            if not opened:
                raise ValueError("assemble: a bracket is closed that was never opened")
            opened[-1].append(finished)
        else:
            opened[-1].append(word)
    if len(opened) > 1:
        raise ValueError(f"assemble: {len(opened) - 1} brackets are never closed")
    return opened[0]


def function(parts: list) -> tuple[bytes, bytes]:
    """Its type, and its body: locals, then instructions."""
    declared = [part for part in parts if part[0] in ("param", "local")]
    body = Body({part[1]: index for index, part in enumerate(declared)})
    for part in parts:
        if part not in declared:
            body.write(part)
    parameters = [bytes([TYPES[part[2]]]) for part in declared if part[0] == "param"]
    signature = b"\x60" + vector(parameters) + vector([])
    runs: list[list[int]] = []  # [how many, of which type], as locals of one type in a row are stored
    for kind in (TYPES[part[2]] for part in declared if part[0] == "local"):
        if runs and runs[-1][1] == kind:
            runs[-1][0] += 1
        else:
            runs.append([1, kind])
    stored = vector([unsigned(count) + bytes([kind]) for count, kind in runs])
    return signature, stored + bytes(body.code) + bytes([END])


@dataclass
class Body:
    """The instructions of a function. A folded instruction is written after its operands, as a stack machine reads."""

    locals: dict[str, int]  # name → number
    code: bytearray = field(default_factory=bytearray)
    labels: list[str] = field(default_factory=list)  # of the loops that are open, outermost first

    def write(self, expression: Expression) -> None:
        name, *rest = expression
        if name == "loop":
            self.code += bytes([LOOP, NOTHING])
            self.labels.append(rest[0])
            for each in rest[1:]:
                self.write(each)
            self.labels.pop()
            self.code.append(END)
            return
        for operand in rest:
            if isinstance(operand, list):
                self.write(operand)
        if name in LOCALS:
            self.code += bytes([LOCALS[name]]) + unsigned(self.locals[rest[0]])
        elif name == "i32.const":
            self.code += bytes([CONSTANT]) + signed(int(rest[0]))
        elif name == "br_if":  # loops are counted from the innermost
            self.code += bytes([BRANCH_IF]) + unsigned(self.labels[::-1].index(rest[0]))
        elif name in ACCESSES:
            opcode, alignment = ACCESSES[name]
            offset = int(rest[0].removeprefix("offset=")) if isinstance(rest[0], str) else 0
            self.code += opcode + unsigned(alignment) + unsigned(offset)
        elif name in PLAIN:
            self.code += PLAIN[name]
        else:
            raise ValueError(f"assemble: the instruction {name!r} is not known; add its opcode to assembler.py")


def unsigned(number: int) -> bytes:
    """LEB128: seven bits in each byte, the lowest first; the eighth says that more follow."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def signed(number: int) -> bytes:
    """LEB128 of a number that may be negative: the last byte's seventh bit is the sign."""
    encoded = bytearray()
    while not -0x40 <= number < 0x40:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number & 0x7F])


def sized(content: bytes) -> bytes:
    return unsigned(len(content)) + content


def vector(entries: list[bytes]) -> bytes:
    return unsigned(len(entries)) + b"".join(entries)


def named(name: str) -> bytes:
    return sized(name.encode())


def string_of(word: str) -> str:
    return word.strip('"')
