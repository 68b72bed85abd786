// What program.py is for Python: see there for what a program is told and answers.
import { createInterface } from "node:readline";

export const QUEUE = "jobs";
export const SENDERS = 4;
const BATCH = 1000;
const PADDING = "x".repeat(150);
const PROGRESS = 20; // milliseconds

export const settings = JSON.parse(process.argv[3]);
export const database = {
  host: process.env.PGHOST,
  port: Number(process.env.PGPORT),
  user: process.env.PGUSER,
  database: process.env.PGDATABASE,
  password: process.env.PGPASSWORD,
};

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const line = async () => (await lines.next()).value;
const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const now = () => (performance.timeOrigin + performance.now()) / 1000;
const job = (id) => ({ id, sent: now(), padding: PADDING });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const cpu = () => {
  const used = process.cpuUsage();
  return (used.user + used.system) / 1e6;
};

const begun = [];
export const record = (payload) => begun.push([payload.id, now(), payload.sent]);

async function atRate(send, rate, seconds, first) {
  const start = now();
  const before = cpu();
  const sending = new Set();
  const count = Math.floor(rate * seconds);
  let sent = 0;
  while (sent < count && now() - start < 1.2 * seconds) {
    const ahead = start + sent / rate - now();
    if (ahead > 0) await sleep(ahead * 1000);
    while (sending.size >= SENDERS) await Promise.race(sending);
    const one = send(job(first + sent)).finally(() => sending.delete(one));
    sending.add(one);
    sent++;
  }
  await Promise.all(sending);
  return { sent, seconds: now() - start, cpu: cpu() - before };
}

async function work(program) {
  let before = cpu();
  const stop = await program.work(async () => {
    say("ready");
    await line();
    before = cpu();
  });
  let said = 0;
  const report = setInterval(() => {
    if (begun.length !== said) say((said = begun.length));
  }, PROGRESS);
  await line();
  await stop();
  clearInterval(report);
  say({ cpu: cpu() - before, begun });
}

// A program has setup(), fill(payloads), produce(serve) and work(ready), which gives how to stop.
export async function main(program) {
  const command = process.argv[2];
  if (command === "setup") {
    await program.setup();
  } else if (command === "fill") {
    const count = Number(process.argv[4]);
    await program.fill(async function* () {
      for (let first = 0; first < count; first += BATCH) {
        const size = Math.min(BATCH, count - first);
        yield Array.from({ length: size }, (_, n) => job(first + n));
      }
    });
  } else if (command === "produce") {
    await program.produce(async (send) => {
      await send(job(-1));
      say("ready");
      for (let text = await line(); text; text = await line()) {
        say(await atRate(send, ...JSON.parse(text)));
      }
    });
  } else {
    await work(program);
  }
  process.stdout.write("", () => process.exit(0));
}
