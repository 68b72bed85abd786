// pg-boss: workers with batches, woken by its notifications.
import { PgBoss } from "pg-boss";
import { database, main, QUEUE, record, SENDERS, settings } from "./program.mjs";

async function started(options) {
  const boss = new PgBoss({ ...database, ...options });
  boss.on("error", (error) => console.error(error));
  boss.on("warning", (warning) => console.error(warning));
  await boss.start();
  return boss;
}

await main({
  async setup() {
    const boss = await started({});
    await boss.createQueue(QUEUE, { notify: true });
    await boss.stop();
  },
  async fill(batches) {
    const boss = await started({ max: 1 });
    for await (const batch of batches()) await boss.insert(QUEUE, batch.map((data) => ({ data })));
    await boss.stop();
  },
  async produce(serve) {
    const boss = await started({ max: SENDERS });
    await serve((payload) => boss.send(QUEUE, payload));
    await boss.stop();
  },
  async work(ready) {
    const { max, ...options } = settings;
    const boss = await started({ max, useListenNotify: true });
    await ready();
    await boss.work(QUEUE, options, async (jobs) => {
      for (const job of jobs) record(job.data);
    });
    return () => boss.stop();
  },
});
