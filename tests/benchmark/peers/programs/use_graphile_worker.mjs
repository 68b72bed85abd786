// graphile-worker: run() as a library.
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";
import { database, main, QUEUE, record, SENDERS, settings } from "./program.mjs";

const logger = new Logger(() => (level, message) => {
  if (level === "error" || level === "warning") console.error(message);
});
const utils = (max) => makeWorkerUtils({ pgPool: new pg.Pool({ ...database, max }), logger });

await main({
  async setup() {
    await (await utils(1)).migrate();
  },
  async fill(batches) {
    const { addJobs } = await utils(1);
    for await (const batch of batches()) {
      await addJobs(batch.map((payload) => ({ identifier: QUEUE, payload })));
    }
  },
  async produce(serve) {
    const { addJob } = await utils(SENDERS);
    await serve((payload) => addJob(QUEUE, payload));
  },
  async work(ready) {
    const pgPool = new pg.Pool({ ...database, max: settings.maxPoolSize });
    await ready();
    const runner = await run({
      preset: { worker: settings },
      pgPool,
      logger,
      noHandleSignals: true,
      taskList: { [QUEUE]: async (payload) => void record(payload) },
    });
    return () => runner.stop();
  },
});
