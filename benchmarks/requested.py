"""The headers of a request as a sidecar hands it on: what the hop of every benchmark extracts."""

HEADERS = {
    "host": "productpage:9080",
    "user-agent": "curl/8.5.0",
    "accept": "*/*",
    "x-forwarded-proto": "http",
    "x-request-id": "2f0ec2bb-4f0b-9c0a-9d5b-0f1d6d3a7c11",
    "x-b3-traceid": "463ac35c9f6413ad48485a3953bb6124",
    "x-b3-spanid": "a2fb4a1d1a96d312",
    "x-b3-parentspanid": "0020000000000001",
    "x-b3-sampled": "1",
}
