// One of the two services of these tests, traced by Jaeger's client for Node with B3, as Node's services in a mesh are.
//   node node_application.js
// Prints its port. /reported answers with what its tracer has reported; both paths of the tests' services are served.
"use strict";
const http = require("http");
const { ConstSampler, InMemoryReporter, Tracer, ZipkinB3TextMapCodec } = require("jaeger-client");
const { FORMAT_HTTP_HEADERS, Tags } = require("opentracing");

const reporter = new InMemoryReporter();
const tracer = new Tracer("node", reporter, new ConstSampler(true), { traceId128bit: true });
const codec = new ZipkinB3TextMapCodec({ urlEncoding: true });
tracer.registerInjector(FORMAT_HTTP_HEADERS, codec);
tracer.registerExtractor(FORMAT_HTTP_HEADERS, codec);

function get(port, path, headers) {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: "127.0.0.1", port, path, headers }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode));
    });
    request.on("error", reject);
  });
}

async function call(span, incoming, port, path) {
  const client = tracer.startSpan("call", { childOf: span });
  client.setTag(Tags.SPAN_KIND, "client").setTag(Tags.HTTP_URL, path);
  const headers = {};
  if (incoming["x-request-id"]) headers["x-request-id"] = incoming["x-request-id"];
  tracer.inject(client, FORMAT_HTTP_HEADERS, headers);
  const status = await get(port, path, headers);
  client.finish();
  return status;
}

function reported() {
  return reporter.spans.map((span) => ({
    trace: span.context().traceIdStr,
    span: span.context().spanIdStr,
    parent: span.context().parentIdStr || null,
    tags: Object.fromEntries(span._tags.map((tag) => [tag.key, tag.value])),
    name: span.operationName,
  }));
}

const server = http.createServer(async (request, response) => {
  const url = new URL(request.url, "http://node");
  if (url.pathname === "/reported") return response.end(JSON.stringify(reported()));
  const span = tracer.startSpan(url.pathname.split("/")[1], { childOf: tracer.extract(FORMAT_HTTP_HEADERS, request.headers) });
  span.setTag(Tags.SPAN_KIND, "server").setTag(Tags.HTTP_URL, url.pathname);
  const outbound = url.searchParams.get("outbound");
  const key = url.pathname.split("/")[2];
  const status = outbound ? await call(span, request.headers, Number(outbound), `/reviews/${key}`) : 200;
  span.finish();
  response.writeHead(status, { "x-seen": JSON.stringify(request.headers) });
  response.end();
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
