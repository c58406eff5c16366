"""How a sequence is run: `resolve` decides; `scan`, `chunked`, `associative`, `cudnn` and `native` run; `front` is before all."""
