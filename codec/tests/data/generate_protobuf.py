#!/usr/bin/env python3
"""Writes protobuf.json: messages written by Google's library, their place in their file by Confluent's, and the values
that they stand for.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install protobuf grpcio-tools googleapis-common-protos \\
        'confluent-kafka[schemaregistry]'
    /tmp/venv/bin/python codec/tests/data/generate_protobuf.py
"""

import base64
import io
import math
import pathlib
import tempfile

import google.type
from confluent_kafka.schema_registry.serde import SchemaId
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc
from values import BYTES, double, entries, fields, integer, number, single, time, write

EVERYTHING = """syntax = "proto3";
package fleet;
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/empty.proto";
import "google/type/latlng.proto";

enum Gear { GEAR_UNSPECIFIED = 0; DRIVE = 1; REVERSE = -2; }

message Heartbeat { string vehicle = 1; }

message Everything {
  message Inner {
    message Deepest { int32 z = 1; google.protobuf.Timestamp seen = 2; }
    int32 x = 1;
    string why_not = 2;
    Deepest deepest = 3;
  }
  enum Side { LEFT = 0; RIGHT = 1; }

  double a_double = 1;
  float aFloat = 2;
  int32 an_int32 = 3;
  int64 an_int64 = 4;
  uint32 a_uint32 = 5;
  uint64 a_uint64 = 6;
  sint32 a_sint32 = 7;
  sint64 a_sint64 = 8;
  fixed32 a_fixed32 = 9;
  fixed64 a_fixed64 = 10;
  sfixed32 a_sfixed32 = 11;
  sfixed64 a_sfixed64 = 12;
  bool a_bool = 13;
  string a_string = 14;
  bytes a_bytes = 15;
  Gear gear = 16;
  Side side = 17;
  Inner inner = 18;

  optional double maybe_double = 20;
  optional int32 maybe_int = 21;
  optional bool maybe_bool = 22;
  optional string maybe_string = 23;
  optional Gear maybe_gear = 24;
  optional bytes maybe_bytes = 25;

  repeated int32 ints = 30;
  repeated sint64 unpacked = 31 [packed = false];
  repeated double doubles = 32;
  repeated string strings = 33;
  repeated Inner inners = 34;
  repeated Gear gears = 35;
  repeated bool bools = 36;
  repeated fixed32 fixeds = 37;

  map<string, double> by_name = 40;
  map<int32, Inner> by_number = 41;
  map<bool, Gear> by_flag = 42;
  map<uint64, string> by_id = 43;
  map<sint64, google.protobuf.Timestamp> times = 44;

  oneof kind { int32 of_int = 50; string of_string = 51; Inner of_inner = 52; Gear of_gear = 53; }

  google.protobuf.Timestamp seen_at = 60;
  google.protobuf.Duration took = 61;
  google.protobuf.DoubleValue wrapped_double = 62;
  google.protobuf.FloatValue wrapped_float = 63;
  google.protobuf.Int64Value wrapped_int = 64;
  google.protobuf.UInt64Value wrapped_uint = 65;
  google.protobuf.BoolValue wrapped_bool = 66;
  google.protobuf.StringValue wrapped_string = 67;
  google.protobuf.BytesValue wrapped_bytes = 68;
  repeated google.protobuf.Timestamp history = 69;
  repeated google.protobuf.Int32Value wrapped_list = 70;
  google.protobuf.Struct meta = 71;
  google.protobuf.Value any_value = 72;
  google.protobuf.ListValue any_list = 73;
  google.protobuf.Empty nothing = 74;
  google.type.LatLng place = 75;
}
"""

ABSENT = dict(
    a_double=double("0.0"),
    aFloat=single("0.0"),
    **{
        f"a_{kind}": integer(0)
        for kind in "uint32 uint64 sint32 sint64 fixed32 fixed64 sfixed32 sfixed64".split()
    },
    an_int32=integer(0),
    an_int64=integer(0),
    a_bool=False,
    a_string="",
    a_bytes=BYTES,
    gear="GEAR_UNSPECIFIED",
    side="LEFT",
    inner=None,
    **{f"maybe_{kind}": None for kind in "double int bool string gear bytes".split()},
    **{kind: [] for kind in "ints unpacked doubles strings inners gears bools fixeds history wrapped_list".split()},
    **{f"by_{kind}": fields() for kind in "name number flag id".split()},
    times=fields(),
    **{f"of_{kind}": None for kind in "int string inner gear".split()},
    seen_at=None,
    took=None,
    **{f"wrapped_{kind}": None for kind in "double float int uint bool string bytes".split()},
    meta=None,
    any_value=None,
    any_list=None,
    nothing=None,
    place=None,
)


def everything(**set_fields):
    return entries({**ABSENT, **set_fields})


OLD = """syntax = "proto2";
package old;

message Reading {
  enum Gear { option allow_alias = true; PARK = 1; DRIVE = 2; FORWARD = 2; }
  required string vehicle = 1;
  optional int64 ts = 2 [default = 7];
  optional Gear gear = 3 [default = DRIVE];
  repeated Gear gears = 4;
  repeated int32 axles = 5;
  optional group Position = 6 { required double lat = 1; optional double lon = 2; }
  repeated group Stop = 7 { optional string name = 1; }
  optional string note = 8;
  extensions 100 to 199;
}
extend Reading { optional int32 more = 100; }
"""

UNITS = """syntax = "proto3";
package common;
enum Unit { KMH = 0; MPH = 1; }
"""

SPEED = """syntax = "proto3";
package common;
import public "common/units.proto";
message Speed { float amount = 1; Unit unit = 2; }
"""

IMPORTING = """syntax = "proto3";
package fleet;
import "common/speed.proto";
import "confluent/meta.proto";
import "google/api/annotations.proto";
option java_package = "com.example";
message Reading {
  option (confluent.message_meta).doc = "not needed";
  map<string, common.Speed> by_name = 1;
  message Inner { common.Unit unit = 1 [deprecated = true]; }
  Inner inner = 2;
}
service Readings { rpc Get(Reading) returns (Reading); }
"""

VERSION_1 = 'syntax = "proto3";\nmessage Reading { string vehicle = 1; int32 speed = 2; string gone = 3; }\n'
VERSION_2 = (
    'syntax = "proto3";\nmessage Engine { int64 rpm = 1; }\n'
    "message Reading { string vehicle = 1; reserved 2, 3; Engine engine = 4; optional double speed = 5; }\n"
)


class Files:
    """Definitions, compiled by protoc."""

    def __init__(self, root, **others):
        others = {path.replace("__", "/") + ".proto": text for path, text in others.items()}
        # What imports are compiled against; the registry of a case does not have them.
        meta = """syntax = "proto3"; package confluent; import "google/protobuf/descriptor.proto";
            message Meta { string doc = 1; } extend google.protobuf.MessageOptions { Meta message_meta = 1088; }"""
        annotations = 'syntax = "proto3"; package google.api;'
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            builtin = {"confluent/meta.proto": meta, "google/api/annotations.proto": annotations}
            for path, text in {"root.proto": root, **others, **builtin}.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text)
            include = pathlib.Path(protoc.__file__).parent / "_proto"
            site = pathlib.Path(list(google.type.__path__)[0]).parent.parent
            arguments = [f"-I{folder}", f"-I{include}", f"-I{site}"]
            assert not protoc.main(
                ["protoc", *arguments, "--include_imports", f"--descriptor_set_out={folder}/set", "root.proto"]
            )
            self.set = (folder / "set").read_bytes()
        self.root, self.others = root, others
        self.files = descriptor_pb2.FileDescriptorSet.FromString(self.set)
        pool = descriptor_pool.DescriptorPool()
        for file in self.files.file:
            pool.Add(file)
        self.pool = pool

    def message(self, name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def serialized(self, path):
        file = next(file for file in self.files.file if file.name == path)
        return base64.b64encode(file.SerializeToString()).decode()

    def case(self, name, message_type, indexes, *values):
        framing = io.BytesIO()
        SchemaId._encode_varints(framing, indexes)
        cases = []
        for message, expected in values:
            bytes_ = message if isinstance(message, bytes) else message.SerializePartialToString(deterministic=True)
            cases.append({"bytes": bytes_.hex(), "expected": expected})
        return {
            "name": name,
            "message_type": message_type,
            "indexes": framing.getvalue().hex(),
            "schema": self.root,
            "serialized": self.serialized("root.proto"),
            "references": [
                {"name": path, "schema": text, "serialized": self.serialized(path)}
                for path, text in self.others.items()
            ],
            "descriptor_set": base64.b64encode(self.set).decode(),
            "values": cases,
        }


def protobuf_cases():
    files = Files(EVERYTHING)
    Everything = files.message("fleet.Everything")
    extremes = Everything(
        a_double=0.1,
        aFloat=0.1,
        an_int32=-(2**31),
        an_int64=-(2**63),
        a_uint32=2**32 - 1,
        a_uint64=2**64 - 1,
        a_sint32=-(2**31),
        a_sint64=-(2**63),
        a_fixed32=2**32 - 1,
        a_fixed64=2**64 - 1,
        a_sfixed32=-1,
        a_sfixed64=-(2**63),
        a_bool=True,
        a_string="Łódź 🚚",
        a_bytes=b"\xff\x00",
        gear="REVERSE",
        side="RIGHT",
    )
    extremes.inner.x = 5
    extremes.inner.why_not = "y"
    extremes.inner.deepest.z = -6
    extremes.inner.deepest.seen.seconds = 1
    present = Everything(
        maybe_double=0.0, maybe_int=0, maybe_bool=False, maybe_string="", maybe_gear=0, maybe_bytes=b""
    )
    present.inner.SetInParent()
    present.nothing.SetInParent()
    present.place.latitude = 48.125
    lists = Everything(
        ints=[0, 1, -1, 300],
        unpacked=[0, -1, 2**62],
        doubles=[0.5, math.inf],
        strings=["", "a"],
        gears=[0, 1, -2, 7],
        bools=[True, False],
        fixeds=[1, 2**32 - 1],
    )
    lists.inners.add(x=1)
    lists.inners.add()
    maps = Everything()
    maps.by_name.update({"oil.temp": 88.5, "": 0.0})
    maps.by_number[-7].x = 3
    maps.by_number[8].SetInParent()
    maps.by_flag.update({True: 1, False: -2})
    maps.by_id.update({0: "", 2**64 - 1: "last"})
    maps.times[-5].FromNanoseconds(1_500_000_000)
    known = Everything()
    known.seen_at.FromNanoseconds(1681088547123456789)
    known.took.FromNanoseconds(-1_500_000_000)
    known.wrapped_double.value = 0.25
    known.wrapped_float.value = 0.1
    known.wrapped_int.value = -(2**53) - 1
    known.wrapped_uint.value = 2**64 - 1
    known.wrapped_bool.value = False
    known.wrapped_bool.SetInParent()
    known.wrapped_string.value = ""
    known.wrapped_string.SetInParent()
    known.wrapped_bytes.value = b"\x00"
    known.history.add().FromNanoseconds(-1)
    known.history.add()
    known.wrapped_list.add(value=3)
    known.wrapped_list.add()
    known.meta.update({"a": 1.5, "b": None, "c": [True, "x", {"d": False}]})
    known.any_value.string_value = "s"
    known.any_list.extend([1.0, None])
    null = Everything()
    null.any_value.null_value = 0
    null.took.FromNanoseconds(3_000_000_000)

    inner = lambda **of: entries({"x": integer(0), "why_not": "", "deepest": None, **of})
    yield files.case(
        "everything",
        "fleet.Everything",
        [1],
        (Everything(), everything()),
        (
            extremes,
            everything(
                a_double=double("0.1"),
                aFloat=single("0.1"),
                an_int32=integer(-(2**31)),
                an_int64=integer(-(2**63)),
                a_uint32=integer(2**32 - 1),
                a_uint64=integer(2**64 - 1),
                a_sint32=integer(-(2**31)),
                a_sint64=integer(-(2**63)),
                a_fixed32=integer(2**32 - 1),
                a_fixed64=integer(2**64 - 1),
                a_sfixed32=integer(-1),
                a_sfixed64=integer(-(2**63)),
                a_bool=True,
                a_string="Łódź 🚚",
                gear="REVERSE",
                side="RIGHT",
                inner=inner(
                    x=integer(5), why_not="y", deepest=fields(z=integer(-6), seen=time(1000000000, "Nanos"))
                ),
            ),
        ),
        (
            present,
            everything(
                maybe_double=double("0.0"),
                maybe_int=integer(0),
                maybe_bool=False,
                maybe_string="",
                maybe_gear="GEAR_UNSPECIFIED",
                maybe_bytes=BYTES,
                inner=inner(),
                nothing=fields(),
                place=fields(latitude=double("48.125"), longitude=double("0.0")),
            ),
        ),
        (
            lists,
            everything(
                ints=[integer(n) for n in (0, 1, -1, 300)],
                unpacked=[integer(n) for n in (0, -1, 2**62)],
                doubles=[double("0.5"), double("inf")],
                strings=["", "a"],
                inners=[inner(x=integer(1)), inner()],
                gears=["GEAR_UNSPECIFIED", "DRIVE", "REVERSE", integer(7)],
                bools=[True, False],
                fixeds=[integer(1), integer(2**32 - 1)],
            ),
        ),
        (
            maps,
            everything(
                by_name=entries({"oil.temp": double("88.5"), "": double("0.0")}),
                by_number=entries({"-7": inner(x=integer(3)), "8": inner()}),
                by_flag=entries({"true": "DRIVE", "false": "REVERSE"}),
                by_id=entries({"0": "", str(2**64 - 1): "last"}),
                times=entries({"-5": time(1500000000, "Nanos")}),
            ),
        ),
        (Everything(of_int=0), everything(of_int=integer(0))),
        (Everything(of_string=""), everything(of_string="")),
        (Everything(of_gear=1), everything(of_gear="DRIVE")),
        (Everything(of_inner={"x": 2}), everything(of_inner=inner(x=integer(2)))),
        (
            known,
            everything(
                seen_at=time(1681088547123456789, "Nanos"),
                took=number("-1.5"),
                wrapped_double=double("0.25"),
                wrapped_float=single("0.1"),
                wrapped_int=integer(-(2**53) - 1),
                wrapped_uint=integer(2**64 - 1),
                wrapped_bool=False,
                wrapped_string="",
                wrapped_bytes=BYTES,
                history=[time(-1, "Nanos"), time(0, "Nanos")],
                wrapped_list=[integer(3), integer(0)],
                meta=fields(a=double("1.5"), b=None, c=[True, "x", fields(d=False)]),
                any_value="s",
                any_list=[double("1.0"), None],
            ),
        ),
        (null, everything(any_value=None, took=number("3"))),
        # Parts of one message, one after the other: the last value wins, messages are merged, lists are continued.
        (
            Everything(a_string="a", ints=[1], inner={"x": 1, "deepest": {"seen": {"seconds": 2}}}, of_int=3)
            .SerializeToString()
            + Everything(
                a_string="b", ints=[2], inner={"why_not": "w", "deepest": {"seen": {"nanos": 5}}}, of_string="s"
            ).SerializeToString(),
            everything(
                a_string="b",
                ints=[integer(1), integer(2)],
                inner=inner(
                    x=integer(1), why_not="w", deepest=fields(z=integer(0), seen=time(2000000005, "Nanos"))
                ),
                of_string="s",
            ),
        ),
    )
    yield files.case(
        "first type of a file",
        "fleet.Heartbeat",
        [0],
        (files.message("fleet.Heartbeat")(vehicle="t-1"), fields(vehicle="t-1")),
        # Fields that the type does not have, and its field 1 as a double.
        (extremes.SerializeToString() + b"\x0a\x03t-2", fields(vehicle="t-2")),
    )
    yield files.case(
        "type inside types",
        "fleet.Everything.Inner.Deepest",
        [1, 0, 0],
        (files.message("fleet.Everything.Inner.Deepest")(z=4), fields(z=integer(4), seen=None)),
    )

    files = Files(OLD)
    Reading = files.message("old.Reading")
    full = Reading(vehicle="t-1", ts=0, gear=2, gears=[1, 2], axles=[7100, -1], note="n")
    full.position.lat = 48.5
    full.stop.add(name="a")
    full.stop.add()
    full.Extensions[files.pool.FindExtensionByName("old.more")] = 5
    # Another writer's number of an enumeration is no value of this one.
    unknown = b"\x0a\x01t" + b"\x18\x09" + b"\x20\x01\x20\x09"
    absent = dict(ts=None, gear=None, gears=[], axles=[], position=None, stop=[], note=None)
    yield files.case(
        "proto2",
        "old.Reading",
        [0],
        (Reading(vehicle=""), entries({"vehicle": "", **absent})),
        (
            full,
            entries(
                {
                    "vehicle": "t-1",
                    "ts": integer(0),
                    "gear": "DRIVE",
                    "gears": ["PARK", "DRIVE"],
                    "axles": [integer(7100), integer(-1)],
                    "position": fields(lat=double("48.5"), lon=None),
                    "stop": [fields(name="a"), fields(name=None)],
                    "note": "n",
                }
            ),
        ),
        (unknown, entries({"vehicle": "t", **absent, "gears": ["PARK"]})),
        # Without required fields.
        (Reading(ts=1), {"undecodable": True}),
        (Reading(vehicle="t", position={"lon": 1.0}), {"undecodable": True}),
    )

    files = Files(IMPORTING, common__units=UNITS, common__speed=SPEED)
    Reading = files.message("fleet.Reading")
    reading = Reading(inner={"unit": 1})
    reading.by_name["a"].amount = 62.5
    speed = fields(amount=single("62.5"), unit="KMH")
    yield files.case(
        "references",
        "fleet.Reading",
        [0],
        (reading, fields(by_name=fields(a=speed), inner=fields(unit="MPH"))),
    )
    # Clients in Java do not count the type of the map's entries, which is before it.
    Inner = files.message("fleet.Reading.Inner")
    for indexes in ([0, 0], [0, 1]):
        yield files.case("nested behind a map", "fleet.Reading.Inner", indexes, (Inner(unit=1), fields(unit="MPH")))

    files = Files(VERSION_1)
    yield files.case(
        "version 1",
        "Reading",
        [0],
        (
            files.message("Reading")(vehicle="t-1", speed=80, gone="x"),
            fields(vehicle="t-1", speed=integer(80), gone="x"),
        ),
    )
    files = Files(VERSION_2)
    yield files.case(
        "version 2",
        "Reading",
        [1],
        (
            files.message("Reading")(vehicle="t-1", speed=79.2, engine={"rpm": 1500}),
            fields(vehicle="t-1", speed=double("79.2"), engine=fields(rpm=integer(1500))),
        ),
    )


write("protobuf.json", protobuf_cases())
