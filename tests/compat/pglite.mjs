// Install pgmq's plain SQL in PGlite, twice, and pass a message through; prints what came of it.
// Arguments: the module's file, and that of the SQL.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [module, file] = process.argv.slice(2);
const { PGlite } = await import(pathToFileURL(module).href);
const text = readFileSync(file, "utf8");
const db = await PGlite.create();

async function rows(query, parameters = []) {
    return (await db.query(query, parameters)).rows;
}

await db.exec(text);
await db.exec(text);
await db.exec(`
    SELECT pgmq.create('q'), pgmq.create_partitioned('parts', '100', '1000');
    SELECT pgmq.create_fifo_index('q'), pgmq.enable_notify_insert('q', 0);
    SELECT pgmq.set_policy('q', max_receives => 5, dead_letter_queue => 'dead');
`);
const heard = [];
await db.listen('"pgmq.q_q.INSERT"', () => heard.push("q"));
await rows("SELECT pgmq.send('q', $1::jsonb)", ['{"a": 1}']);
await rows("SELECT pgmq.send_batch('q', '{2,3}')");
await rows("SELECT pgmq.send('parts', '4')");
const read = await rows("SELECT msg_id::integer, read_ct, message FROM pgmq.read('q', 60, 9)");
const result = {
    read,
    parts: await rows("SELECT message FROM pgmq.pop('parts')"),
    archived: await rows("SELECT pgmq.archive('q', 1::bigint)"),
    acked: await rows("SELECT pgmq.ack('q', 2, 1)"),
    deleted: await rows("SELECT pgmq.delete('q', 3::bigint)"),
    kept: await rows("SELECT msg_id::integer FROM pgmq.a_q"),
    length: await rows("SELECT queue_length::integer FROM pgmq.metrics('q')"),
    dropped: await rows("SELECT pgmq.drop_queue('q')"),
    heard: heard.length,
};
console.log(JSON.stringify(result));
await db.close();
