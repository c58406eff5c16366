"""Reports of training runs: runs read and grouped, intervals, controls, published curves, tables and figures."""
