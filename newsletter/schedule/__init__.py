"""When: wakes what is due. The rows are the truth, the scheduler only looks at them at the right moment."""
