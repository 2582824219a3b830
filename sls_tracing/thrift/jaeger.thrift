# Jaeger's span model on the wire, as clients, agents and collectors exchange it.
# Field ids, types and names are the protocol; the order and the comments are ours. Ids are unsigned 64-bit numbers sent as i64.

namespace py jaeger

enum TagType { STRING = 0, DOUBLE = 1, BOOL = 2, LONG = 3, BINARY = 4 }

enum SpanRefType { CHILD_OF = 0, FOLLOWS_FROM = 1 }

# vType says which one of the v… fields holds the value.
struct Tag {
  1: required string key,
  2: required TagType vType,
  3: optional string vStr,
  4: optional double vDouble,
  5: optional bool vBool,
  6: optional i64 vLong,
  7: optional binary vBinary
}

# Times here and below are microseconds since the epoch; durations are microseconds.
struct Log {
  1: required i64 timestamp,
  2: required list<Tag> fields
}

struct SpanRef {
  1: required SpanRefType refType,
  2: required i64 traceIdLow,
  3: required i64 traceIdHigh,
  4: required i64 spanId
}

# parentSpanId is 0 on a root. flags: 1 sampled, 2 debug.
struct Span {
  1: required i64 traceIdLow,
  2: required i64 traceIdHigh,
  3: required i64 spanId,
  4: required i64 parentSpanId,
  5: required string operationName,
  6: optional list<SpanRef> references,
  7: required i32 flags,
  8: required i64 startTime,
  9: required i64 duration,
  10: optional list<Tag> tags,
  11: optional list<Log> logs
}

struct Process {
  1: required string serviceName,
  2: optional list<Tag> tags
}

# Sums since the client started: what it lost before a batch could carry it.
struct ClientStats {
  1: required i64 fullQueueDroppedSpans,
  2: required i64 tooLargeDroppedSpans,
  3: required i64 failedToEmitSpans
}

# seqNo grows by one a batch, so that an agent sees gaps.
struct Batch {
  1: required Process process,
  2: required list<Span> spans,
  3: optional i64 seqNo,
  4: optional ClientStats stats
}
