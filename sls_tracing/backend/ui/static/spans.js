// The spans of a trace as the server sends them (timeline.py), and which of them are to be seen.

const FAILED = 1;
const SIDECAR = 2;
const WARNED = 4;

export class Spans {
  constructor(data) {
    this.duration = Math.max(1, data.duration);
    this.services = data.services;
    this.operations = data.operations;
    this.all = data.spans.map(([depth, service, operation, begin, length, flags, heat, key, critical]) => ({
      depth, service, operation, begin, length, flags, heat, key, critical,
    }));
    this.numbers = new Map(this.all.map((span, n) => [span.key, n]));
    this.parents = new Int32Array(this.all.length).fill(-1);
    const path = [];
    this.all.forEach((span, n) => {
      if (span.depth) this.parents[n] = path[span.depth - 1];
      path[span.depth] = n;
    });
  }

  get length() { return this.all.length; }

  hasChildren(n) { return n + 1 < this.length && this.all[n + 1].depth > this.all[n].depth; }
  hasFailed(n) { return Boolean(this.all[n].flags & FAILED); }
  hasWarnings(n) { return Boolean(this.all[n].flags & WARNED); }
  isSidecar(n) { return Boolean(this.all[n].flags & SIDECAR); }
  service(n) { return this.services[this.all[n].service]; }

  /** Return { rows, level, gone, reported }: the numbers of the spans to see, and of each span its level, whether it is folded away (1; 2 for a sidecar), and
   *  whether a folded sidecar below it failed. */
  visible(folded, foldSidecars) {
    const rows = [];
    const level = new Int32Array(this.length);
    const gone = new Uint8Array(this.length); // 1: inside a folded span; 2: a folded sidecar, whose children stay
    const reported = new Uint8Array(this.length);
    for (let n = 0; n < this.length; n += 1) {
      const parent = this.parents[n];
      const above = this.#seen(parent, gone);
      level[n] = parent < 0 ? 0 : level[parent] + (gone[parent] === 2 ? 0 : 1);
      if (parent >= 0 && (gone[parent] === 1 || (folded.has(parent) && gone[parent] !== 2))) gone[n] = 1;
      else if (foldSidecars && this.isSidecar(n) && !(this.hasFailed(n) && above < 0)) {
        gone[n] = 2;
        if (this.hasFailed(n) && above >= 0) reported[above] = 1;
      } else rows.push(n);
    }
    return { rows, level, gone, reported };
  }

  /** The extent of the folded sidecar in front of a span: [begin, end], null without one. */
  shell(n, gone) {
    let at = this.parents[n];
    let found = null;
    while (at >= 0 && gone[at] === 2 && this.services[this.all[at].service][1] === this.service(n)[1]) {
      found = at;
      at = this.parents[at];
    }
    return found === null ? null : [this.all[found].begin, this.all[found].begin + this.all[found].length];
  }

  ancestors(n) {
    const found = [];
    for (let at = this.parents[n]; at >= 0; at = this.parents[at]) found.push(at);
    return found;
  }

  #seen(n, gone) {
    let at = n;
    while (at >= 0 && gone[at]) at = this.parents[at];
    return at;
  }
}
