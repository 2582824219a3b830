// A program traced by Jaeger's client for Node that posts to a collector and asks for its sampling strategy:
//   node node_over_http.js COLLECTOR_URL SAMPLING_HOST SAMPLING_PORT
// Prints the id of its trace.
"use strict";
const { initTracer } = require("jaeger-client");

const [collectorEndpoint, host, port] = process.argv.slice(2);
const tracer = initTracer(
  {
    serviceName: "node-http",
    sampler: { type: "remote", host, port: Number(port), refreshIntervalMs: 100, param: 0 },
    reporter: { collectorEndpoint, flushIntervalMs: 50 },
  },
  { tags: { team: "ü" } }
);

// Until the strategy has come, the sampler declines every trace.
const timer = setInterval(() => {
  const root = tracer.startSpan("root");
  if (!root.context().isSampled()) return;
  clearInterval(timer);
  for (let number = 0; number < 300; number++) {
    const child = tracer.startSpan("child", { childOf: root, tags: { number, text: "grüße ".repeat(20) } });
    child.log({ event: "answered", number });
    child.finish();
  }
  root.finish();
  tracer.close(() => {
    console.log(root.context().traceIdStr);
    process.exit(0);
  });
}, 50);
