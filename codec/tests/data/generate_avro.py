#!/usr/bin/env python3
"""Writes avro.json: data written by fastavro, and the values that they stand for.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install fastavro
    /tmp/venv/bin/python codec/tests/data/generate_avro.py
"""

import datetime
import decimal
import io
import json
import math
import struct
import uuid

import fastavro
from values import BYTES, double, entries, fields, integer, number, single, time, write

UTC = datetime.timezone.utc


def record(*of, name="Reading", **more):
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in of], **more}


def logical(of, name, **more):
    base = of if isinstance(of, dict) else {"type": of}
    return {**base, "logicalType": name, **more}


def avro(name, schema, *values, references=()):
    """A schema, and data with what they mean."""
    named = {}
    for reference in references:
        fastavro.parse_schema(reference, named_schemas=named)
    parsed = fastavro.parse_schema(schema, named_schemas=named)
    cases = []
    for value, expected in values:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed, value)
        cases.append({"bytes": out.getvalue().hex(), "expected": expected})
    return {
        "name": name,
        "schema": json.dumps(schema),
        "references": [{"name": r["name"], "schema": json.dumps(r)} for r in references],
        "values": cases,
    }


def bare(value, schema):
    """The bytes of a value."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def avro_cases():
    yield avro("null", "null", (None, None))
    yield avro("boolean", "boolean", (True, True), (False, False))
    yield avro("int", "int", *((n, integer(n)) for n in (0, -1, 1, 63, 64, -64, -65, 8191, 8192, 2**31 - 1, -(2**31))))
    yield avro(
        "long", "long", *((n, integer(n)) for n in (0, 2**53 + 1, -(2**53) - 1, 2**62, 2**63 - 1, -(2**63)))
    )
    yield avro(
        "double",
        "double",
        (0.1, double("0.1")),
        (-0.0, double("-0.0")),
        (1e-9, double("1e-9")),
        (1.7976931348623157e308, double("1.7976931348623157e308")),
        (5e-324, double("5e-324")),
        (math.inf, double("inf")),
        (-math.inf, double("-inf")),
        (math.nan, double("NaN")),
    )
    yield avro(
        "float",
        "float",
        (0.1, single("0.1")),
        (struct.unpack("<f", struct.pack("<f", 16777216.0))[0], single("16777216.0")),
        (math.inf, single("inf")),
        (math.nan, single("NaN")),
    )
    yield avro("string", {"type": "string", "avro.java.string": "String"}, ("", ""), ("Łódź 🚚", "Łódź 🚚"))
    yield avro("bytes", "bytes", (b"", BYTES), (b"\x00\xff\xc3", BYTES))
    yield avro("fixed", {"type": "fixed", "name": "F", "size": 3}, (b"\xff\x00\x01", BYTES))
    yield avro("empty record", record(), ({}, fields()))

    exact = decimal.Context(prec=100)
    yield avro(
        "decimal in bytes",
        logical("bytes", "decimal", precision=40, scale=9),
        *(
            (exact.create_decimal(text), number(text))
            for text in (
                "0.000000000",
                "0.000000001",
                "-0.000000001",
                "1.500000000",
                "-128.000000000",
                "123456789012345678.123456789",
                "-9999999999999999999999999999999.999999999",
            )
        ),
    )
    yield avro(
        "decimal without scale", logical("bytes", "decimal", precision=10), (decimal.Decimal(-42), number("-42"))
    )
    money = logical({"type": "fixed", "name": "Money", "size": 16}, "decimal", precision=38, scale=2)
    yield avro(
        "decimal in fixed, whose name is used again",
        record(("paid", money), ("due", "Money"), ("more", ["null", "Money"])),
        (
            {"paid": decimal.Decimal("12.50"), "due": decimal.Decimal("-0.01"), "more": decimal.Decimal("0.00")},
            fields(paid=number("12.50"), due=number("-0.01"), more=number("0.00")),
        ),
    )
    wide = logical({"type": "fixed", "name": "Wide", "size": 40}, "decimal", precision=90, scale=30)
    yield avro(
        "decimal beyond 128 bits",
        wide,
        *(
            (exact.create_decimal(text), number(text))
            for text in ("9" * 60 + "." + "9" * 30, "-" + "9" * 60 + "." + "9" * 30, "-0." + "0" * 29 + "1")
        ),
    )
    # The library does not know this type: it writes the two parts.
    parts = record(("unscaled", "bytes"), ("scale", "long"))
    yield avro(
        "big-decimal",
        logical("bytes", "big-decimal"),
        *(
            (bare({"unscaled": unscaled, "scale": scale}, parts), number(text))
            for unscaled, scale, text in ((b"\x30\x39", 2, "123.45"), (b"\xff", 0, "-1"), (b"\x05", -3, "5e3"))
        ),
    )

    moment = datetime.datetime(2023, 4, 10, 1, 2, 27, 123456, UTC)
    micros = 1681088547123456
    before = datetime.datetime(1969, 12, 31, 23, 59, 59, 999000, UTC)
    yield avro(
        "timestamps",
        record(
            ("millis", logical("long", "timestamp-millis")),
            ("micros", logical("long", "timestamp-micros")),
            ("nanos", logical("long", "timestamp-nanos")),
            ("local_millis", logical("long", "local-timestamp-millis")),
            ("local_micros", logical("long", "local-timestamp-micros")),
            ("local_nanos", logical("long", "local-timestamp-nanos")),
        ),
        (
            {
                "millis": moment,
                "micros": moment,
                "nanos": micros * 1000 + 789,
                "local_millis": moment.replace(tzinfo=None),
                "local_micros": moment.replace(tzinfo=None),
                "local_nanos": -1,
            },
            fields(
                millis=time(micros // 1000 * 1000000, "Millis"),
                micros=time(micros * 1000, "Micros"),
                nanos=time(micros * 1000 + 789, "Nanos"),
                local_millis=time(micros // 1000 * 1000000, "Millis", True),
                local_micros=time(micros * 1000, "Micros", True),
                local_nanos=time(-1, "Nanos", True),
            ),
        ),
        (
            {
                "millis": before,
                "micros": before,
                "nanos": -(2**63),
                "local_millis": 2**63 - 1,
                "local_micros": 2**63 - 1,
                "local_nanos": 0,
            },
            fields(
                millis=time(-1000000, "Millis"),
                micros=time(-1000000, "Micros"),
                nanos=time(-(2**63), "Nanos"),
                local_millis=time((2**63 - 1) * 1000000, "Millis", True),
                local_micros=time((2**63 - 1) * 1000, "Micros", True),
                local_nanos=time(0, "Nanos", True),
            ),
        ),
    )
    day = 86400 * 10**9
    yield avro(
        "date",
        logical("int", "date"),
        (datetime.date(2023, 4, 10), time(19457 * day, "Seconds", True)),
        (datetime.date(1969, 12, 31), time(-day, "Seconds", True)),
    )
    yield avro(
        "times of day",
        record(("millis", logical("int", "time-millis")), ("micros", logical("long", "time-micros"))),
        (
            {"millis": datetime.time(1, 2, 3, 4000), "micros": datetime.time(23, 59, 59, 999999)},
            fields(millis=integer(3723004), micros=integer(86399999999)),
        ),
    )
    name = "c0ffee00-1234-5678-9abc-def012345678"
    yield avro("uuid in string", logical("string", "uuid"), (uuid.UUID(name), name))
    yield avro(
        "uuid in fixed, whose name is used again",
        record(("a", logical({"type": "fixed", "name": "Id", "size": 16}, "uuid")), ("b", "Id")),
        (
            {"a": uuid.UUID(name).bytes, "b": uuid.UUID(name).bytes},
            fields(a=name, b=name),
        ),
    )
    yield avro(
        "duration",
        logical({"type": "fixed", "name": "Span", "size": 12}, "duration"),
        (struct.pack("<III", 1, 2, 3), BYTES),
    )
    yield avro("unknown logical type", logical("long", "fortnights"), (7, integer(7)))
    yield avro("logical type of another type", logical("string", "timestamp-millis"), ("x", "x"))

    gear = {"type": "enum", "name": "Gear", "symbols": ["PARK", "DRIVE", "REVERSE"], "default": "PARK"}
    yield avro("enum", gear, ("PARK", "PARK"), ("REVERSE", "REVERSE"))
    yield avro(
        "array", {"type": "array", "items": "int"}, ([], []), ([7100, -8200], [integer(7100), integer(-8200)])
    )
    yield avro(
        "map",
        {"type": "map", "values": ["null", "double"]},
        ({}, fields()),
        ({"site": 1.5, "a.b": None, "": 0.0}, entries({"site": double("1.5"), "a.b": None, "": double("0.0")})),
    )
    yield avro(
        "union of many",
        ["null", "boolean", "long", "double", "string", "bytes", gear, record(("x", "int"), name="Point")],
        (None, None),
        (True, True),
        (7, integer(7)),
        (0.25, double("0.25")),
        ("text", "text"),
        (b"\x01", BYTES),
        (("Gear", "DRIVE"), "DRIVE"),
        ({"x": 5}, fields(x=integer(5))),
    )
    position = record(("lat", "double"), ("lon", "double"), name="Position")
    yield avro(
        "nested",
        record(
            ("vehicle", "string"),
            ("position", ["null", position]),
            ("track", {"type": "array", "items": "fleet.Position"}),
            ("by_name", {"type": "map", "values": {"type": "array", "items": ["fleet.Position", "null"]}}),
            namespace="fleet",
        ),
        (
            {
                "vehicle": "t-1",
                "position": {"lat": 48.125, "lon": 11.5},
                "track": [{"lat": 1.0, "lon": 2.0}, {"lat": 3.0, "lon": 4.0}],
                "by_name": {"home": [None, {"lat": 0.5, "lon": -0.5}]},
            },
            fields(
                vehicle="t-1",
                position=fields(lat=double("48.125"), lon=double("11.5")),
                track=[
                    fields(lat=double("1.0"), lon=double("2.0")),
                    fields(lat=double("3.0"), lon=double("4.0")),
                ],
                by_name=fields(home=[None, fields(lat=double("0.5"), lon=double("-0.5"))]),
            ),
        ),
        (
            {"vehicle": "", "position": None, "track": [], "by_name": {}},
            fields(vehicle="", position=None, track=[], by_name=fields()),
        ),
    )
    yield avro(
        "namespaces",
        record(
            ("a", record(("x", "int"), name="Inner", namespace="one")),
            ("b", record(("y", "int"), name="Inner", namespace="two")),
            ("c", "one.Inner"),
            ("d", "two.Inner"),
            ("e", ["null", record(("z", "int"), name="Inner")]),
            ("f", "Inner"),
            namespace="fleet",
        ),
        (
            {"a": {"x": 1}, "b": {"y": 2}, "c": {"x": 3}, "d": {"y": 4}, "e": {"z": 5}, "f": {"z": 6}},
            fields(
                a=fields(x=integer(1)),
                b=fields(y=integer(2)),
                c=fields(x=integer(3)),
                d=fields(y=integer(4)),
                e=fields(z=integer(5)),
                f=fields(z=integer(6)),
            ),
        ),
    )
    yield avro(
        "recursive",
        record(("value", "int"), ("next", ["null", "List"]), name="List"),
        (
            {"value": 1, "next": {"value": 2, "next": None}},
            fields(value=integer(1), next=fields(value=integer(2), next=None)),
        ),
    )
    yield avro(
        "version 1",
        record(("vehicle", "string"), ("speed", "int"), ("gone", "string")),
        (
            {"vehicle": "t-1", "speed": 80, "gone": "x"},
            fields(vehicle="t-1", speed=integer(80), gone="x"),
        ),
    )
    yield avro(
        "version 2",
        record(
            ("engine", ["null", record(("rpm", "long"), name="Engine")]),
            ("speed", ["double", "null"]),
            ("vehicle", ["null", "string"]),
        ),
        (
            {"engine": {"rpm": 1500}, "speed": 79.2, "vehicle": "t-1"},
            fields(engine=fields(rpm=integer(1500)), speed=double("79.2"), vehicle="t-1"),
        ),
    )
    speed = record(("amount", "float"), ("unit", "fleet.Unit"), name="fleet.Speed")
    unit = {"type": "enum", "name": "fleet.Unit", "symbols": ["KMH", "MPH"]}
    yield avro(
        "references",
        record(("speed", "fleet.Speed"), ("unit", "fleet.Unit"), name="other.Reading"),
        (
            {"speed": {"amount": 62.5, "unit": "MPH"}, "unit": "KMH"},
            fields(speed=fields(amount=single("62.5"), unit="MPH"), unit="KMH"),
        ),
        references=(unit, speed),
    )


write("avro.json", avro_cases())
