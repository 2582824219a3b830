# Zipkin's first span model, as its clients post it: a bare list<Span>.
# Field ids, types and names are the protocol (openzipkin/zipkin-api, zipkinCore.thrift); the order and the comments are ours.

namespace py zipkin

# ipv4 is the address's four bytes as a number, ipv6 its sixteen bytes. port is unsigned.
struct Endpoint {
  1: optional i32 ipv4,
  2: optional i16 port,
  3: optional string service_name,
  4: optional binary ipv6
}

# Times here and below are microseconds since the epoch; durations are microseconds.
struct Annotation {
  1: optional i64 timestamp,
  2: optional string value,
  3: optional Endpoint host
}

# annotation_type: 0 bool, 1 bytes, 2 i16, 3 i32, 4 i64, 5 double, 6 string; numbers are big-endian.
struct BinaryAnnotation {
  1: optional string key,
  2: optional binary value,
  3: optional i32 annotation_type,
  4: optional Endpoint host
}

struct Span {
  1: optional i64 trace_id,
  3: optional string name,
  4: optional i64 id,
  5: optional i64 parent_id,
  6: optional list<Annotation> annotations,
  8: optional list<BinaryAnnotation> binary_annotations,
  9: optional bool debug,
  10: optional i64 timestamp,
  11: optional i64 duration,
  12: optional i64 trace_id_high
}

# No struct of Zipkin's: what the list is wrapped into to be read.
struct Spans {
  1: required list<Span> spans
}
