"""How a sequence is run: `resolve` decides, `scan`, `chunked`, `associative` and `cudnn` run."""
