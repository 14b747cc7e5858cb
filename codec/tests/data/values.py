"""How expected values are written: a number as its text with its type, {"double": "0.1"}; a text, a boolean and null
as what they are."""

import json
import pathlib


def integer(value):
    return {"integer": str(value)}


def number(text):
    return {"number": text}


def double(text):
    return {"double": text}


def single(text):
    return {"float": text}


def time(nanos, unit, local=False):
    return {"time": str(nanos), "unit": unit, "local": local}


def fields(**values):
    return {"object": values}


def entries(values):
    return {"object": values}


BYTES = {"bytes": True}


def write(name, cases):
    path = pathlib.Path(__file__).parent / name
    path.write_text(json.dumps(list(cases), indent=1, ensure_ascii=False) + "\n")
