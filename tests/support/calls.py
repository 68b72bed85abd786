"""What can be called for one queue."""

from __future__ import annotations

# What is done to one queue, in this order.
ON_ONE_QUEUE = """
    create('q'); set_policy('q', max_receives => 3, dead_letter_queue => 'd'); read('q', 0, 1);
    alter_policy('q', max_in_flight => 5, dedup_window => '1 hour'); send('q', '{}'); pop('q');
    create_fifo_index('q'); create_fair_index('q'); enable_notify_insert('q', 0);
    update_notify_insert('q', 20); disable_notify_insert('q'); enable_wakeups('q');
    enable_push('q'); disable_push('q'); pause('q'); resume('q'); grant_send('q', 'pg_monitor');
    schedule('s', 'q', '@hourly', '{}'); unschedule('s'); bind_topic('a', 'q');
    unbind_topic('a', 'q'); pin('q'); unpin('q'); recompile('q'); get_policy('q'); redrive('q');
    metrics('q'); next_visible_at('q'); purge_queue('q'); maintain('q'); drop_queue('q');
    create_partitioned('p', '1000', null); maintain('p'); drop_queue('p');
    create_stream('s'); create_group('s', 'g'); fetch('s', 'g', 30, 1); maintain('s');
    list_groups('s'); drop_group('s', 'g'); drop_queue('s')
"""
