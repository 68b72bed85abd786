"""What the workers of pgmq.worker are made of.

`engine` is the life of a worker from run() to its end, `serving` what it does while its connections
last: of a queue in `loop`, of a stream in `group_loop`. What it has in hand is in `inhand`, or in
`lanes`, what it asks of its queue in `leases`, when it looks again in `waking`; `connection` has
its connections, `hooks` what it reports. A slot calls the handler: `async_job` in a task, `job`
(made of it by `make sync`) in a thread of `threads`, `process_job` in a process; for a stream, with
all in one transaction, `async_group_job` and `group_job`. `progress` says how far a slot is,
`outcome` is what a call ends with.
"""

from __future__ import annotations
