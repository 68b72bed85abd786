-- Everything replaceable, by capability.
-- A file holds one public name with its overloads, or the helpers of one subject.

-- names, and what the catalog says
\ir functions/internal/_installed_state.sql
\ir functions/queues/format_table_name.sql
\ir functions/internal/_known.sql
\ir functions/internal/_names.sql
\ir functions/internal/marks/_marks.sql
\ir functions/internal/partitions/_settings.sql
\ir functions/internal/partitions/_grid.sql
\ir functions/internal/partitions/_catalog.sql
\ir functions/internal/partitions/_pruning.sql
\ir functions/internal/_relations.sql
\ir functions/internal/_members.sql
\ir functions/internal/_locks.sql

-- policies and rights
\ir functions/internal/_headers.sql
\ir functions/internal/_policy.sql
\ir functions/internal/_priorities.sql
\ir functions/internal/_trust.sql
\ir functions/internal/_proof.sql

-- helpers of templates and of calls
\ir functions/internal/fifo/_group.sql
\ir functions/internal/_chance.sql
\ir functions/internal/_times.sql
\ir functions/internal/_check.sql
\ir functions/internal/_leases.sql
\ir functions/internal/_restore_search_path.sql
\ir functions/internal/_move.sql
\ir functions/internal/partitions/_snapshot.sql

-- creating and compiling queues
\ir functions/internal/streams/_refuse_stream.sql
\ir functions/internal/streams/_create_stream_tables.sql
\ir functions/internal/queues/_check_names.sql
\ir functions/internal/queues/_create_archive.sql
\ir functions/internal/queues/_add_relations.sql
\ir functions/internal/queues/_lay_out.sql
\ir functions/internal/partitions/_partman.sql
\ir functions/internal/partitions/_change.sql
\ir functions/internal/partitions/_set_up.sql
\ir functions/internal/partitions/_convert_archive.sql
\ir functions/internal/streams/_segments.sql
\ir functions/internal/partitions/_maintain_partitions.sql
\ir functions/internal/partitions/_at_commit.sql
\ir functions/internal/compile/_schedule.sql
\ir functions/internal/compile/_render.sql
\ir functions/internal/compile/_all_compiled.sql
\ir functions/internal/compile/_spares.sql
\ir functions/internal/compile/_compile.sql
\ir functions/internal/queues/_create.sql
\ir functions/internal/compile/_find_or_compile.sql
\ir functions/internal/compile/_compiled.sql
\ir functions/internal/_set_policy.sql

-- schedules
\ir functions/internal/schedules/_cron.sql
\ir functions/internal/schedules/_ticks.sql
\ir functions/internal/schedules/_fire.sql
\ir functions/internal/schedules/_check_schedule.sql
\ir functions/internal/schedules/_pause_schedule.sql
\ir functions/schedules/unschedule.sql
\ir functions/schedules/schedule.sql
\ir functions/schedules/list_schedules.sql
\ir functions/schedules/run_schedule.sql
\ir functions/schedules/pause_schedule.sql
\ir functions/schedules/resume_schedule.sql

-- reading, and what is done on the back of calls
\ir functions/internal/_claim.sql
\ir functions/internal/_visible.sql
\ir functions/internal/_upkeep.sql
\ir functions/internal/_redrive.sql
\ir functions/internal/_writing.sql
\ir functions/internal/fifo/_fifo_scan.sql
\ir functions/internal/fifo/_fifo_claim.sql
\ir functions/internal/fifo/_fifo_upkeep.sql
\ir functions/internal/fair/_fair_choose.sql
\ir functions/internal/fifo/_fifo_choose.sql
\ir functions/internal/fifo/_fifo_read.sql
\ir functions/internal/marks/_look_at.sql
\ir functions/internal/streams/_settled.sql
\ir functions/internal/streams/_lanes.sql
\ir functions/internal/streams/_pass_over.sql
\ir functions/internal/streams/_positions.sql
\ir functions/internal/streams/_lane_policies.sql
\ir functions/internal/marks/_rank_marks.sql
\ir functions/internal/marks/_advance.sql
\ir functions/internal/_next.sql
\ir functions/internal/_poll.sql
\ir functions/internal/routing/_fan_out.sql
\ir functions/internal/routing/_topics.sql
\ir functions/internal/routing/_bind.sql
\ir functions/internal/routing/_route.sql
\ir functions/internal/routing/_payload.sql

-- queues
\ir functions/queues/validate_queue_name.sql
\ir functions/queues/acquire_queue_lock.sql
\ir functions/queues/create.sql
\ir functions/queues/create_non_partitioned.sql
\ir functions/queues/create_unlogged.sql
\ir functions/internal/compile/_pinned.sql
\ir functions/queues/pin.sql
\ir functions/queues/unpin.sql
\ir functions/queues/drop_queue.sql
\ir functions/queues/purge_queue.sql
\ir functions/queues/list_queues.sql
\ir functions/queues/detach_archive.sql

-- partitions
\ir functions/partitions/create_partitioned.sql
\ir functions/partitions/convert_archive_partitioned.sql

-- streams
\ir functions/internal/streams/_add_lanes.sql
\ir functions/streams/create_stream.sql
\ir functions/streams/create_group.sql
\ir functions/streams/alter_group.sql
\ir functions/streams/drop_group.sql
\ir functions/streams/list_groups.sql
\ir functions/streams/list_lanes.sql
\ir functions/streams/seek.sql
\ir functions/streams/fetch.sql
\ir functions/streams/fetch_with_poll.sql
\ir functions/streams/commit.sql
\ir functions/streams/commit_and_fetch.sql
\ir functions/streams/release.sql
\ir functions/streams/reject.sql
\ir functions/streams/extend_lease.sql
\ir functions/streams/grant_fetch.sql

-- send
\ir functions/send/send.sql
\ir functions/send/send_batch.sql
\ir functions/send/send_once.sql

-- read
\ir functions/read/read.sql
\ir functions/read/read_with_poll.sql
\ir functions/read/read_any.sql
\ir functions/read/pop.sql
\ir functions/read/peek.sql
\ir functions/read/get.sql
\ir functions/read/next_visible_at.sql

-- FIFO groups
\ir functions/fifo/create_fifo_index.sql
\ir functions/fifo/create_fifo_indexes_all.sql
\ir functions/fifo/read_grouped.sql
\ir functions/fifo/read_grouped_rr.sql
\ir functions/fifo/read_grouped_head.sql
\ir functions/fifo/read_grouped_with_poll.sql
\ir functions/fifo/read_grouped_rr_with_poll.sql
\ir functions/fifo/read_grouped_head_with_poll.sql
\ir functions/fifo/read_group.sql

-- groups in turn
\ir functions/fair/create_fair_index.sql
\ir functions/fair/read_fair.sql
\ir functions/fair/read_fair_with_poll.sql

-- acknowledge
\ir functions/ack/delete.sql
\ir functions/ack/archive.sql
\ir functions/ack/set_vt.sql
\ir functions/ack/ack.sql
\ir functions/ack/nack.sql
\ir functions/ack/extend.sql
\ir functions/ack/ack_and_read.sql
\ir functions/ack/amend.sql

-- policies
\ir functions/policy/set_policy.sql
\ir functions/policy/alter_policy.sql
\ir functions/policy/get_policy.sql
\ir functions/internal/_set_pause.sql
\ir functions/policy/pause.sql
\ir functions/policy/resume.sql
\ir functions/policy/list_paused.sql
\ir functions/policy/redrive.sql
\ir functions/policy/requeue.sql
\ir functions/policy/move.sql

-- topics
\ir functions/topics/validate_routing_key.sql
\ir functions/topics/validate_topic_pattern.sql
\ir functions/internal/routing/_is_topic.sql
\ir functions/topics/bind_topic.sql
\ir functions/topics/unbind_topic.sql
\ir functions/topics/list_topic_bindings.sql
\ir functions/topics/test_routing.sql
\ir functions/topics/send_topic.sql
\ir functions/topics/send_batch_topic.sql

-- exchanges
\ir functions/exchanges/create_exchange.sql
\ir functions/exchanges/drop_exchange.sql
\ir functions/exchanges/bind.sql
\ir functions/exchanges/unbind.sql
\ir functions/exchanges/bind_channel.sql
\ir functions/exchanges/unbind_channel.sql
\ir functions/exchanges/list_bindings.sql
\ir functions/exchanges/publish.sql

-- waking consumers
\ir functions/notify/notify_queue_listeners.sql
\ir functions/internal/_triggers.sql
\ir functions/notify/enable_notify_insert.sql
\ir functions/notify/update_notify_insert.sql
\ir functions/notify/disable_notify_insert.sql
\ir functions/notify/list_notify_insert_throttles.sql
\ir functions/notify/enable_wakeups.sql
\ir functions/notify/disable_wakeups.sql
\ir functions/notify/await.sql

-- push delivery
\ir functions/internal/push/_rights.sql
\ir functions/internal/push/_look.sql
\ir functions/internal/push/_slots.sql
\ir functions/internal/push/_channels.sql
\ir functions/internal/push/_push.sql
\ir functions/internal/push/_at_commit.sql
\ir functions/internal/push/_open_channel.sql
\ir functions/push/enable_push.sql
\ir functions/push/disable_push.sql
\ir functions/push/open_channel.sql
\ir functions/push/close_channel.sql
\ir functions/push/close_dead_channels.sql
\ir functions/push/list_channels.sql

-- privileges
\ir functions/internal/_grantee.sql
\ir functions/privileges/grant_send.sql
\ir functions/privileges/grant_consume.sql
\ir functions/privileges/grant_requeue.sql
\ir functions/privileges/grant_monitor.sql
\ir functions/privileges/grant_maintain.sql
\ir functions/privileges/grant_create.sql
\ir functions/privileges/revoke_all.sql

-- metrics
\ir functions/internal/_sample.sql
\ir functions/metrics/metrics.sql
\ir functions/internal/_measure.sql
\ir functions/metrics/metrics_all.sql
\ir functions/metrics/queue_stats.sql

-- running it
\ir functions/ops/version.sql
\ir functions/ops/recompile_all.sql
\ir functions/ops/recompile.sql
\ir functions/internal/_of_2_0_0.sql
\ir functions/internal/_maintain.sql
\ir functions/ops/maintain.sql
\ir functions/internal/doctor/_doctor_horizon.sql
\ir functions/internal/doctor/_doctor_settings.sql
\ir functions/internal/doctor/_doctor_notifications.sql
\ir functions/internal/doctor/_doctor_tables.sql
\ir functions/internal/doctor/_doctor_statistics.sql
\ir functions/internal/doctor/_doctor_compiled.sql
\ir functions/internal/doctor/_doctor_functions.sql
\ir functions/internal/doctor/_doctor_upgrade.sql
\ir functions/internal/doctor/_doctor_pinned.sql
\ir functions/internal/doctor/_doctor_paused.sql
\ir functions/internal/doctor/_doctor_damage.sql
\ir functions/internal/doctor/_doctor_relations.sql
\ir functions/internal/doctor/_doctor_queues.sql
\ir functions/internal/doctor/_doctor_ids.sql
\ir functions/internal/doctor/_doctor_partitions.sql
\ir functions/internal/doctor/_doctor_streams.sql
\ir functions/internal/doctor/_doctor_bindings.sql
\ir functions/internal/doctor/_doctor_channels.sql
\ir functions/internal/doctor/_doctor_schedules.sql
\ir functions/ops/doctor.sql

-- what callers of pgmq 1 look for
\ir functions/internal/_upstream.sql
\ir functions/internal/_cascade.sql
