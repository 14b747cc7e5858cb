"""Fills the messages of a file up to a size."""

from itertools import cycle

# So many different fillings, one after another, so that no value is the same in every message.
FILLINGS = 64


def padded(path, kind, size):
    """A file of the same readings, each message filled up to about `size` bytes, created once."""
    target = path.parent.with_name(f"{path.parent.name}-{kind}-{size}") / path.name
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        part = target.with_suffix(".part")
        with open(path) as readings, open(part, "w") as out:
            first = next(readings)
            readings.seek(0)
            texts = [FILL[kind](number, size - len(first)) for number in range(FILLINGS)]
            for reading, text in zip(readings, cycle(texts)):
                out.write(f"{reading.rstrip().removesuffix('}')}{text}}}\n")
        part.rename(target)
    return target


def fields(number, length):
    """More fields of numbers, as a gateway with many sensors sends them."""
    text, field = "", 0
    while len(text) < length:
        text += f', "sensor_{field:03}": {(number * 7 + field * 13) % 1000 / 10}'
        field += 1
    return text


def text(number, length):
    """One more field with a long text, such as a log line or a payload in hexadecimal digits."""
    digits = f"{number:02x}" * length
    frame = ', "note": ""'
    return f'{frame[:-1]}{digits[: max(length - len(frame), 0)]}"'


FILL = {"fields": fields, "text": text}
