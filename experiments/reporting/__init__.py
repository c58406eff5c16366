"""Reports on training runs: reading and grouping them, intervals, controls, tables and figures."""
