"""The put path of ``aliyun-log-python-sdk``, up to the connection, for ``log_service_figures.py``: logs as JSON on standard input, milliseconds as JSON on
standard output. Runs under an interpreter that has the SDK."""

from __future__ import annotations

import json
import sys
import time

from aliyun.log import LogClient, LogItem, PutLogsRequest


def main() -> None:
    logs = json.load(sys.stdin)
    client = LogClient("http://cn-hangzhou.log.aliyuncs.com", "id", "secret", source="0.0.0.0")
    client._getHttpResponse = lambda *_: (200, b"{}", {"x-log-requestid": "1"})
    items = [LogItem(moment, contents=[(key, value) for key, value in contents]) for moment, contents in logs]
    took = []
    for _ in range(5):
        begun, begun_cpu = time.perf_counter(), time.process_time()
        client.put_logs(PutLogsRequest("my-project", "jaeger-span", "", "0.0.0.0", items))
        took.append(((time.perf_counter() - begun) * 1000, (time.process_time() - begun_cpu) * 1000))
    print(json.dumps(took))


if __name__ == "__main__":
    main()
