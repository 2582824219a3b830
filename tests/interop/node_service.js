// One process of a service that is traced by Jaeger's client for Node: it calls URL (ours), which calls it back at /inner.
//   node node_service.js AGENT_PORT URL
// Prints the ids of its two spans, as JSON.
"use strict";
const http = require("http");
const { initTracer } = require("jaeger-client");
const { FORMAT_HTTP_HEADERS, Tags } = require("opentracing");

const [agentPort, url] = process.argv.slice(2);
const tracer = initTracer(
  {
    serviceName: "node",
    sampler: { type: "const", param: 1 },
    reporter: { agentHost: "127.0.0.1", agentPort: Number(agentPort), flushIntervalMs: 50 },
  },
  {}
);
const ids = (span) => ({ trace: span.context().traceIdStr, span: span.context().spanIdStr, parent: span.context().parentIdStr });

const server = http.createServer((request, response) => {
  const span = tracer.startSpan("node-inner", { childOf: tracer.extract(FORMAT_HTTP_HEADERS, request.headers) });
  span.setTag(Tags.HTTP_STATUS_CODE, 200).setTag("ratio", 0.5).setTag("flag", true).setTag("text", "ü");
  span.log({ event: "answered", number: 7 });
  const inner = { ...ids(span), baggage: span.getBaggageItem("user"), ours: span.getBaggageItem("ours") };
  span.finish();
  response.end(JSON.stringify(inner));
});

server.listen(0, "127.0.0.1", () => {
  const root = tracer.startSpan("node-root");
  root.setBaggageItem("user", "jürgen & co");
  const headers = {};
  tracer.inject(root, FORMAT_HTTP_HEADERS, headers);
  headers["x-call-back"] = `http://127.0.0.1:${server.address().port}/inner`;
  http.get(url, { headers }, (response) => {
    let body = "";
    response.on("data", (chunk) => (body += chunk));
    response.on("end", () => {
      root.finish();
      tracer.close(() => {
        console.log(JSON.stringify({ root: ids(root), inner: JSON.parse(body) }));
        process.exit(0);
      });
    });
  });
});
