"""Thrift: Jaeger's wire format, written by our own encoders and read through thriftpy2.

    schema.py     what both encodings share: numbers, limits, errors, the Encoder protocol
    tags.py       encoded tags, remembered
    compact.py    TCompactProtocol, UDP 6831          binary.py     TBinaryProtocol, UDP 6832 and HTTP 14268
    varint.py     compact's integers
    screening.py  is this a well-formed message?      rewriting.py  the same of compact, and into binary
    usual.py      messages as clients write them, read in one pass: usual_binary.py, usual_compact.py
    decoding.py   bytes to SpanRecords: that way, or any other message through thriftpy2

Nothing is imported here: a client never loads thriftpy2, a collector never loads the encoders.
"""
