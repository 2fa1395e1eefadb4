"""WebAssembly's text form, as bytes."""

import pytest

from defdetr_ref.live.assembler import assemble, signed, unsigned
from defdetr_ref.live.modules import kernel


def test_a_small_module_is_the_specifications_bytes():
    text = """
    (module ;; does nothing that matters, n times
      (memory (export "m") 2)
      (func (export "f") (param $n i32) (local $i i32) (local $x v128) (local $y v128)
        (loop $again
          (v128.store offset=200 (i32.const -65) (f32x4.add (local.get $x) (local.get $y)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $i) (local.get $n))))))
    """
    sections = [
        "00 61 73 6d 01 00 00 00",
        "01 05 01 60 01 7f 00",  # one type: (i32) → ()
        "03 02 01 00",  # one function, of that type
        "05 03 01 00 02",  # one memory, of two pages
        "07 09 02 01 6d 02 00 01 66 00 00",  # "m" is memory 0, "f" function 0
        "0a 28 01 26 02 01 7f 02 7b",  # one body, with locals: one i32, two v128
        "03 40",  # loop
        "41 bf 7f 20 02 20 03 fd e4 01 fd 0b 04 c8 01",  # the store, aligned to 2^4, 200 further
        "20 01 41 01 6a 21 01",
        "20 01 20 00 49 0d 00",
        "0b 0b",
    ]
    assert assemble(text).hex(" ") == " ".join(sections)


def test_numbers_in_leb128():
    assert [unsigned(n) for n in (0, 127, 128, 624485)] == [b"\0", b"\x7f", b"\x80\x01", b"\xe5\x8e\x26"]
    assert [signed(n) for n in (0, 63, 64, -1, -64, -65)] == [b"\0", b"\x3f", b"\xc0\0", b"\x7f", b"\x40", b"\xbf\x7f"]


def test_the_kernel_is_small():
    assert kernel().startswith(b"\0asm") and len(kernel()) < 1000


@pytest.mark.parametrize(
    "text, words",
    [
        ('(module (func (export "f") (f64.sqrt (i32.const 1))))', "instruction 'f64.sqrt' is not known"),
        ('(module (table (export "t") 1))', r"a module with \(table"),
        ('(module (memory (export "m") 1)', "1 brackets are never closed"),
        ("(module))", "closed that was never opened"),
    ],
)
def test_what_it_does_not_know_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        assemble(text)
