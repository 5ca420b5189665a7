"""When: wakes what is due. The rows are the truth, the scheduler only looks at them at the right moment.

To read: `due` and `rules` decide, `jobs` does what is due, `runner` wakes it; `executors` see to it that batches are
sent, and `queue_worker` is a worker of several.
"""
