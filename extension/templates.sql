-- The functions that are compiled into each queue. A template is the SQL of a queue called
-- "$queue". Its first line says for which queues the template is.
\template templates/anchor.sql
\template templates/read/choose.sql
\template templates/read/soonest.sql
\template templates/read/advance.sql
\template templates/send/enqueue.sql
\template templates/send/sendbatch.sql
\template templates/send/pending.sql
\template templates/send/recall.sql
\template templates/send/remember.sql
\template templates/send/sendonce.sql
\template templates/send/sendoncebatch.sql
\template templates/ack/archive.sql
\template templates/ack/archivemany.sql
\template templates/ack/shift.sql
\template templates/fifo/frontgroups.sql
\template templates/fifo/findgroups.sql
\template templates/fifo/plangroups.sql
\template templates/fair/fairgroups.sql
\template templates/fair/fairfind.sql
\template templates/fair/fairfront.sql
\template templates/fair/fairlock.sql
\template templates/fair/fairroom.sql
\template templates/fair/turn.sql
\template templates/policy/admit.sql
\template templates/policy/share.sql
\template templates/policy/gate.sql
\template templates/policy/meter.sql
\template templates/ranked/ranked.sql
\template templates/ranked/choose.sql
\template templates/policy/bury.sql
\template templates/policy/forget.sql
\template templates/schedules/fire.sql
\template templates/notify/announce.sql
\template templates/notify/wake.sql
\template templates/notify/arm.sql

-- Templates that differ between kinds of queue: one file for each kind.
\template templates/plain/receive.sql
\template templates/plain/consume.sql
\template templates/plain/remove.sql
\template templates/plain/removemany.sql
\template templates/plain/park.sql
\template templates/partitioned/front.sql
\template templates/partitioned/receive.sql
\template templates/partitioned/consume.sql
\template templates/partitioned/park.sql
\template templates/partitioned/take.sql
\template templates/partitioned/remove.sql
\template templates/partitioned/removemany.sql
\template templates/partitions/tend.sql
\template templates/partitions/keep.sql
\template templates/stream/enqueue.sql
\template templates/stream/sendbatch.sql
\template templates/stream/fetch.sql
\template templates/stream/commit.sql
\template templates/stream/deadletter.sql

-- 2.0.0 had only one template of each name, for every queue.
DELETE FROM pgmq.template AS t
WHERE
    t.features = ''
    AND EXISTS (
        SELECT FROM pgmq.template AS o
        WHERE o.name = t.name AND o.features <> ''
    );
